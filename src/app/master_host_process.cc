// The master host as a process: masters over the agent and the discovery by address, reached by the keeper by address.
#include "app/role.h"
#include "app/role_payload.h"
#include "control/master/host.h"
#include "control/master/service.h"
#include "discovery/remote.h"
#include "engine/agent/remote.h"
#include "engine/embedded/embedded.h"

namespace colony::app {
namespace {

class MasterHostRole final : public Role {
 public:
  MasterHostRole(RoleContext context, const RolePayload& payload)
      : agent_(context.loop, {payload.agent}),
        engine_(context.loop, {&agent_}),
        discovery_(context.loop, {payload.discovery}),
        host_({context.loop, engine_, discovery_}) {
    master::mount_host(context.router, context.loop, host_);
  }
  async::Task<Result<void>> start() override { co_return Result<void>{}; }
  async::Task<void> stop(Deadline) override {
    co_await host_.stop();
    co_await discovery_.stop();
    co_await agent_.stop();
  }

 private:
  engine::RemoteAgent agent_;
  engine::EmbeddedEngine engine_;
  discovery::Remote discovery_;
  master::LocalHost host_;
};

}  // namespace

Result<std::unique_ptr<Role>> make_master_host_role(RoleContext context) {
  TRY(auto payload, role_payload_from_json(context.endpoint.spec().payload));
  return std::make_unique<MasterHostRole>(context, payload);
}

}  // namespace colony::app
