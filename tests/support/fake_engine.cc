// See fake_engine.h. Everything happens on the simulated loop; an actor is destroyed only from a turn of its own, never
// from inside one of its calls.
#include "tests/support/fake_engine.h"

#include <fmt/format.h>

#include <algorithm>

namespace colony::testing {

using engine::ActorState;
using engine::Event;

struct FakeEngine::Actor {
  Actor(async::Loop& loop, std::function<void()> on_timer) : timer(loop, std::move(on_timer)) {}
  engine::ActorStatus status;  // its spec holds the payload here
  std::unique_ptr<FakeActor> process;
  policy::Restart restart;
  TimePoint launched_at{};
  async::Timer timer;  // the end of the start latency, of the back-off or of the grace
  uint64_t life = 0;   // tells a late exit() of an earlier process apart
  std::deque<std::string> log;
};

struct FakeEngine::Watcher final : engine::Subscription {
  std::function<void(const Event&)> fn;
};

FakeEngine::FakeEngine(async::SimLoop& loop, Options options, Factory factory)
    : loop_(loop), options_(options), factory_(std::move(factory)), scope_(loop), unpaused_(loop), gone_(loop) {
  if (options_.default_node) set_node({.id = "node-1", .cpus = 64});
}

FakeEngine::~FakeEngine() { *alive_ = false; }

void FakeEngine::set_node(policy::NodeCapacity node) { ledger_.set_node(std::move(node)); }

void FakeEngine::lose_node(const std::string& id) {
  if (const auto* node = ledger_.find_node(id)) {
    auto lost = *node;
    lost.alive = false;
    ledger_.set_node(std::move(lost));
  }
  std::vector<std::string> there;
  for (const auto& [actor_id, actor] : actors_) {
    if (actor->status.node == id) there.push_back(actor_id);
  }
  for (const auto& actor_id : there) remove(actor_id);
}

void FakeEngine::crash(const std::string& id, std::string how) {
  Actor* actor = find(id);
  CHECK(actor != nullptr);
  died(*actor, std::move(how));
}

void FakeEngine::crash_all() {
  for (const auto& [id, actor] : actors_) died(*actor, "killed by signal 9 (SIGKILL)");
}

void FakeEngine::fail_next_start(int times, std::string how) {
  failing_starts_ = times;
  failing_how_ = std::move(how);
}

void FakeEngine::fail_next_reserve(Error error) { failing_reserves_.push_back(std::move(error)); }
void FakeEngine::pause() { paused_ = true; }

void FakeEngine::resume() {
  paused_ = false;
  events_.clear();
  unpaused_.notify();
  resync();
}

void FakeEngine::resync() { emit({.kind = Event::Kind::kResync, .actor = {}}); }

void FakeEngine::append_log(const std::string& id, std::string line) {
  if (Actor* a = find(id)) a->log.push_back(std::move(line));
}

FakeActor* FakeEngine::actor(const std::string& id) {
  Actor* a = find(id);
  return a == nullptr ? nullptr : a->process.get();
}

const engine::ActorStatus* FakeEngine::status(const std::string& id) const {
  auto it = actors_.find(id);
  return it == actors_.end() ? nullptr : &it->second->status;
}

FakeEngine::Actor* FakeEngine::find(const std::string& id) {
  auto it = actors_.find(id);
  return it == actors_.end() ? nullptr : it->second.get();
}

engine::ActorStatus FakeEngine::view(const Actor& actor) const {
  engine::ActorStatus out = actor.status;
  out.spec.payload.clear();
  if (out.state == ActorState::kBackoff && actor.timer.armed()) {
    out.next_start_s = to_seconds(std::max(Duration::zero(), actor.timer.at() - loop_.now()));
  }
  return out;
}

void FakeEngine::changed(Actor& actor, ActorState state) {
  actor.status.state = state;
  actor.status.since = loop_.wall_now();
  emit({.kind = Event::Kind::kChanged, .actor = view(actor)});
}

void FakeEngine::emit(Event event) {
  if (paused_) return;
  events_.push_back(std::move(event));
  if (std::exchange(delivery_posted_, true)) return;
  loop_.post([this, alive = alive_] {
    if (*alive) deliver();
  });
}

void FakeEngine::deliver() {
  delivery_posted_ = false;
  while (!events_.empty() && !paused_) {
    const Event event = std::move(events_.front());
    events_.pop_front();
    const auto watchers = watchers_;
    for (const auto& weak : watchers) {
      if (auto watcher = weak.lock()) watcher->fn(event);
    }
  }
  std::erase_if(watchers_, [](const auto& weak) { return weak.expired(); });
}

// ---- lives ----

void FakeEngine::launch(Actor& actor) {
  ++actor.status.incarnation;
  ++actor.life;
  ++starts_;
  actor.status.pid = next_pid_++;
  actor.launched_at = loop_.now();
  changed(actor, ActorState::kStarting);
  actor.timer.arm_after(options_.start_latency);
}

void FakeEngine::launched(Actor& actor) {
  if (failing_starts_ > 0) {
    --failing_starts_;
    died(actor, failing_how_);
    return;
  }
  if (factory_) {
    actor.process = factory_(actor.status.spec, actor.status.incarnation, actor.status.address);
    if (actor.process == nullptr) {
      died(actor, "exit code 1");
      return;
    }
    actor.process->on_exit_ = [this, alive = alive_, id = actor.status.spec.id, life = actor.life](std::string how) {
      loop_.post([this, alive, id, life, how = std::move(how)] {
        if (!*alive) return;
        if (Actor* a = find(id); a != nullptr && a->life == life && a->process) died(*a, how);
      });
    };
  }
  changed(actor, ActorState::kRunning);
  if (actor.process) actor.process->started();
}

void FakeEngine::died(Actor& actor, std::string how) {
  const ActorState state = actor.status.state;
  if (state == ActorState::kReserved || state == ActorState::kBackoff) return;
  ++actor.life;
  actor.process.reset();
  loop_.reset_all(async::Endpoint{actor.status.address});
  if (state == ActorState::kStopping) {
    remove(actor.status.spec.id);
    return;
  }
  actor.status.pid = 0;
  actor.status.last_exit = std::move(how);
  const size_t kept = std::min<size_t>(10, actor.log.size());
  actor.status.last_log_lines.assign(actor.log.end() - static_cast<ptrdiff_t>(kept), actor.log.end());
  actor.timer.arm_after(actor.restart.died(loop_.now() - actor.launched_at));
  changed(actor, ActorState::kBackoff);
}

void FakeEngine::remove(const std::string& id) {
  auto node = actors_.extract(id);
  if (node.empty()) return;
  ledger_.release(id);
  Event event{.kind = Event::Kind::kGone, .actor = view(*node.mapped())};
  event.actor.pid = 0;
  // It may be running right now (a timer of its own, a call from inside it): it ends in a later turn.
  node.mapped()->timer.cancel();
  std::shared_ptr<Actor> last(std::move(node.mapped()));
  loop_.post([last] {});
  emit(std::move(event));
  gone_.notify();
}

// ---- the port ----

async::Task<Result<void>> FakeEngine::enter(const engine::Fence* fence) {
  while (paused_) co_await unpaused_.wait(scope_);
  if (fence != nullptr) CO_TRY_VOID(fences_.admit(*fence));
  co_return Result<void>{};
}

async::Task<Result<engine::Reservation>> FakeEngine::reserve(engine::Fence fence, engine::ActorSpec spec) {
  CO_TRY_VOID(engine::check_spec(spec));
  CO_TRY_VOID(co_await enter(&fence));
  if (Actor* known = find(spec.id)) {
    auto& now = known->status.spec;
    now.payload = std::move(spec.payload);
    now.env = std::move(spec.env);
    now.labels = std::move(spec.labels);
    changed(*known, known->status.state);
    co_return engine::Reservation{spec.id, known->status.node};
  }
  if (!failing_reserves_.empty()) {
    Error error = failing_reserves_.front();
    failing_reserves_.erase(failing_reserves_.begin());
    co_return fail(std::move(error));
  }
  if (actors_.size() >= engine::kMaxActors) co_return fail(resource_exhausted("too many actors", "too_many_actors"));
  const policy::Demand demand{.actor = spec.id,
                              .app = spec.app,
                              .deployment = spec.deployment,
                              .need = spec.resources,
                              .node = spec.placement.node,
                              .spread = spec.placement.spread,
                              .max_per_node = spec.placement.max_per_node};
  CO_TRY(std::string node, ledger_.choose(demand));
  ledger_.hold(demand, node);
  const std::string id = spec.id;
  auto actor = std::make_unique<Actor>(loop_, [this, id] {
    Actor* a = find(id);
    if (a == nullptr) return;
    if (a->status.state == ActorState::kStarting) {
      launched(*a);
    } else if (a->status.state == ActorState::kBackoff) {
      launch(*a);
    } else if (a->status.state == ActorState::kStopping) {
      died(*a, "killed by signal 9 (SIGKILL)");
    }
  });
  actor->restart = policy::Restart(options_.restart);
  actor->status.spec = std::move(spec);
  actor->status.node = node;
  actor->status.address = fmt::format("unix:/actors/{}/sock", id);
  Actor& placed = *actor;
  actors_.emplace(id, std::move(actor));
  changed(placed, ActorState::kReserved);
  co_return engine::Reservation{id, node};
}

async::Task<Result<engine::ActorStatus>> FakeEngine::start(engine::Fence fence, engine::Reservation reservation) {
  CO_TRY_VOID(co_await enter(&fence));
  Actor* actor = find(reservation.actor);
  if (actor == nullptr)
    co_return fail(not_found(fmt::format("no reservation '{}'", reservation.actor), "no_such_actor"));
  if (actor->status.state == ActorState::kStopping) {
    co_return fail(failed_precondition(fmt::format("{} is being stopped", reservation.actor), "stopping"));
  }
  if (actor->status.state == ActorState::kReserved) launch(*actor);
  co_return view(*actor);
}

async::Task<Result<void>> FakeEngine::stop(engine::Fence fence, std::string id, Duration grace) {
  CO_TRY_VOID(co_await enter(&fence));
  Actor* actor = find(id);
  if (actor == nullptr) co_return Result<void>{};
  const TimePoint kill_at = loop_.now() + grace;
  if (actor->status.state != ActorState::kStopping) {
    const bool runs = actor->status.state == ActorState::kRunning && actor->process;
    actor->timer.arm(kill_at);
    changed(*actor, ActorState::kStopping);
    if (runs) {
      actor->process->terminate();
    } else {
      remove(id);
    }
  } else if (kill_at < actor->timer.at()) {
    actor->timer.arm(kill_at);
  }
  while (find(id) == actor) co_await gone_.wait(scope_);
  co_return Result<void>{};
}

async::Task<Result<std::vector<engine::ActorStatus>>> FakeEngine::list(std::string app) {
  CO_TRY_VOID(co_await enter(nullptr));
  std::vector<engine::ActorStatus> out;
  for (const auto& [id, actor] : actors_) {
    if (app.empty() || actor->status.spec.app == app) out.push_back(view(*actor));
  }
  co_return out;
}

std::unique_ptr<engine::Subscription> FakeEngine::watch(std::function<void(const Event&)> on_event) {
  auto watcher = std::make_shared<Watcher>();
  watcher->fn = std::move(on_event);
  watchers_.push_back(watcher);
  struct Held final : engine::Subscription {
    explicit Held(std::shared_ptr<Watcher> w) : watcher(std::move(w)) {}
    std::shared_ptr<Watcher> watcher;
  };
  return std::make_unique<Held>(std::move(watcher));
}

async::Task<Result<std::vector<engine::NodeStatus>>> FakeEngine::nodes() {
  CO_TRY_VOID(co_await enter(nullptr));
  std::vector<engine::NodeStatus> out;
  for (const auto& node : ledger_.nodes()) {
    const auto used = ledger_.usage(node.id);
    out.push_back({.id = node.id,
                   .host = "localhost",
                   .zone = "",
                   .agent_address = "",
                   .alive = node.alive,
                   .cpus = node.cpus,
                   .cpus_used = used.cpus,
                   .gpus = node.gpus,
                   .gpus_used = used.gpus,
                   .memory = node.memory,
                   .memory_used = used.memory});
  }
  co_return out;
}

async::Task<Result<std::string>> FakeEngine::logs(std::string id, size_t lines) {
  CO_TRY_VOID(co_await enter(nullptr));
  Actor* actor = find(id);
  if (actor == nullptr) co_return fail(not_found(fmt::format("no actor '{}'", id), "no_such_actor"));
  std::string out;
  const size_t skip = actor->log.size() - std::min(lines, actor->log.size());
  for (size_t i = skip; i < actor->log.size(); ++i) out += actor->log[i] + "\n";
  co_return out;
}

}  // namespace colony::testing
