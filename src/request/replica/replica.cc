// Wiring of the replica's parts, loading and swapping, and the choice of who answers a request.
#include "request/replica/replica.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "base/check.h"
#include "base/log.h"
#include "observe/metric_names.h"
#include "request/replica/control_wire.h"
#include "request/replica/core.h"
#include "request/replica/grpc_service.h"
#include "request/replica/oip_service.h"
#include "request/replica/raw.h"

namespace colony::replica {

struct Replica::Parts {
  Parts(async::Loop& loop, async::BlockingPool& pool, ReplicaOptions o)
      : options(std::move(o)), core(loop, pool), scope(loop), control(loop, {}) {
    core.id = options.id;
    core.app = options.app;
    core.revision = options.revision;
    core.epoch = options.epoch;
    core.max_body = options.max_body;
    core.max_buffered = options.max_buffered;
    if (options.metrics) shard = options.metrics->shard();
    use(options.spec);
    grpc = std::make_unique<GrpcService>(core);
  }

  void use(const DeploymentSpec& spec) {
    core.spec = spec;
    core.inbox.set_max_ongoing(static_cast<size_t>(std::max(spec.max_ongoing_requests, 1)));
    if (!shard) return;
    auto& p = core.probe;
    p.requests = shard->counter(observe::kReplicaRequests, {core.app, spec.name, core.id});
    p.errors = shard->counter(observe::kReplicaErrors, {core.app, spec.name, core.id});
    p.ongoing = shard->gauge(observe::kReplicaOngoing, {core.app, spec.name, core.id});
    p.queue = shard->histogram(observe::kReplicaQueueDuration, {core.app, spec.name, core.id});
    p.processing = shard->histogram(observe::kReplicaDuration, {core.app, spec.name, core.id});
  }

  // The last request that uses a table lets go of it on the loop; giving its memory back takes milliseconds: pool.
  void serve(std::unique_ptr<ModelTable> table) {
    auto* pool = &core.pool;
    core.table = std::shared_ptr<const ModelTable>(table.release(), [pool](const ModelTable* t) {
      if (!pool->submit([t] { delete t; })) delete t;
    });
    if (!shard) return;
    for (const auto& m : core.table->models)
      m->durations = shard->histogram(observe::kModelDuration,
                                      {core.app, core.spec.name, core.id, m->statistics.name, m->statistics.version});
  }

  ReplicaOptions options;
  std::unique_ptr<observe::MetricShard> shard;
  Core core;
  async::Scope scope;
  http::Router control;
  std::unique_ptr<GrpcService> grpc;
  bool loading = false;
};

namespace {

constexpr Duration kDrainLook = 2ms;  // how often a drain looks whether the links have left

// What a pool thread does for a load; the phases are told to the loop as they begin.
struct LoadTask {
  async::Loop* loop;
  Lifecycle* lifecycle;  // null: a reconfiguration, which has no phases
  MakeRuntime make_runtime;
  DeploymentSpec spec;
  std::vector<std::string> names;

  Result<std::unique_ptr<ModelTable>> operator()() const {
    TRY(auto table, load_models(make_runtime, spec, names));
    if (lifecycle)
      loop->post([l = lifecycle] {
        if (l->state() == ReplicaState::kStarting) l->begin_phase("warm-up");
      });
    TRY_VOID(warm_up(*table));
    return table;
  }
};

}  // namespace

size_t pool_threads(const DeploymentSpec& spec) {
  const auto cores = static_cast<size_t>(std::max(std::thread::hardware_concurrency(), 1u));
  return std::clamp<size_t>(static_cast<size_t>(std::max(spec.max_ongoing_requests, 1)), 2, 2 * cores + 2);
}

std::unique_ptr<Replica> Replica::create(async::Loop& loop, async::BlockingPool& pool, ReplicaOptions options) {
  return std::unique_ptr<Replica>(new Replica(std::make_unique<Parts>(loop, pool, std::move(options))));
}

Replica::Replica(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {
  mount_control(parts_->control, *this);
  if (parts_->options.mount) parts_->options.mount(parts_->control);
  if (auto* metrics = parts_->options.metrics)
    parts_->control.unary("GET", "/metrics", [metrics](http::Request) -> async::Task<http::Reply> {
      return [](observe::Metrics* m) -> async::Task<http::Reply> {
        http::Reply reply;
        reply.content_type = observe::Metrics::kContentType;
        reply.body = m->text();
        co_return reply;
      }(metrics);
    });
}

Replica::~Replica() = default;

void Replica::start() {
  parts_->core.lifecycle.begin_phase("load");
  parts_->loading = true;
  parts_->scope.spawn(first_load());
}

async::Task<void> Replica::first_load() {
  auto& core = parts_->core;
  LoadTask task{&core.loop, &core.lifecycle, parts_->options.make_runtime, core.spec, parts_->options.model_names};
  auto table = co_await core.pool.run(core.loop, std::move(task));
  parts_->loading = false;
  if (!table) {
    LOG(error, "{}: cannot load: {}", core.id, table.error().message);
    core.lifecycle.fail(table.error().message);
  } else {
    parts_->serve(std::move(*table));
    core.lifecycle.ready();
    LOG(info, "{}: READY with {} model{}", core.id, core.table->models.size(),
        core.table->models.size() == 1 ? "" : "s");
  }
  parts_->grpc->show_state();
}

async::Task<void> Replica::stop() {
  auto& core = parts_->core;
  parts_->scope.stop();
  core.lifecycle.stop();
  co_await parts_->control.stop();
  core.inbox.close();
  co_await core.inbox.join();
  co_await parts_->scope.join();
  core.table.reset();
}

ReplicaReport Replica::report() const {
  const Core& core = parts_->core;
  ReplicaReport r;
  r.id = core.id;
  r.state = core.lifecycle.state();
  r.phase = core.lifecycle.phase();
  r.phases = core.lifecycle.phases();
  r.error = core.lifecycle.error();
  if (r.state == ReplicaState::kReady && core.stuck()) {
    r.state = ReplicaState::kFailed;
    r.error = fmt::format("the model hangs: work runs {:.0f} s beyond its deadline", to_seconds(core.inbox.overdue()));
  }
  r.revision = core.revision;
  r.requests = core.answered;
  r.ongoing = core.open_requests;
  if (!core.table) return r;
  for (const auto& m : core.table->models) {
    const auto& info = m->model->info();
    r.models.push_back({info.name, info.version, info.bytes});
  }
  return r;
}

async::Task<bool> Replica::changed_from(std::string state, std::string phase, Duration wait) {
  auto& core = parts_->core;
  return core.lifecycle.changed_from(std::move(state), std::move(phase), Deadline::after(core.loop.now(), wait));
}

async::Task<Result<double>> Replica::reconfigure(Reconfiguration change) {
  auto& core = parts_->core;
  if (change.epoch < core.epoch)
    co_return fail(
        failed_precondition(fmt::format("epoch {} is older than {}", change.epoch, core.epoch), "stale_epoch"));
  core.epoch = change.epoch;
  if (change.app != core.app || change.spec.name != core.spec.name ||
      process_hash(change.spec) != process_hash(core.spec))
    co_return fail(failed_precondition("what changed needs a new process", "needs_new_process"));
  if (core.stuck())
    co_return fail(failed_precondition("the model hangs: only a new process helps", "needs_new_process"));
  if (parts_->loading) co_return fail(unavailable("a load is going on already; ask again when it has ended", "busy"));
  parts_->loading = true;
  auto result = co_await load_and_swap(std::move(change));
  parts_->loading = false;
  parts_->grpc->show_state();
  co_return result;
}

async::Task<Result<double>> Replica::load_and_swap(Reconfiguration change) {
  auto& core = parts_->core;
  const TimePoint began = core.loop.now();
  const auto& now = core.spec;
  const bool same_models = core.table && change.spec.model == now.model && change.spec.models == now.models &&
                           change.spec.user_config == now.user_config &&
                           change.model_names == parts_->options.model_names;
  if (!same_models) {
    LoadTask task{&core.loop, nullptr, parts_->options.make_runtime, change.spec, change.model_names};
    auto table = co_await core.pool.run(core.loop, std::move(task));
    if (!table) {
      LOG(error, "{}: the new models cannot be loaded, the old ones stay: {}", core.id, table.error().message);
      // Nothing serves yet: then the reason of this try is the one to show.
      if (!core.table) core.lifecycle.fail(table.error().message);
      co_return fail(std::move(table).error());
    }
    parts_->use(change.spec);
    parts_->serve(std::move(*table));
    core.lifecycle.ready();
  } else {
    parts_->use(change.spec);
  }
  core.revision = change.revision;
  parts_->options.model_names = std::move(change.model_names);
  const double seconds = to_seconds(core.loop.now() - began);
  LOG(info, "{}: serves revision {} ({})", core.id, core.revision, same_models ? "same models" : "new models");
  co_return seconds;
}

async::Task<Result<size_t>> Replica::drain(Duration grace, uint64_t epoch) {
  auto& core = parts_->core;
  if (epoch < core.epoch)
    co_return fail(failed_precondition(fmt::format("epoch {} is older than {}", epoch, core.epoch), "stale_epoch"));
  core.epoch = epoch;
  if (core.lifecycle.state() != ReplicaState::kDraining) {
    LOG(info, "{}: draining, {} requests run", core.id, core.open_requests);
    core.lifecycle.drain();
    parts_->grpc->show_state();
    if (parts_->options.on_drain) parts_->options.on_drain();
  }
  const Deadline deadline = Deadline::after(core.loop.now(), grace);
  auto busy = [this] {
    return parts_->core.open_requests > 0 || (parts_->options.has_links && parts_->options.has_links());
  };
  while (busy() && !deadline.passed(core.loop.now()) && !parts_->scope.stopping())
    co_await core.idle.wait(parts_->scope, deadline.sooner(Deadline::after(core.loop.now(), kDrainLook)));
  co_return core.open_requests;
}

http::ExchangeHandler* Replica::on_request(http::Exchange& exchange, const http::RequestHead& head) {
  auto& core = parts_->core;
  if (head.is_grpc()) return parts_->grpc->on_request(exchange, head);
  const bool linked = exchange.carrier() == http::Carrier::kFrame;
  if (!linked && (head.path.starts_with("/colony.") || head.path == "/metrics" || head.path.starts_with("/-/")))
    return parts_->control.on_request(exchange, head);
  const auto oip = parse_oip_path(head.path);
  if (!oip) return serve_raw(core, exchange, head);
  // A proxy sends /v2/... of models that are nobody's to the app whose prefix fits: then it is a raw request.
  if (linked && core.table && answers_raw(core) &&
      (oip->what != OipPath::What::kModel || !core.table->find(oip->model)))
    return serve_raw(core, exchange, head);
  return serve_oip(core, exchange, head, *oip);
}

}  // namespace colony::replica
