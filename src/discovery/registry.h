// Discovery in this process: the table itself. Keeps what masters publish and proxies register, lets leases lapse, and
// tells every subscriber what it has not been told yet. Soft state: after a restart the table is incomplete until its
// publishers have come back (settle time, or set_complete() by an owner who knows).
// Lives on one loop. Bounded: a subscriber that reads slowly costs one set of names, never a queue of updates.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "async/scope.h"
#include "discovery/contract.h"
#include "discovery/table_view.h"

namespace colony::discovery {

// Whatever a subscriber is told is one message: a table and the names of what has gone fit into it (service.cc).
inline constexpr size_t kMaxTableBytes = 14 * 1024 * 1024;
inline constexpr size_t kMaxNamedBytes = 1024 * 1024;  // LIMIT: names that wait for one subscriber
inline constexpr size_t kMaxGoneBytes = 512 * 1024;    // LIMIT: names of withdrawn apps in a first update
inline constexpr size_t kEntryHead = 8;                // the wire puts no more before an entry

struct RegistryOptions {
  Duration settle = 10s;           // after the start absent means unknown for so long
  Duration acknowledge_wait = 1s;  // publish() waits for live proxies at most so long
  Duration max_lease = 60s;
  size_t max_table_bytes = kMaxTableBytes;  // LIMIT: of all records, as the wire has them
  size_t max_apps = 10'000;                 // LIMIT
  size_t max_proxies = 2'000;               // LIMIT
  size_t max_subscribers = 10'000;          // LIMIT
};

struct RegistryStats {
  uint64_t publications = 0, refused = 0, expired_leases = 0, unacknowledged = 0;
  size_t subscribers = 0;
};

class Registry;

// What one subscriber has not been told yet. Owned by the subscriber, dies before the registry.
class Feed {
 public:
  Feed(Registry& registry, std::function<void()> on_dirty);
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;
  // The next update; nullopt when there is nothing new. The first one is full.
  std::optional<TableUpdate> take();

 private:
  friend class Registry;
  void mark();
  void name(std::set<std::string>& names, const std::string& one);
  Registry& registry_;
  std::function<void()> on_dirty_;  // called when the feed goes from nothing new to something new
  bool full_ = true;
  bool dirty_ = true;
  std::set<std::string> apps_, proxies_;
  size_t named_bytes_ = 0;  // of both
};

class Registry final : public Discovery {
 public:
  explicit Registry(async::Loop& loop, RegistryOptions options = {});
  ~Registry() override;  // after stop() has been awaited
  async::Task<void> stop();

  // The owner knows that every publisher has spoken: what is absent now does not exist.
  void set_complete();
  bool complete() const { return complete_; }
  uint64_t revision() const { return revision_; }
  const std::map<std::string, AppRecord>& apps() const { return apps_; }
  std::vector<ProxyRecord> proxies() const;
  const RegistryStats& stats() const { return stats_; }
  // Of this incarnation; a client that meets another one says everything again.
  const std::string& instance() const { return instance_; }

  async::Task<Result<void>> publish(AppRecord record) override;
  async::Task<Result<void>> withdraw(std::string app, uint64_t epoch) override;
  async::Task<Result<void>> register_proxy(ProxyRecord record, Duration lease) override;
  async::Task<Result<void>> unregister_proxy(std::string id) override;
  async::Task<Result<void>> acknowledge(std::string proxy, uint64_t revision) override;
  std::unique_ptr<Subscription> subscribe(std::function<void(const TableUpdate&)> on_update) override;

 private:
  friend class Feed;
  struct Proxy {
    ProxyRecord record;
    TimePoint expires;
    uint64_t acknowledged = 0;
  };
  Result<bool> accept(const AppRecord& record);
  Result<void> make_room(std::map<std::string, size_t>& sizes, const std::string& name, size_t bytes);
  void free_room(std::map<std::string, size_t>& sizes, const std::string& name);
  void app_changed(const std::string& name);
  void proxy_changed(const std::string& id);
  async::Task<void> wait_acknowledged(uint64_t revision);
  std::string laggards(uint64_t revision, const std::set<std::string>& of) const;
  void expire();
  void arm_expiry();

  async::Loop& loop_;
  RegistryOptions options_;
  std::string instance_;
  async::Scope scope_;
  async::Signal acknowledged_;
  uint64_t revision_;
  bool complete_ = false;
  std::map<std::string, AppRecord> apps_;
  std::map<std::string, uint64_t> app_revisions_;  // the table revision that first held the app's record
  // Epoch and version that apps went with: a late record that is not above them is refused.
  std::map<std::string, std::pair<uint64_t, uint64_t>> withdrawn_;
  std::map<std::string, Proxy> proxies_;
  std::map<std::string, size_t> app_bytes_, proxy_bytes_;  // of each record
  size_t table_bytes_ = 0;                                 // of all
  std::set<Feed*> feeds_;
  RegistryStats stats_;
  async::Timer settle_timer_, expiry_timer_;
};

}  // namespace colony::discovery
