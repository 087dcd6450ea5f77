// A Discovery of another loop, made callable from this one: calls and updates are posted between the two loops, values
// are copied, nothing is shared. Made for proxies whose loops run on their own threads beside the control loop.
// Lives on the caller's loop; the target lives on `home` and both loops outlive the Threaded and every call in flight.
#pragma once

#include <memory>

#include "async/scope.h"
#include "discovery/contract.h"

namespace colony::discovery {

class Threaded final : public Discovery {
 public:
  Threaded(async::Loop& caller, async::Loop& home, Discovery& target);
  ~Threaded() override;

  async::Task<Result<void>> publish(AppRecord record) override;
  async::Task<Result<void>> withdraw(std::string app, uint64_t epoch) override;
  async::Task<Result<void>> register_proxy(ProxyRecord record, Duration lease) override;
  async::Task<Result<void>> unregister_proxy(std::string id) override;
  async::Task<Result<void>> acknowledge(std::string proxy, uint64_t revision) override;
  std::unique_ptr<Subscription> subscribe(std::function<void(const TableUpdate&)> on_update) override;

 private:
  struct Home;
  async::Task<Result<void>> ask(std::function<async::Task<Result<void>>(Discovery&)> what);

  async::Loop& caller_;
  std::shared_ptr<Home> home_;
};

}  // namespace colony::discovery
