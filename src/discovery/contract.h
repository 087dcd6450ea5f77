// Discovery port: masters publish their app's record, proxies register under a lease, proxies and clients subscribe and
// get pushes. State is soft: it is rebuilt from what publishers and proxies say again after a restart.
// Adapters: discovery/registry.h (this process), discovery/remote.h (by address; says everything again on reconnect).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "async/task.h"
#include "base/result.h"
#include "domain/table.h"

namespace colony::discovery {

class Subscription {
 public:
  virtual ~Subscription() = default;
};

class Discovery {
 public:
  virtual ~Discovery() = default;
  // Idempotent; refuses a lower (epoch, version) with reason "stale_epoch". Done when every live proxy has acknowledged
  // the table that holds it, or after 1 s (then a warning is logged): so that "RUNNING" means "routed".
  virtual async::Task<Result<void>> publish(AppRecord record) = 0;
  // A record that comes later though it was said before (no higher epoch or version) is refused: "stale_epoch".
  virtual async::Task<Result<void>> withdraw(std::string app, uint64_t epoch) = 0;

  virtual async::Task<Result<void>> register_proxy(ProxyRecord record,
                                                   Duration lease) = 0;  // also renews, with the new load
  virtual async::Task<Result<void>> unregister_proxy(std::string id) = 0;
  virtual async::Task<Result<void>> acknowledge(std::string proxy, uint64_t revision) = 0;

  // on_update: full state first, then deltas, in order, on the caller's loop, never from inside subscribe().
  virtual std::unique_ptr<Subscription> subscribe(std::function<void(const TableUpdate&)> on_update) = 0;
};

}  // namespace colony::discovery
