// Revisions start at the wall clock, so that a registry that restarts never counts an acknowledgement of its former
// life. A publication is done when all proxies that were live at that moment have acknowledged it or have gone.
#include "discovery/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/log.h"
#include "base/random_id.h"
#include "discovery/wire.h"

namespace colony::discovery {
namespace {

constexpr size_t kMaxWithdrawn = 4096;  // LIMIT: beyond it the first name in order is forgotten
constexpr size_t kMaxName = 4096;       // LIMIT: of an app or a proxy, in bytes

Result<void> check_name(std::string_view call, std::string_view name) {
  if (name.size() > kMaxName)
    return fail(
        invalid_argument(fmt::format("{}: the name has {} bytes, {} is the limit", call, name.size(), kMaxName)));
  return {};
}

// A load that wobbles a little is not worth a push to everybody.
bool worth_telling(const ProxyRecord& before, const ProxyRecord& after) {
  ProxyRecord same_load = after;
  same_load.ongoing = before.ongoing;
  if (!(same_load == before)) return true;
  const uint64_t diff = std::max(before.ongoing, after.ongoing) - std::min(before.ongoing, after.ongoing);
  return diff >= 8 && diff * 4 >= before.ongoing;
}

class LocalSubscription final : public Subscription {
 public:
  struct State {
    std::function<void(const TableUpdate&)> on_update;
    std::unique_ptr<Feed> feed;
  };
  explicit LocalSubscription(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~LocalSubscription() override { state_->feed.reset(); }

 private:
  std::shared_ptr<State> state_;
};

void deliver_later(async::Loop& loop, const std::shared_ptr<LocalSubscription::State>& state) {
  loop.post([state] {
    // on_update may end the subscription: look at the feed again after each call.
    while (state->feed) {
      auto update = state->feed->take();
      if (!update) return;
      state->on_update(*update);
    }
  });
}

}  // namespace

Feed::Feed(Registry& registry, std::function<void()> on_dirty) : registry_(registry), on_dirty_(std::move(on_dirty)) {
  registry_.feeds_.insert(this);
  registry_.stats_.subscribers = registry_.feeds_.size();
}

Feed::~Feed() {
  registry_.feeds_.erase(this);
  registry_.stats_.subscribers = registry_.feeds_.size();
}

void Feed::name(std::set<std::string>& names, const std::string& one) {
  if (!names.insert(one).second) return;
  named_bytes_ += one.size() + kEntryHead;
  if (named_bytes_ <= kMaxNamedBytes) return;
  // A subscriber that has not read for so long is told everything instead.
  full_ = true;
  apps_.clear();
  proxies_.clear();
  named_bytes_ = 0;
}

void Feed::mark() {
  if (dirty_) return;
  dirty_ = true;
  if (on_dirty_) on_dirty_();
}

std::optional<TableUpdate> Feed::take() {
  if (!dirty_) return std::nullopt;
  dirty_ = false;
  TableUpdate u{.revision = registry_.revision_, .full = full_, .complete = registry_.complete_};
  if (full_) {
    for (const auto& [name, record] : registry_.apps_) u.apps.push_back(record);
    for (const auto& [id, proxy] : registry_.proxies_) u.proxies.push_back(proxy.record);
    // While absent means unknown, who comes after a withdrawal must hear of it too.
    size_t room = registry_.complete_ ? 0 : kMaxGoneBytes;
    for (const auto& [name, tombstone] : registry_.withdrawn_) {
      if (name.size() + kEntryHead > room) break;
      room -= name.size() + kEntryHead;
      if (!apps_.contains(name)) u.removed_apps.push_back(name);
    }
  }
  for (const auto& name : apps_) {
    auto it = registry_.apps_.find(name);
    if (it == registry_.apps_.end())
      u.removed_apps.push_back(name);
    else if (!full_)
      u.apps.push_back(it->second);
  }
  for (const auto& id : proxies_) {
    auto it = registry_.proxies_.find(id);
    if (it == registry_.proxies_.end())
      u.removed_proxies.push_back(id);
    else if (!full_)
      u.proxies.push_back(it->second.record);
  }
  full_ = false;
  apps_.clear();
  proxies_.clear();
  named_bytes_ = 0;
  return u;
}

Registry::Registry(async::Loop& loop, RegistryOptions options)
    : loop_(loop),
      options_(options),
      instance_(hex_id(loop.rng(), 8)),
      scope_(loop),
      acknowledged_(loop),
      revision_(static_cast<uint64_t>(std::max<int64_t>(to_ms(loop.wall_now().time_since_epoch()), 0)) << 10),
      settle_timer_(loop, [this] { set_complete(); }),
      expiry_timer_(loop, [this] { expire(); }) {
  if (options_.settle <= Duration::zero())
    complete_ = true;
  else
    settle_timer_.arm_after(options_.settle);
}

Registry::~Registry() { CHECK(feeds_.empty()); }

async::Task<void> Registry::stop() {
  settle_timer_.cancel();
  expiry_timer_.cancel();
  scope_.stop();
  co_await scope_.join();
}

void Registry::set_complete() {
  settle_timer_.cancel();
  if (complete_) return;
  complete_ = true;
  ++revision_;
  // What a subscriber kept because absent meant unknown is judged again.
  for (Feed* feed : std::set<Feed*>(feeds_)) {
    feed->full_ = true;
    feed->mark();
  }
}

std::vector<ProxyRecord> Registry::proxies() const {
  std::vector<ProxyRecord> out;
  for (const auto& [id, proxy] : proxies_) out.push_back(proxy.record);
  return out;
}

void Registry::app_changed(const std::string& name) {
  app_revisions_[name] = ++revision_;
  for (Feed* feed : std::set<Feed*>(feeds_)) {
    feed->name(feed->apps_, name);
    feed->mark();
  }
}

void Registry::proxy_changed(const std::string& id) {
  ++revision_;
  for (Feed* feed : std::set<Feed*>(feeds_)) {
    feed->name(feed->proxies_, id);
    feed->mark();
  }
}

// True: the record is new; false: it is the one that is known.
Result<bool> Registry::accept(const AppRecord& record) {
  if (record.app.empty()) return fail(invalid_argument("publish: the record names no app"));
  TRY_VOID(check_name("publish", record.app));
  if (auto gone = withdrawn_.find(record.app);
      gone != withdrawn_.end() && std::pair(record.epoch, record.version) <= gone->second) {
    return fail(failed_precondition(fmt::format("app '{}' was withdrawn in epoch {}; epoch {} version {} is stale",
                                                record.app, gone->second.first, record.epoch, record.version),
                                    "stale_epoch"));
  }
  auto it = apps_.find(record.app);
  if (it == apps_.end()) {
    if (apps_.size() >= options_.max_apps)
      return fail(resource_exhausted(fmt::format("discovery holds {} apps, its limit", apps_.size()), "table_full"));
    TRY_VOID(make_room(app_bytes_, record.app, wire::encode(record).size()));
    return true;
  }
  const AppRecord& known = it->second;
  if (std::tie(record.epoch, record.version) < std::tie(known.epoch, known.version)) {
    return fail(
        failed_precondition(fmt::format("app '{}': epoch {} version {} is stale, discovery holds epoch {} version {}",
                                        record.app, record.epoch, record.version, known.epoch, known.version),
                            "stale_epoch"));
  }
  if (record == known) return false;
  TRY_VOID(make_room(app_bytes_, record.app, wire::encode(record).size()));
  return true;
}

// A full update is one message: what the table holds must fit into it.
Result<void> Registry::make_room(std::map<std::string, size_t>& sizes, const std::string& name, size_t bytes) {
  auto it = sizes.find(name);
  const size_t before = it == sizes.end() ? 0 : it->second;
  if (bytes > before && table_bytes_ - before + bytes > options_.max_table_bytes)
    return fail(resource_exhausted(
        fmt::format("discovery's table has {} bytes of at most {}: the record of '{}' with {} has no place",
                    table_bytes_ - before, options_.max_table_bytes, name, bytes),
        "table_full"));
  table_bytes_ = table_bytes_ - before + bytes;
  sizes[name] = bytes;
  return {};
}

void Registry::free_room(std::map<std::string, size_t>& sizes, const std::string& name) {
  auto it = sizes.find(name);
  if (it == sizes.end()) return;
  table_bytes_ -= it->second;
  sizes.erase(it);
}

async::Task<Result<void>> Registry::publish(AppRecord record) {
  auto fresh = accept(record);
  if (!fresh) {
    ++stats_.refused;
    co_return fail(std::move(fresh).error());
  }
  const std::string name = record.app;
  if (*fresh) {
    ++stats_.publications;
    withdrawn_.erase(name);
    apps_[name] = std::move(record);
    app_changed(name);
  }
  co_await wait_acknowledged(app_revisions_[name]);
  co_return Result<void>{};
}

async::Task<Result<void>> Registry::withdraw(std::string app, uint64_t epoch) {
  CO_TRY_VOID(check_name("withdraw", app));
  auto it = apps_.find(app);
  if (it != apps_.end() && epoch < it->second.epoch) {
    ++stats_.refused;
    co_return fail(failed_precondition(
        fmt::format("app '{}': epoch {} is stale, discovery holds epoch {}", app, epoch, it->second.epoch),
        "stale_epoch"));
  }
  // Of an app that is not known here nobody can tell which of its records are still on their way: the whole epoch is over.
  const uint64_t version = it != apps_.end() && it->second.epoch == epoch ? it->second.version : UINT64_MAX;
  auto [tombstone, fresh] = withdrawn_.try_emplace(app, epoch, version);
  if (!fresh && epoch > tombstone->second.first) tombstone->second = {epoch, version};
  if (withdrawn_.size() > kMaxWithdrawn)
    withdrawn_.erase(withdrawn_.begin()->first == app ? std::next(withdrawn_.begin()) : withdrawn_.begin());
  // An incomplete registry does not know the app, but its subscribers may: they are told all the same.
  if (it == apps_.end() && complete_) co_return Result<void>{};
  if (it != apps_.end()) apps_.erase(it);
  free_room(app_bytes_, app);
  app_changed(app);
  app_revisions_.erase(app);
  co_await wait_acknowledged(revision_);
  co_return Result<void>{};
}

std::string Registry::laggards(uint64_t revision, const std::set<std::string>& of) const {
  std::string out;
  for (const auto& id : of) {
    auto it = proxies_.find(id);
    if (it == proxies_.end() || it->second.acknowledged >= revision) continue;
    if (!out.empty()) out += ", ";
    out += id;
  }
  return out;
}

async::Task<void> Registry::wait_acknowledged(uint64_t revision) {
  std::set<std::string> awaited;
  for (const auto& [id, proxy] : proxies_)
    if (proxy.acknowledged < revision) awaited.insert(id);
  const Deadline deadline = Deadline::after(loop_.now(), options_.acknowledge_wait);
  while (true) {
    const std::string late = laggards(revision, awaited);
    if (late.empty() || scope_.stopping()) co_return;
    if (co_await acknowledged_.wait(scope_, deadline)) continue;
    if (scope_.stopping()) co_return;
    if (const std::string still = laggards(revision, awaited); !still.empty()) {
      ++stats_.unacknowledged;
      LOG(warn, "discovery: revision {} was not acknowledged within {} ms by: {}", revision,
          to_ms(options_.acknowledge_wait), still);
    }
    co_return;
  }
}

async::Task<Result<void>> Registry::register_proxy(ProxyRecord record, Duration lease) {
  if (record.id.empty()) co_return fail(invalid_argument("register: the proxy record has no id"));
  CO_TRY_VOID(check_name("register", record.id));
  if (lease <= Duration::zero())
    co_return fail(invalid_argument(fmt::format("register: lease of proxy '{}' is not above zero", record.id)));
  const std::string id = record.id;
  const TimePoint expires = loop_.now() + std::min(lease, options_.max_lease);
  auto it = proxies_.find(id);
  if (it == proxies_.end()) {
    if (proxies_.size() >= options_.max_proxies)
      co_return fail(
          resource_exhausted(fmt::format("discovery holds {} proxies, its limit", proxies_.size()), "table_full"));
    CO_TRY_VOID(make_room(proxy_bytes_, id, wire::encode(wire::Register{record, lease}).size()));
    proxies_.emplace(id, Proxy{std::move(record), expires, 0});
    proxy_changed(id);
  } else {
    it->second.expires = expires;
    if (worth_telling(it->second.record, record)) {
      CO_TRY_VOID(make_room(proxy_bytes_, id, wire::encode(wire::Register{record, lease}).size()));
      it->second.record = std::move(record);
      proxy_changed(id);
    }
  }
  arm_expiry();
  co_return Result<void>{};
}

async::Task<Result<void>> Registry::unregister_proxy(std::string id) {
  CO_TRY_VOID(check_name("unregister", id));
  free_room(proxy_bytes_, id);
  if (proxies_.erase(id) > 0 || !complete_) {
    proxy_changed(id);
    acknowledged_.notify();
  }
  co_return Result<void>{};
}

async::Task<Result<void>> Registry::acknowledge(std::string proxy, uint64_t revision) {
  auto it = proxies_.find(proxy);
  if (it == proxies_.end())
    co_return fail(not_found(fmt::format("proxy '{}' is not registered", proxy), "unknown_proxy"));
  // A number from the future belongs to another incarnation.
  if (revision > it->second.acknowledged && revision <= revision_) {
    it->second.acknowledged = revision;
    acknowledged_.notify();
  }
  co_return Result<void>{};
}

std::unique_ptr<Subscription> Registry::subscribe(std::function<void(const TableUpdate&)> on_update) {
  CHECK(feeds_.size() < options_.max_subscribers);
  auto state = std::make_shared<LocalSubscription::State>();
  state->on_update = std::move(on_update);
  std::weak_ptr<LocalSubscription::State> weak = state;
  state->feed = std::make_unique<Feed>(*this, [this, weak] {
    if (auto s = weak.lock()) deliver_later(loop_, s);
  });
  deliver_later(loop_, state);
  return std::make_unique<LocalSubscription>(std::move(state));
}

void Registry::expire() {
  bool any = false;
  for (auto it = proxies_.begin(); it != proxies_.end();) {
    if (it->second.expires > loop_.now()) {
      ++it;
      continue;
    }
    const std::string id = it->first;
    it = proxies_.erase(it);
    free_room(proxy_bytes_, id);
    ++stats_.expired_leases;
    any = true;
    LOG(warn, "discovery: the lease of proxy {} has lapsed", id);
    proxy_changed(id);
  }
  if (any) acknowledged_.notify();
  arm_expiry();
}

void Registry::arm_expiry() {
  TimePoint first = TimePoint::max();
  for (const auto& [id, proxy] : proxies_) first = std::min(first, proxy.expires);
  if (first == TimePoint::max())
    expiry_timer_.cancel();
  else
    expiry_timer_.arm(first);
}

}  // namespace colony::discovery
