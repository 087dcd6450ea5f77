// A Host in another process, by address. Assignments that were taken are not repeated here: the keeper assigns again when
// on_connected tells it that the (perhaps new) master host is there.
#pragma once

#include <functional>
#include <memory>

#include "async/scope.h"
#include "control/master/contract.h"
#include "transport/rpc/rpc.h"

namespace colony::master {

// Executor: one loop. Lifecycle: stop() awaited before destruction.
class RemoteHost : public Host {
 public:
  RemoteHost(async::Loop& loop, async::Endpoint address);
  ~RemoteHost() override;
  async::Task<Result<void>> assign(Assignment assignment) override;
  async::Task<Result<std::vector<AppStatus>>> list() override;
  std::unique_ptr<Subscription> watch(std::function<void(const AppStatus&)> on_status) override;
  std::unique_ptr<Subscription> on_connected(std::function<void()> fn) override;
  async::Task<void> stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace colony::master
