// The keeper as a process: masters, discovery and agent by address.
#include <fstream>

#include "app/keeper_unit.h"
#include "app/listen_file.h"
#include "app/role.h"
#include "app/role_payload.h"
#include "base/log.h"
#include "control/master/remote.h"
#include "discovery/remote.h"
#include "engine/agent/remote.h"
#include "engine/embedded/embedded.h"

namespace colony::app {
namespace {

class KeeperRole final : public Role {
 public:
  KeeperRole(RoleContext context, const RolePayload& payload, std::string token)
      : context_(context),
        agent_(context.loop, {payload.agent}),
        engine_(context.loop, {&agent_}),
        discovery_(context.loop, {payload.discovery}),
        host_(context.loop, {payload.master_host}),
        unit_({context.loop, host_, discovery_, engine_},
              {payload.data_dir, listen_again(context.endpoint.folder(), payload.listen), std::move(token),
               [this] { ask_launcher("shutdown"); }, &metrics_, [this] { ask_launcher("restart-proxy"); }}) {}

  async::Task<Result<void>> start() override {
    CO_TRY(auto at, co_await unit_.start());
    CO_TRY_VOID(write_listen_file(context_.endpoint.folder(), {at, context_.endpoint.incarnation()}));
    LOG(info, "control API on {}", at);
    co_return Result<void>{};
  }
  async::Task<void> stop(Deadline) override {
    co_await unit_.stop();
    co_await host_.stop();
    co_await discovery_.stop();
    co_await agent_.stop();
  }

 private:
  // `colony down`, `colony restart proxy`: the launcher looks for these files.
  void ask_launcher(const char* what) {
    std::ofstream(context_.endpoint.folder() + "/../" + what) << "asked over the control API\n";
  }

  RoleContext context_;
  observe::Metrics metrics_;
  engine::RemoteAgent agent_;
  engine::EmbeddedEngine engine_;
  discovery::Remote discovery_;
  master::RemoteHost host_;
  KeeperUnit unit_;
};

}  // namespace

Result<std::unique_ptr<Role>> make_keeper_role(RoleContext context) {
  TRY(auto payload, role_payload_from_json(context.endpoint.spec().payload));
  std::string token;
  if (!payload.token_file.empty()) {
    std::ifstream in(payload.token_file);
    if (!std::getline(in, token)) return fail(invalid_argument("token file " + payload.token_file + " cannot be read"));
  }
  return std::make_unique<KeeperRole>(context, payload, std::move(token));
}

}  // namespace colony::app
