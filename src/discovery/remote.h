// Discovery by address. Keeps one stream to the discovery open at all times; when it breaks it comes back with bounded,
// jittered back-off, and says every publication, withdrawal and registration again when it meets another incarnation.
// Subscribers keep the last table meanwhile. Lives on one loop.
// On failure: publish, withdraw and register answer kUnavailable, but what was said is kept and said again. What fails
// while it is said again is repeated, with back-off, until this incarnation has heard it or has refused it for good.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "async/scope.h"
#include "discovery/contract.h"
#include "discovery/table_view.h"
#include "transport/rpc/rpc.h"

namespace colony::discovery {

struct RemoteOptions {
  Duration call_timeout = 4s;  // publish waits up to 1 s for acknowledgements
  Duration backoff_min = 50ms;
  Duration backoff_max = 2s;
  size_t resay_at_once = 16;  // calls in flight while everything is said again
};

class Remote final : public Discovery {
 public:
  Remote(async::Loop& loop, async::Endpoint at, RemoteOptions options = {});
  ~Remote() override;  // after stop() has been awaited
  async::Task<void> stop();

  bool connected() const { return connected_; }
  uint64_t connects() const { return connects_; }

  async::Task<Result<void>> publish(AppRecord record) override;
  async::Task<Result<void>> withdraw(std::string app, uint64_t epoch) override;
  async::Task<Result<void>> register_proxy(ProxyRecord record, Duration lease) override;
  async::Task<Result<void>> unregister_proxy(std::string id) override;
  async::Task<Result<void>> acknowledge(std::string proxy, uint64_t revision) override;
  std::unique_ptr<Subscription> subscribe(std::function<void(const TableUpdate&)> on_update) override;

 private:
  struct Subscriber;
  class Handle;
  struct Registered {
    ProxyRecord record;
    Duration lease{};
  };
  async::Task<void> session();
  bool on_message(std::string_view bytes);
  enum class Kind : uint8_t { kWithdraw, kPublish, kRegister };
  struct Key {
    Kind kind;
    std::string name;
    auto operator<=>(const Key&) const = default;
  };
  struct Said {
    std::string_view method;
    std::string request;
    uint64_t epoch = 0;  // of a withdrawal
  };
  void say_everything();
  void start_saying();
  std::optional<Said> look_up(const Key& key) const;
  async::Task<void> say_queued();
  async::Task<void> retry_failed();
  void forget_withdrawal(const std::string& app, uint64_t epoch);
  async::Task<Result<void>> call(std::string_view method, std::string request);

  async::Loop& loop_;
  RemoteOptions options_;
  rpc::Client client_;
  async::Scope scope_;
  TableView view_;
  std::string instance_;
  bool connected_ = false;
  uint64_t connects_ = 0;
  std::map<std::string, AppRecord> publications_;
  std::map<std::string, uint64_t> withdrawals_;
  std::map<std::string, Registered> registrations_;
  std::vector<Key> to_say_;  // keys, because what they stand for may change or go before its turn comes
  std::set<Key> failed_;     // wait for another try
  size_t saying_ = 0;        // tasks that empty to_say_
  bool retrying_ = false;
  Duration retry_backoff_{};
  std::set<std::shared_ptr<Subscriber>> subscribers_;
};

}  // namespace colony::discovery
