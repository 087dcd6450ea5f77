// on_request is the whole decision: built in, nobody's, or forwarded. Links and queues that a table no longer names are
// looked at by a slow timer until they have come to rest.
#include "request/proxy/proxy_loop.h"

#include <algorithm>

#include "async/buffer.h"
#include "observe/metric_names.h"

namespace colony::proxy {
namespace {
constexpr Duration kReapEvery = 50ms;
constexpr Duration kGaugesEvery = 1s;
constexpr size_t kMostIdle = 4096;  // LIMIT: pooled requests beyond it are freed
}  // namespace

ProxyLoop::ProxyLoop(async::Loop& loop, size_t index, Options options)
    : loop_(loop),
      index_(index),
      options_(std::move(options)),
      shard_(options_.metrics ? options_.metrics->shard() : nullptr),
      unrouted_(shard_.get(), "", "", ""),
      limits_(shard_.get()),
      flush_(loop, [this] { flush_fresh(); }),
      reaper_(loop, [this] { reap(); }),
      gauges_(loop, [this] { show_gauges(); }),
      grpc_([this] { return view(); }) {
  if (!shard_) return;
  connections_ = shard_->gauge(observe::kHttpConnections);
  bad_requests_ = shard_->counter(observe::kHttpBadRequests);
  if (options_.server.certificates) {
    tls_full_ = shard_->counter(observe::kTlsHandshakes, {"full"});
    tls_resumed_ = shard_->counter(observe::kTlsHandshakes, {"resumed"});
    tls_failed_ = shard_->counter(observe::kTlsHandshakes, {"failed"});
    tls_timed_out_ = shard_->counter(observe::kTlsHandshakes, {"timed_out"});
    tls_crowded_out_ = shard_->counter(observe::kTlsHandshakes, {"crowded_out"});
  }
  gauges_.arm_after(kGaugesEvery);
}

ProxyLoop::~ProxyLoop() {
  server_.reset();  // every request gets its on_done first
  for (auto& [key, d] : deployments_) d->remove();
  for (auto& [key, d] : deployments_) d->reap();
  for (auto& d : retired_) d->reap();
}

Result<async::Endpoint> ProxyLoop::listen(const async::Endpoint& at) {
  http::ServerOptions server = options_.server;
  server.relay_continue = true;  // whether a body is wanted is the replica's to say
  TRY(server_, http::Server::listen(loop_, at, *this, server));
  return server_->endpoint();
}

void ProxyLoop::use_certificates(std::shared_ptr<const tls::ServerContext> certificates) {
  if (server_) server_->use_certificates(certificates);
}

ServerView ProxyLoop::view() {
  const auto has_replica = [this](std::string_view model) {
    const DeploymentQueue* d = find_model(model);
    return d != nullptr && d->ready_links() > 0;
  };
  return {snapshot_ ? snapshot_->routes.get() : nullptr, draining_, has_replica, [this] { return counts(); }};
}

void ProxyLoop::apply(std::shared_ptr<const Snapshot> snapshot) {
  std::vector<DeploymentQueue*> next;
  std::map<std::string, std::unique_ptr<DeploymentQueue>> gone = std::move(deployments_);
  deployments_.clear();
  const auto& entries = snapshot->routes->entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    std::unique_ptr<DeploymentQueue> queue;
    if (auto it = gone.find(entries[i].key); it != gone.end()) {
      queue = std::move(it->second);
      gone.erase(it);
    } else {
      queue = std::make_unique<DeploymentQueue>(
          loop_, index_, options_.node, entries[i].key, entries[i].app, snapshot->shared[i].gate,
          std::make_shared<RouteStats>(shard_.get(), entries[i].app, entries[i].record.name,
                                       entries[i].record.route_prefix));
    }
    next.push_back(queue.get());
    deployments_.emplace(entries[i].key, std::move(queue));
  }
  snapshot_ = std::move(snapshot);
  by_index_ = std::move(next);
  for (size_t i = 0; i < by_index_.size(); ++i)
    by_index_[i]->update(snapshot_->routes->entries()[i].record, snapshot_->shared[i].slots);
  for (auto& [key, queue] : gone) {
    queue->remove();
    retired_.push_back(std::move(queue));
  }
  grpc_.update();
  if (!reaper_.armed()) reaper_.arm_after(kReapEvery);
}

void ProxyLoop::drain(Duration grace) {
  // With a grace there is a successor at the same address, and who asks whether that is ready is told the truth.
  draining_ = grace <= Duration::zero();
  grpc_.update();
  if (server_) server_->drain(grace);
}

// What the proxy answers by itself carries the request's id as well.
std::string ProxyLoop::id_line(const http::RequestHead& head) {
  std::string id;
  choose_request_id(read_fields(head), loop_.rng(), id);
  return "x-request-id: " + id + "\r\n";
}

http::ExchangeHandler* ProxyLoop::on_request(http::Exchange& exchange, const http::RequestHead& head) {
  const bool grpc = head.is_grpc();
  const Resolved r =
      snapshot_ ? snapshot_->routes->resolve(head.path, grpc, head.authority) : RouteTable().resolve(head.path, grpc);
  if (r.target == Target::kBuiltin && grpc) return grpc_.on_request(exchange, head);
  Forward& f = take();
  if ((r.target == Target::kDeployment || r.target == Target::kPeekModel) && !has_memory()) {
    limits_.memory_hit();
    const Error error = unavailable("the proxy's buffers are full", "memory_bytes");
    f.begin_answered(exchange, head, grpc ? 200 : 503);
    http::reply_error(exchange, grpc, error, id_line(head));
    return &f;
  }
  switch (r.target) {
    case Target::kDeployment: f.begin(exchange, head, {by_index_[r.deployment], r.inference, grpc}); break;
    case Target::kPeekModel: f.begin(exchange, head, {nullptr, true, grpc}); break;
    case Target::kBuiltin: {
      const BuiltinReply reply = answer_builtin(head.method, head.path, view());
      f.begin_answered(exchange, head, reply.status);
      http::reply_with(exchange, reply.status, reply.content_type, reply.body, reply.extra + id_line(head));
      break;
    }
    case Target::kNotFound: {
      const Error error = snapshot_ ? route_error(head.path, r.reason, *snapshot_->routes)
                                    : unavailable("no routing table has arrived yet", "no_table");
      f.begin_answered(exchange, head, grpc ? 200 : http_status(error.code));
      http::reply_error(exchange, grpc, error, id_line(head));
      break;
    }
  }
  return &f;
}

bool ProxyLoop::has_memory() {
  return !options_.memory || options_.memory->admits(index_, async::SlabPool::lent_here() + shared_.kept_bytes);
}

Forward& ProxyLoop::take() {
  ongoing_.store(ongoing_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (idle_.empty()) {
    pool_.push_back(std::make_unique<Forward>(static_cast<ForwardHost&>(*this), shared_));
    idle_.reserve(pool_.size());
    return *pool_.back();
  }
  Forward& f = *idle_.back();
  idle_.pop_back();
  return f;
}

void ProxyLoop::recycle(Forward& forward) {
  ongoing_.store(ongoing_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  idle_.push_back(&forward);
}

void ProxyLoop::end_of_turn(Forward& forward) {
  if (fresh_ == nullptr) flush_.schedule();
  forward.next_fresh = nullptr;
  *fresh_end_ = &forward;
  fresh_end_ = &forward.next_fresh;
}

void ProxyLoop::flush_fresh() {
  Forward* f = fresh_;
  fresh_ = nullptr;
  fresh_end_ = &fresh_;
  while (f) {
    Forward* next = f->next_fresh;
    f->flush();
    f = next;
  }
}

DeploymentQueue* ProxyLoop::find_model(std::string_view model) {
  if (!snapshot_) return nullptr;
  const Resolved r = snapshot_->routes->resolve_model(model);
  return r.target == Target::kDeployment ? by_index_[r.deployment] : nullptr;
}

std::string ProxyLoop::what_exists() {
  return snapshot_ ? snapshot_->routes->what_exists() : "no routing table has arrived yet";
}

std::vector<ModelCounts> ProxyLoop::counts() const {
  std::vector<ModelCounts> out;
  for (size_t i = 0; i < by_index_.size(); ++i) {
    ModelCounts sum;
    for (const auto& s : snapshot_->shared[i].gate->stats()) {
      sum.ok += s->ok.get();
      sum.failed += s->failed.get();
      sum.ok_ns += s->ok_ns.get();
    }
    for (const auto& model : by_index_[i]->record().models) {
      sum.model = model;
      sum.version = snapshot_->routes->model_version(model);
      out.push_back(sum);
    }
  }
  return out;
}

std::string ProxyLoop::all_model_statistics() { return grpc_statistics(counts()); }

std::map<std::string, std::shared_ptr<const RouteStats>> ProxyLoop::stats() const {
  std::map<std::string, std::shared_ptr<const RouteStats>> out;
  for (const auto& [key, d] : deployments_) out[key] = d->shared_stats();
  return out;
}

void ProxyLoop::show_gauges() {
  const http::ServerStats now = server_stats();
  connections_.set(static_cast<double>(now.open_connections));
  bad_requests_.add(now.bad_requests - std::exchange(shown_bad_, now.bad_requests));
  const tls::AcceptorStats before = std::exchange(shown_tls_, now.tls);
  tls_full_.add((now.tls.done - now.tls.resumed) - (before.done - before.resumed));
  tls_resumed_.add(now.tls.resumed - before.resumed);
  tls_failed_.add(now.tls.failed - before.failed);
  tls_timed_out_.add(now.tls.timed_out - before.timed_out);
  tls_crowded_out_.add(now.tls.crowded_out - before.crowded_out);
  has_memory();  // shows what this loop holds to the others, also while it has no requests
  limits_.show(now, options_.memory && index_ == 0 ? options_.memory->held() : 0);
  gauges_.arm_after(kGaugesEvery);
}

void ProxyLoop::reap() {
  bool more = false;
  for (auto& [key, d] : deployments_) {
    d->reap();
    more |= d->has_leaving();
  }
  std::erase_if(retired_, [](auto& d) {
    d->reap();
    return d->finished();
  });
  // A request that began and ended within this turn may still be in the list of fresh ones.
  if (fresh_ == nullptr && idle_.size() == pool_.size() && pool_.size() > kMostIdle) {
    idle_.clear();
    pool_.clear();
  }
  if (more || !retired_.empty()) reaper_.arm_after(kReapEvery);
}

}  // namespace colony::proxy
