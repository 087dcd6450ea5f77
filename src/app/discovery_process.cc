// The discovery as a process: the registry, reached by address.
#include "app/role.h"
#include "discovery/registry.h"
#include "discovery/service.h"

namespace colony::app {
namespace {

class DiscoveryRole final : public Role {
 public:
  explicit DiscoveryRole(RoleContext context)
      : registry_(context.loop), service_(context.loop, registry_, context.router) {}
  async::Task<Result<void>> start() override { co_return Result<void>{}; }
  async::Task<void> stop(Deadline) override {
    co_await service_.stop();
    co_await registry_.stop();
  }

 private:
  discovery::Registry registry_;
  discovery::Service service_;
};

}  // namespace

Result<std::unique_ptr<Role>> make_discovery_role(RoleContext context) {
  return std::make_unique<DiscoveryRole>(context);
}

}  // namespace colony::app
