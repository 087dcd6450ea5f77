// One session coroutine owns the stream; calls are plain unary calls beside it. Nothing is lost while the discovery is
// away: the maps hold the latest of everything, so saying it again is the whole recovery.
#include "discovery/remote.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "discovery/wire.h"

namespace colony::discovery {

namespace {
// Saying it again would only be refused again.
bool refused_for_good(const Error& e) {
  return e.code == Code::kInvalidArgument || e.code == Code::kFailedPrecondition;
}
}  // namespace

struct Remote::Subscriber {
  std::function<void(const TableUpdate&)> on_update;
  bool first_seen = false;  // has been shown a full update
  bool gone = false;
};

class Remote::Handle final : public Subscription {
 public:
  Handle(Remote& remote, std::shared_ptr<Subscriber> s) : remote_(remote), subscriber_(std::move(s)) {}
  ~Handle() override {
    subscriber_->gone = true;
    remote_.subscribers_.erase(subscriber_);
  }

 private:
  Remote& remote_;
  std::shared_ptr<Subscriber> subscriber_;
};

Remote::Remote(async::Loop& loop, async::Endpoint at, RemoteOptions options)
    : loop_(loop), options_(options), client_(loop, std::move(at)), scope_(loop) {
  scope_.spawn(session());
}

Remote::~Remote() { CHECK(subscribers_.empty()); }

async::Task<void> Remote::stop() {
  scope_.stop();
  client_.close();
  co_await scope_.join();
}

async::Task<void> Remote::session() {
  Duration backoff = options_.backoff_min;
  while (!scope_.stopping()) {
    const uint64_t before = connects_;
    auto ended = co_await client_.stream(wire::kService, "Subscribe", std::string(),
                                         [this](std::string_view bytes) { return on_message(bytes); });
    if (scope_.stopping()) break;
    if (connected_ || before == 0)
      LOG(warn, "discovery at {}: {}", client_.endpoint().text, ended ? "the stream has ended" : ended.error().message);
    connected_ = false;
    backoff = connects_ != before ? options_.backoff_min : std::min(backoff * 2, options_.backoff_max);
    // Half of it is chance, so that a restarted discovery is not met by everybody at once.
    const auto spread = static_cast<uint64_t>(backoff.count());
    if (!co_await scope_.sleep(backoff / 2 + Duration(static_cast<int64_t>(loop_.rng().below(spread))))) break;
  }
}

bool Remote::on_message(std::string_view bytes) {
  if (scope_.stopping()) return false;
  auto pushed = wire::decode_pushed(bytes);
  if (!pushed) {
    LOG(error, "discovery at {}: {}", client_.endpoint().text, pushed.error().message);
    return false;
  }
  if (!connected_) {
    connected_ = true;
    ++connects_;
  }
  if (pushed->instance != instance_) {
    instance_ = pushed->instance;
    say_everything();
  }
  const TableUpdate& update = pushed->update;
  view_.apply(update);
  for (const auto& s : std::set<std::shared_ptr<Subscriber>>(subscribers_)) {
    if (s->gone) continue;
    if (s->first_seen || update.full) {
      s->first_seen = true;
      s->on_update(update);
    }
  }
  return !scope_.stopping();
}

void Remote::say_everything() {
  to_say_.clear();
  failed_.clear();
  retry_backoff_ = options_.backoff_min;
  for (const auto& [app, epoch] : withdrawals_) to_say_.push_back({Kind::kWithdraw, app});
  for (const auto& [app, record] : publications_) to_say_.push_back({Kind::kPublish, app});
  for (const auto& [id, r] : registrations_) to_say_.push_back({Kind::kRegister, id});
  start_saying();
}

void Remote::start_saying() {
  for (size_t n = std::min(options_.resay_at_once, to_say_.size()); saying_ < n;) {
    ++saying_;
    scope_.spawn(say_queued());
  }
}

// What holds now, which may be newer than what held when the key was queued; nullopt when it holds no longer.
std::optional<Remote::Said> Remote::look_up(const Key& key) const {
  switch (key.kind) {
    case Kind::kWithdraw:
      if (auto it = withdrawals_.find(key.name); it != withdrawals_.end())
        return Said{"Withdraw", wire::encode(wire::Withdraw{it->first, it->second}), it->second};
      break;
    case Kind::kPublish:
      if (auto it = publications_.find(key.name); it != publications_.end())
        return Said{"Publish", wire::encode(it->second)};
      break;
    case Kind::kRegister:
      if (auto it = registrations_.find(key.name); it != registrations_.end())
        return Said{"RegisterProxy", wire::encode(wire::Register{it->second.record, it->second.lease})};
      break;
  }
  return std::nullopt;
}

async::Task<void> Remote::say_queued() {
  while (!to_say_.empty() && !scope_.stopping()) {
    const Key key = std::move(to_say_.back());
    to_say_.pop_back();
    auto said = look_up(key);
    if (!said) continue;
    const std::string to = instance_;
    auto r = co_await call(said->method, std::move(said->request));
    if (to != instance_ || scope_.stopping()) continue;  // the next one is told everything anyway
    const bool for_good = r || refused_for_good(r.error());
    if (for_good && key.kind == Kind::kWithdraw) forget_withdrawal(key.name, said->epoch);
    if (r) {
      retry_backoff_ = options_.backoff_min;
      continue;
    }
    if (for_good || failed_.empty())
      LOG(warn, "discovery at {}: {} of {} said again: {}", client_.endpoint().text, said->method, key.name,
          r.error().message);
    if (for_good) continue;
    failed_.insert(key);
    if (!std::exchange(retrying_, true)) scope_.spawn(retry_failed());
  }
  --saying_;
}

// Publishers speak only when something changes: what this instance has not heard would be missing there for good.
async::Task<void> Remote::retry_failed() {
  while (!failed_.empty()) {
    const auto spread = static_cast<uint64_t>(retry_backoff_.count());
    if (!co_await scope_.sleep(retry_backoff_ / 2 + Duration(static_cast<int64_t>(loop_.rng().below(spread))))) break;
    retry_backoff_ = std::min(retry_backoff_ * 2, options_.backoff_max);
    if (!connected_) continue;
    to_say_.insert(to_say_.begin(), failed_.begin(), failed_.end());
    failed_.clear();
    start_saying();
  }
  retrying_ = false;
}

void Remote::forget_withdrawal(const std::string& app, uint64_t epoch) {
  if (auto it = withdrawals_.find(app); it != withdrawals_.end() && it->second == epoch) withdrawals_.erase(it);
}

async::Task<Result<void>> Remote::call(std::string_view method, std::string request) {
  auto r = co_await client_.call(wire::kService, method, std::move(request),
                                 Deadline::after(loop_.now(), options_.call_timeout));
  if (!r) co_return fail(std::move(r).error());
  co_return Result<void>{};
}

async::Task<Result<void>> Remote::publish(AppRecord record) {
  const std::string app = record.app;
  const auto said = std::pair(record.epoch, record.version);
  std::string request = wire::encode(record);
  withdrawals_.erase(app);
  publications_[app] = std::move(record);
  auto r = co_await call("Publish", std::move(request));
  if (auto it = publications_.find(app); !r && refused_for_good(r.error()) && it != publications_.end() &&
                                         std::pair(it->second.epoch, it->second.version) == said)
    publications_.erase(it);
  co_return r;
}

async::Task<Result<void>> Remote::withdraw(std::string app, uint64_t epoch) {
  publications_.erase(app);
  withdrawals_[app] = epoch;
  auto r = co_await call("Withdraw", wire::encode(wire::Withdraw{app, epoch}));
  // Once said it need not be said to the next incarnation: nobody will publish the app there.
  if (r || refused_for_good(r.error())) forget_withdrawal(app, epoch);
  co_return r;
}

async::Task<Result<void>> Remote::register_proxy(ProxyRecord record, Duration lease) {
  std::string request = wire::encode(wire::Register{record, lease});
  const std::string id = record.id;
  registrations_[id] = Registered{std::move(record), lease};
  auto r = co_await call("RegisterProxy", std::move(request));
  if (!r && refused_for_good(r.error())) registrations_.erase(id);
  co_return r;
}

async::Task<Result<void>> Remote::unregister_proxy(std::string id) {
  registrations_.erase(id);
  co_return co_await call("UnregisterProxy", wire::encode_unregister(id));
}

async::Task<Result<void>> Remote::acknowledge(std::string proxy, uint64_t revision) {
  co_return co_await call("Acknowledge", wire::encode(wire::Acknowledge{std::move(proxy), revision}));
}

std::unique_ptr<Subscription> Remote::subscribe(std::function<void(const TableUpdate&)> on_update) {
  auto s = std::make_shared<Subscriber>();
  s->on_update = std::move(on_update);
  subscribers_.insert(s);
  // What is known already comes in a turn of its own; before anything is known the stream's first update does it.
  loop_.post([this, s] {
    if (s->gone || s->first_seen || !view_.arrived()) return;
    s->first_seen = true;
    s->on_update(view_.snapshot());
  });
  return std::make_unique<Handle>(*this, std::move(s));
}

}  // namespace colony::discovery
