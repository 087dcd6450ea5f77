// Everything that crosses between home and a loop is a posted function that holds the OneLoop; a loop that has ended its
// part (data is null) ignores what still comes.
#include "request/proxy/proxy.h"

#include <algorithm>

#include "base/log.h"
#include "observe/metric_names.h"

namespace colony::proxy {
namespace {
constexpr Duration kFirstTable = 1s;
constexpr Duration kWholeTable = 12s;  // more than a discovery that has just restarted takes to settle
constexpr Duration kQuiet = 500ms;     // no app has come for so long: all publishers are back
constexpr Duration kLoopAnswer = 10s;  // LIMIT: a loop that does not answer within this has stopped
}  // namespace

Proxy::Proxy(async::Loop& home, discovery::Discovery& discovery, std::vector<async::Loop*> loops, ProxyOptions options)
    : home_(home),
      discovery_(discovery),
      options_(std::move(options)),
      loop_list_(std::move(loops)),
      builder_(loop_list_),
      scope_(home),
      in_use_(home) {
  CHECK(!loop_list_.empty());
  for (async::Loop* loop : loop_list_) {
    loops_.push_back(std::make_shared<OneLoop>());
    loops_.back()->loop = loop;
  }
}

Proxy::~Proxy() { CHECK(subscription_ == nullptr); }

template <class T>
async::Task<std::vector<T>> Proxy::on_every_loop(std::function<T(ProxyLoop&)> fn) {
  std::vector<async::OneShot<T>> answers;
  for (const auto& one : loops_) {
    answers.emplace_back(home_);
    one->loop->post([one, fn, setter = answers.back().setter(), &home = home_] {
      if (!one->data) return;
      home.post([setter, value = fn(*one->data)] { setter.set(value); });
    });
  }
  std::vector<T> out;
  for (auto& a : answers) {
    auto r = co_await a.wait(Deadline::after(home_.now(), kLoopAnswer));
    if (r) out.push_back(std::move(*r));
  }
  co_return out;
}

Result<void> Proxy::open_certificates() {
  if (options_.tls.empty()) return {};
  if (options_.metrics) {
    shard_ = options_.metrics->shard();
    expiry_ = shard_->gauge(observe::kTlsExpiry);
    reloads_ = shard_->counter(observe::kTlsReloads, {"ok"});
    failed_reloads_ = shard_->counter(observe::kTlsReloads, {"failed"});
  }
  TRY(certificates_, tls::CertificateFiles::open(home_, options_.tls, [this](tls::Reload reload) {
        (reload == tls::Reload::kDone ? reloads_ : failed_reloads_).add();
        if (reload == tls::Reload::kFailed) return;
        show_certificate();
        for (const auto& one : loops_)
          one->loop->post([one, now = certificates_->current()] {
            if (one->data) one->data->use_certificates(now);
          });
      }));
  show_certificate();
  options_.server.certificates = certificates_->current();
  return {};
}

void Proxy::show_certificate() { expiry_.set(to_seconds(certificates_->current()->expires().time_since_epoch())); }

async::Task<Result<async::Endpoint>> Proxy::start() {
  CO_TRY_VOID(open_certificates());
  const auto memory = std::make_shared<MemoryBudget>(options_.max_memory, loops_.size());
  const auto connections =
      std::make_shared<http::SharedConnections>(options_.server.max_connections, options_.server.max_per_address);
  for (size_t i = 0; i < loops_.size(); ++i) {
    ProxyLoop::Options options{.node = options_.node,
                               .trusted = options_.trusted,
                               .server = options_.server,
                               .memory = memory,
                               .metrics = options_.metrics};
    options.server.connections = connections;
    options.server.reuse_port = loops_.size() > 1;
    loops_[i]->loop->post(
        [one = loops_[i], i, options] { one->data = std::make_unique<ProxyLoop>(*one->loop, i, options); });
  }
  subscription_ = discovery_.subscribe([this](const TableUpdate& update) { on_update(update); });
  co_await wait_for_routes();

  CHECK(options_.sockets.empty() || options_.sockets.size() == loops_.size());
  async::Endpoint at = options_.listen;
  if (loops_.size() > 1 && options_.sockets.empty()) {
    // WHY: sockets that share a port (SO_REUSEPORT) would share it with those of another process as well, which would then
    // get half of the connections. One that does not share tells whether the port is free.
    if (auto alone = home_.listen(at, [](std::unique_ptr<async::Stream>) {}, {}); !alone)
      co_return fail(std::move(alone).error().within("proxy: cannot listen on " + at.text));
  }
  for (size_t i = 0; i < loops_.size(); ++i) {
    const auto& one = loops_[i];
    if (!options_.sockets.empty()) at = options_.sockets[i];
    async::OneShot<Result<async::Endpoint>> listening(home_);
    one->loop->post([one, at, setter = listening.setter(), &home = home_] {
      auto r = one->data->listen(at);
      home.post([setter, r] { setter.set(r); });
    });
    auto r = co_await listening.wait(Deadline::after(home_.now(), kLoopAnswer));
    if (!r) co_return fail(std::move(r).error());
    if (!*r) co_return fail(std::move(*r).error().within("proxy: cannot listen on " + at.text));
    at = **r;  // port 0 has become a number: the others share it
  }
  endpoint_ = at;
  scope_.spawn(keep_registered());
  LOG(info, "proxy {} listens on {}", options_.id, endpoint_.text);
  co_return endpoint_;
}

// Clients that come with the first moment find the routes there; a discovery that is away is not waited for long. But one that
// has itself just restarted does not know every app yet, and to answer 404 for those of the proxy before would fail requests
// that it, or the sockets, could have kept.
async::Task<void> Proxy::wait_for_routes() {
  const Deadline patience = Deadline::after(home_.now(), options_.inherits ? kWholeTable : kFirstTable);
  const auto enough = [this] {
    if (acknowledged_ == 0) return false;
    const bool quiet = !view_.apps().empty() && home_.now() - routes_changed_ >= kQuiet;
    return !options_.inherits || view_.complete() || quiet;
  };
  while (!enough() && !patience.passed(home_.now()) && !scope_.stopping())
    co_await in_use_.wait(scope_, patience.sooner(Deadline::after(home_.now(), kQuiet)));
}

void Proxy::on_update(const TableUpdate& update) {
  const bool first = !view_.arrived();
  std::vector<std::string> before;
  for (const auto& [name, record] : view_.apps()) before.push_back(name);
  const bool changed = view_.apply(update);
  const uint64_t revision = view_.revision();
  // Series of an app that is gone are forgotten; should it come back, its counters begin anew.
  if (options_.metrics)
    for (const auto& name : before)
      if (!view_.apps().contains(name)) options_.metrics->drop("application", name);
  // A change of other proxies only is acknowledged, but no reason for a new table.
  const bool routes = first || (changed && (update.full || !update.apps.empty() || !update.removed_apps.empty()));
  if (routes) routes_changed_ = home_.now();
  std::shared_ptr<const Snapshot> snapshot = routes ? builder_.build(revision, view_.apps()) : nullptr;
  for (size_t i = 0; i < loops_.size(); ++i) {
    loops_[i]->loop->post([this, one = loops_[i], i, snapshot, revision] {
      if (!one->data) return;
      if (snapshot) one->data->apply(snapshot);
      // stop() ends every `data` before this goes.
      home_.post([this, one, i, revision] {
        if (!scope_.stopping()) applied(i, revision);
      });
    });
  }
}

void Proxy::applied(size_t index, uint64_t revision) {
  loops_[index]->applied = revision;
  uint64_t lowest = revision;
  for (const auto& one : loops_) lowest = std::min(lowest, one->applied);
  if (lowest == acknowledged_ || lowest == 0) return;
  acknowledged_ = lowest;
  in_use_.notify();
  if (registered_ && !acknowledging_) scope_.spawn(acknowledge());
}

async::Task<void> Proxy::acknowledge() {
  acknowledging_ = true;
  // Only the latest counts; what changed while a call was under way is said next.
  for (uint64_t said = 0; said != acknowledged_ && !scope_.stopping() && !leaving_;) {
    said = acknowledged_;
    auto r = co_await discovery_.acknowledge(options_.id, said);
    if (!r) {
      LOG(debug, "proxy {}: acknowledging revision {}: {}", options_.id, said, r.error().message);
      if (r.error().reason == "unknown_proxy") registered_ = false;
    }
  }
  acknowledging_ = false;
}

ProxyRecord Proxy::record() const {
  return {.id = options_.id,
          .address = (options_.tls.empty() ? "" : "https://") + endpoint_.text,
          .node = options_.node,
          .zone = options_.zone,
          .ongoing = ongoing()};
}

async::Task<void> Proxy::keep_registered() {
  while (acknowledged_ == 0 && !scope_.stopping()) co_await in_use_.wait(scope_);
  while (!scope_.stopping() && !leaving_) {
    auto r = co_await discovery_.register_proxy(record(), options_.lease);
    if (leaving_ || scope_.stopping()) break;
    if (!r) {
      // Once per outage: the way back is tried at every renewal.
      if (!std::exchange(outage_, true))
        LOG(warn, "proxy {}: cannot renew its registration: {}", options_.id, r.error().message);
    } else if (std::exchange(outage_, false) || !registered_) {
      registered_ = true;
      if (!acknowledging_) scope_.spawn(acknowledge());
    }
    const uint64_t requests = (co_await stats()).server.requests;
    if (requests != requests_seen_ || ongoing() > 0) last_request_ = home_.now();
    requests_seen_ = requests;
    if (!co_await scope_.sleep(options_.renew)) break;
  }
}

uint64_t Proxy::ongoing() const {
  uint64_t n = 0;
  for (const auto& one : loops_)
    if (one->data) n += one->data->ongoing();
  return n;
}

async::Task<bool> Proxy::drain(Deadline deadline, Duration grace) {
  leaving_ = true;
  if (registered_) {
    if (auto r = co_await discovery_.unregister_proxy(options_.id); !r)
      LOG(warn, "proxy {}: cannot leave the discovery: {}", options_.id, r.error().message);
  }
  co_await on_every_loop<bool>([grace](ProxyLoop& p) {
    p.drain(grace);
    return true;
  });
  while (true) {
    auto drained = co_await on_every_loop<bool>([](ProxyLoop& p) { return p.drained(); });
    if (std::all_of(drained.begin(), drained.end(), [](bool b) { return b; })) co_return true;
    if (deadline.passed(home_.now())) co_return false;
    co_await home_.sleep(std::min<Duration>(20ms, deadline.left(home_.now())));
  }
}

async::Task<void> Proxy::stop() {
  leaving_ = true;
  subscription_.reset();
  certificates_.reset();
  scope_.stop();
  co_await scope_.join();
  std::vector<async::OneShot<bool>> ended;
  for (const auto& one : loops_) {
    ended.emplace_back(home_);
    one->loop->post([one, setter = ended.back().setter(), &home = home_] {
      one->data.reset();
      home.post([setter] { setter.set(true); });
    });
  }
  for (auto& e : ended) co_await e.wait(Deadline::after(home_.now(), kLoopAnswer));
}

async::Task<ProxyStats> Proxy::stats() {
  struct Part {
    http::ServerStats server;
    std::map<std::string, std::shared_ptr<const RouteStats>> deployments;
  };
  auto parts = co_await on_every_loop<Part>([](ProxyLoop& p) { return Part{p.server_stats(), p.stats()}; });
  ProxyStats out;
  for (auto& part : parts) {
    out.server.accepted += part.server.accepted;
    out.server.refused += part.server.refused;
    out.server.requests += part.server.requests;
    out.server.bad_requests += part.server.bad_requests;
    out.server.open_connections += part.server.open_connections;
    out.server.open_requests += part.server.open_requests;
    for (auto& [key, stats] : part.deployments) out.deployments[key].push_back(std::move(stats));
  }
  co_return out;
}

}  // namespace colony::proxy
