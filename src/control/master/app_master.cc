// The master's loop: look, decide, act, tell. Everything slow happens in tasks of unit_tasks.cc and publish.cc.
#include "control/master/app_master.h"

#include <fmt/format.h>

#include <set>

#include "base/log.h"
#include "base/random_id.h"
#include "domain/replica_payload.h"

namespace colony::master {
namespace {

constexpr Duration kTick = 1s;    // reconcile at least this often
constexpr Duration kResync = 5s;  // compare with the engine's list at least this often

std::string text(uint64_t v) { return fmt::format("{}", v); }

}  // namespace

AppMaster::AppMaster(Deps deps, Assignment assignment, std::function<void(const AppStatus&)> on_status,
                     std::function<void(const AppMaster*, Finished)> on_finished)
    : deps_(deps),
      assignment_(std::move(assignment)),
      on_status_(std::move(on_status)),
      on_finished_(std::move(on_finished)),
      scope_(deps.loop),
      wake_(deps.loop),
      changed_(deps.loop),
      published_signal_(deps.loop),
      // Later masters of the same epoch must count on from where this one stopped: wall time does that without a store.
      version_(static_cast<uint64_t>(to_ms(deps.loop.wall_now().time_since_epoch()))),
      last_deployed_(deps.loop.wall_now()) {
  watch_ = deps_.engine.watch([this](const engine::Event& e) { on_event(e); });
  scope_.spawn(run());
  scope_.spawn(publish_loop());
}

AppMaster::~AppMaster() = default;

async::Task<void> AppMaster::stop() {
  watch_.reset();
  scope_.stop();
  for (auto& [id, unit] : units_)
    if (unit->client) unit->client->close();
  co_await scope_.join();
}

Result<void> AppMaster::assign(Assignment a) {
  if (a.epoch < assignment_.epoch || (a.epoch == assignment_.epoch && a.revision < assignment_.revision))
    return fail(failed_precondition(
        fmt::format("app {}: assignment (epoch {}, revision {}) is older than ({}, {})", assignment_.spec.name, a.epoch,
                    a.revision, assignment_.epoch, assignment_.revision),
        "stale_epoch"));
  const bool new_work = a.revision != assignment_.revision || a.remove != assignment_.remove;
  assignment_ = std::move(a);
  if (new_work) {
    deploying_ = true;
    last_deployed_ = deps_.loop.wall_now();
    for (auto& [id, unit] : units_) unit->retry_load_at = {};
  }
  wake_.notify();
  return {};
}

async::Task<void> AppMaster::run() {
  TimePoint next_sync{};
  Duration backoff = 50ms;
  while (!scope_.stopping() && !ended_) {
    if (resync_ || deps_.loop.now() >= next_sync) {
      if (!co_await sync_with_engine()) {
        if (!co_await scope_.sleep(backoff)) break;
        backoff = std::min<Duration>(backoff * 2, 2s);
        continue;
      }
      backoff = 50ms;
      next_sync = deps_.loop.now() + kResync;
    }
    if (ended_) break;
    reconcile();
    emit();
    if (finished()) {
      ended_ = true;
      shown_.status = "DELETED";
      on_status_(shown_);
      deps_.loop.post([this, f = on_finished_] { f(this, {}); });
      break;
    }
    co_await wake_.wait(scope_, Deadline::after(deps_.loop.now(), kTick));
  }
}

// The engine's list is the truth about processes: what is unknown is adopted, what has vanished is forgotten.
async::Task<bool> AppMaster::sync_with_engine() {
  resync_ = false;
  auto list = co_await deps_.engine.list(assignment_.spec.name);
  if (!list) {
    LOG(warn, "app {}: cannot list actors: {}", assignment_.spec.name, list.error().message);
    resync_ = true;
    co_return false;
  }
  std::set<std::string> seen;
  for (const auto& actor : *list) {
    if (actor.spec.role != "replica") continue;
    seen.insert(actor.spec.id);
    take_actor(actor);
  }
  std::vector<UnitPtr> lost;
  for (auto& [id, unit] : units_)
    if (unit->actor && !seen.contains(id)) lost.push_back(unit);
  for (auto& unit : lost) forget(unit);
  co_return true;
}

void AppMaster::on_event(const engine::Event& event) {
  if (event.kind == engine::Event::Kind::kResync) {
    resync_ = true;
    wake_.notify();
    return;
  }
  if (event.actor.spec.app != assignment_.spec.name || event.actor.spec.role != "replica") return;
  if (event.kind == engine::Event::Kind::kChanged) {
    if (units_.contains(event.actor.spec.id)) take_actor(event.actor);
  } else if (auto it = units_.find(event.actor.spec.id); it != units_.end()) {
    if (!it->second->drain_started) forget(UnitPtr(it->second));
  }
  wake_.notify();
}

void AppMaster::take_actor(const engine::ActorStatus& actor) {
  auto& unit = units_[actor.spec.id];
  if (!unit) {
    unit = std::make_shared<Unit>();
    unit->id = actor.spec.id;
    unit->deployment = actor.spec.deployment;
    unit->created = deps_.loop.now();
    unit->last_heard = deps_.loop.now();
    LOG(info, "app {}: adopts replica {} (pid {})", assignment_.spec.name, actor.spec.id, actor.pid);
    unit->actor = actor;
    scope_.spawn(watch_unit(unit));
  }
  if (auto it = actor.spec.labels.find("process_hash"); it != actor.spec.labels.end()) unit->process_hash = it->second;
  const bool new_process = !unit->actor || unit->actor->incarnation != actor.incarnation;
  if (unit->actor && unit->actor->incarnation > actor.incarnation) return;  // an old event
  if (new_process) unit->last_heard = deps_.loop.now();
  if (actor.state == engine::ActorState::kRunning && unit->spawn_time == Duration::zero() &&
      unit->created != TimePoint{} && unit->actor && unit->actor->state != engine::ActorState::kRunning)
    unit->spawn_time = deps_.loop.now() - unit->created - unit->reserve_time;
  unit->actor = actor;
  changed_.notify();
}

void AppMaster::forget(const UnitPtr& unit) {
  unit->gone = true;
  units_.erase(unit->id);
  changed_.notify();
  wake_.notify();
}

const DeploymentSpec* AppMaster::spec_of(const Unit& unit) const { return assignment_.spec.find(unit.deployment); }

bool AppMaster::is_current(const Unit& unit) const {
  const auto* spec = spec_of(unit);
  return spec && unit.process_hash == process_hash(*spec);
}

void AppMaster::reconcile() {
  reconciled_ = true;
  std::set<std::string> names;
  for (const auto& d : assignment_.spec.deployments) names.insert(d.name);
  for (const auto& [id, unit] : units_) names.insert(unit->deployment);
  if (assignment_.remove && !withdrawn_) return;  // first the routes, then the replicas (publish.cc withdraws)
  reconcile_backends();
  for (const auto& name : names) {
    const DeploymentSpec* spec = assignment_.remove ? nullptr : assignment_.spec.find(name);
    if (spec && spec->external()) {
      if (!any_healthy(name)) continue;  // replicas of its former kind serve until an address does
      spec = nullptr;
    }
    reconcile_deployment(spec, name);
  }
}

void AppMaster::reconcile_deployment(const DeploymentSpec* spec, const std::string& name) {
  policy::RolloutInput in{spec ? spec->num_replicas : 0, spec ? spec->rolling_update_percentage : 1.0, {}};
  int reconfiguring = 0;
  bool wave_failed = false;
  std::vector<UnitPtr> behind;
  for (const auto& [id, unit] : units_) {
    if (unit->deployment != name) continue;
    const bool current = spec && is_current(*unit);
    in.replicas.push_back({id, current, unit->phase(), unit->created});
    if (!current || unit->draining || !unit->actor) continue;
    reconfiguring += unit->reconfiguring;
    wave_failed |= unit->reconfigure_failed_revision == assignment_.revision;
    if (unit->reconfiguring) continue;
    const bool fresh = unit->report && unit->report_incarnation == unit->actor->incarnation;
    if (unit->process_ready() && unit->report->revision != assignment_.revision) behind.push_back(unit);
    if (fresh && unit->report->state == "FAILED" && deps_.loop.now() >= unit->retry_load_at) behind.push_back(unit);
    if (unit->process_ready() && unit->report->revision == assignment_.revision) {
      auto it = unit->actor->spec.labels.find("revision");
      if (it == unit->actor->spec.labels.end() || it->second != text(assignment_.revision)) {
        unit->reconfiguring = true;
        scope_.spawn(refresh_payload(unit, actor_spec(*spec, id)));
      }
    }
  }
  const auto decision = policy::decide_rollout(in);
  for (const auto& id : decision.drain) {
    auto unit = units_.at(id);
    unit->draining = true;
    scope_.spawn(drain_unit(unit));
  }
  for (int i = 0; spec && i < decision.start; ++i) start_one(*spec);
  if (!spec) return;
  const int wave = policy::reconfigure_wave(spec->num_replicas, spec->rolling_update_percentage);
  for (auto& unit : behind) {
    if (reconfiguring >= wave || unit->draining) break;
    const bool reload = unit->report->state == "FAILED";
    if (!reload && wave_failed) continue;  // the first replica could not take it: the others keep the old spec
    unit->reconfiguring = true;
    ++reconfiguring;
    scope_.spawn(reconfigure_unit(unit, *spec));
  }
}

engine::ActorSpec AppMaster::actor_spec(const DeploymentSpec& spec, const std::string& id) const {
  engine::ActorSpec actor;
  actor.id = id;
  actor.role = "replica";
  actor.app = assignment_.spec.name;
  actor.deployment = spec.name;
  actor.payload = to_json(ReplicaPayload{assignment_.spec.name, spec, assignment_.spec.model_names(spec),
                                         assignment_.revision, assignment_.epoch});
  actor.labels = {{"process_hash", process_hash(spec)}, {"revision", text(assignment_.revision)}};
  actor.resources = spec.ray_actor_options;
  actor.placement.max_per_node = spec.max_replicas_per_node;
  return actor;
}

void AppMaster::start_one(const DeploymentSpec& spec) {
  static constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::string id;
  do {
    id = assignment_.spec.name + "." + spec.name + ".";
    for (int i = 0; i < 6; ++i) id += kAlphabet[deps_.loop.rng().below(kAlphabet.size())];
  } while (units_.contains(id));
  auto unit = std::make_shared<Unit>();
  unit->id = id;
  unit->deployment = spec.name;
  unit->process_hash = process_hash(spec);
  unit->created = deps_.loop.now();
  unit->last_heard = deps_.loop.now();
  units_[id] = unit;
  scope_.spawn(start_unit(unit, actor_spec(spec, id)));
}

bool AppMaster::finished() const { return assignment_.remove && withdrawn_ && units_.empty() && backends_.empty(); }

void AppMaster::fenced() {
  if (ended_) return;
  LOG(warn, "app {}: epoch {} is stale: another master has taken over, this one ends", assignment_.spec.name,
      assignment_.epoch);
  ended_ = true;
  wake_.notify();
  changed_.notify();
  published_signal_.notify();
  deps_.loop.post([this, f = on_finished_] { f(this, {true}); });
}

}  // namespace colony::master
