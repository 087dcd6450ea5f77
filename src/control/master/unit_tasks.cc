// One replica's life as coroutines of its master's scope: start, watch, reconfigure in place, drain. Every one of them looks
// again at unit->gone, unit->draining and ended_ after each wait.
#include <algorithm>

#include "base/log.h"
#include "control/master/app_master.h"

namespace colony::master {
namespace {

constexpr Duration kStatusWait = 1s;                               // between looks at a process that does not run yet
constexpr Duration kShortestPeriod = 100ms, kLongestPeriod = 10s;  // LIMIT: of health_check_period_s
constexpr Duration kAnswerMargin = 2s;                             // above the period, for the answer to arrive
constexpr Duration kRetry = 50ms;
constexpr Duration kStopGrace = 5s;        // between SIGTERM and SIGKILL, after the drain
constexpr Duration kPublishPatience = 2s;  // GOAWAY makes a drain safe even when discovery cannot be told
constexpr Duration kMaxBackoff = 60s;

constexpr size_t kShownLines = 10;  // of a failed replica's log

bool stale(const Error& e) { return e.reason == "stale_epoch"; }

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (end != 0) out.emplace_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return out;
}

}  // namespace

async::Task<void> AppMaster::start_unit(UnitPtr unit, engine::ActorSpec spec) {
  const TimePoint begun = deps_.loop.now();
  Duration backoff = 100ms;
  while (!scope_.stopping() && !ended_ && !unit->draining) {
    Error error;
    auto reservation = co_await deps_.engine.reserve(fence(), spec);
    if (reservation) {
      unit->reserve_time = std::max<Duration>(deps_.loop.now() - begun, 1us);
      auto actor = co_await deps_.engine.start(fence(), *reservation);
      if (actor) {
        unit->pending_why.clear();
        if (!unit->actor) unit->actor = *actor;
        take_actor(*actor);
        wake_.notify();
        scope_.spawn(watch_unit(unit));
        co_return;
      }
      error = actor.error();
    } else {
      error = reservation.error();
    }
    if (stale(error)) co_return fenced();
    unit->pending_why = error.message;
    wake_.notify();
    if (!co_await scope_.sleep(backoff)) co_return;
    backoff = std::min<Duration>(backoff * 2, 5s);
  }
}

async::Task<void> AppMaster::watch_unit(UnitPtr unit) {
  while (!scope_.stopping() && !ended_ && !unit->gone) {
    if (!unit->actor || unit->actor->state != engine::ActorState::kRunning) {
      co_await changed_.wait(scope_, Deadline::after(deps_.loop.now(), kStatusWait));
      continue;
    }
    const uint64_t incarnation = unit->actor->incarnation;
    if (!unit->client || unit->client->address() != unit->actor->address)
      unit->client = std::make_shared<ReplicaClient>(deps_.loop, async::Endpoint{unit->actor->address});
    auto client = unit->client;
    const bool known = unit->report && unit->report_incarnation == incarnation;
    const TimePoint asked = deps_.loop.now();
    const auto* spec = spec_of(*unit);
    // A replica answers at once when its state changes, else after this long: that is the health check.
    const Duration period =
        std::clamp<Duration>(from_seconds(spec ? spec->health_check_period_s : 10), kShortestPeriod, kLongestPeriod);
    auto report = co_await client->status(known ? unit->report->state : "", known ? unit->report->phase : "", period,
                                          kAnswerMargin);
    if (scope_.stopping() || ended_ || unit->gone) co_return;
    if (!unit->actor || unit->actor->incarnation != incarnation) continue;
    if (report) {
      unit->last_heard = deps_.loop.now();
      const bool same = known && unit->report->state == report->state && unit->report->phase == report->phase &&
                        unit->report->revision == report->revision && unit->report->error == report->error;
      if (!same && report->state == "FAILED") {
        unit->retry_load_at = deps_.loop.now() + unit->load_backoff;
        unit->load_backoff = std::min<Duration>(unit->load_backoff * 2, kMaxBackoff);
        if (auto text = co_await deps_.engine.logs(unit->id, kShownLines)) unit->load_log_lines = lines_of(*text);
        if (scope_.stopping() || ended_ || unit->gone) co_return;
      }
      if (report->state == "READY") unit->load_backoff = 1s;
      unit->report = *report;
      unit->report_incarnation = incarnation;
      if (!same) wake_.notify();
      if (same && deps_.loop.now() - asked < kRetry && !co_await scope_.sleep(kRetry)) co_return;
      continue;
    }
    spec = spec_of(*unit);
    const Duration patience = from_seconds(spec ? spec->health_check_timeout_s : 30);
    if (!unit->draining && deps_.loop.now() - unit->last_heard > patience) {
      LOG(warn, "replica {}: no answer for {:.0f} s ({}): it is replaced", unit->id, to_seconds(patience),
          report.error().message);
      auto stopped = co_await deps_.engine.stop(fence(), unit->id, Duration::zero());
      if (!stopped && stale(stopped.error())) co_return fenced();
      if (stopped && !unit->gone) co_return forget(unit);
    }
    if (!co_await scope_.sleep(kRetry)) co_return;
  }
}

async::Task<void> AppMaster::reconfigure_unit(UnitPtr unit, DeploymentSpec spec) {
  const uint64_t revision = assignment_.revision;
  auto client = unit->client;
  Result<void> done = client ? co_await client->reconfigure(assignment_.spec, spec, revision, assignment_.epoch)
                             : Result<void>(fail(unavailable("the replica has no connection yet")));
  if (scope_.stopping() || ended_) co_return;
  if (done) {
    unit->reconfigure_error.clear();
    unit->reconfigure_failed_revision = 0;
    if (unit->report) unit->report->revision = revision;
    if (!unit->gone && !unit->draining) {
      auto told = co_await deps_.engine.reserve(fence(), actor_spec(spec, unit->id));
      if (!told && stale(told.error())) co_return fenced();
    }
  } else if (done.error().code == Code::kUnavailable || done.error().code == Code::kDeadlineExceeded) {
    co_await scope_.sleep(kRetry * 4);  // it died or restarts: its new incarnation is asked again
  } else if (done.error().reason == "needs_new_process") {
    LOG(warn, "replica {}: {}: it is replaced", unit->id, done.error().message);
    auto stopped = co_await deps_.engine.stop(fence(), unit->id, kStopGrace);
    if (!stopped && stale(stopped.error())) co_return fenced();
    if (stopped && !unit->gone) co_return forget(unit);
  } else {
    LOG(warn, "replica {}: revision {} was not taken: {}", unit->id, revision, done.error().message);
    unit->reconfigure_error = done.error().message;
    unit->reconfigure_failed_revision = revision;
    unit->retry_load_at = deps_.loop.now() + unit->load_backoff;
    unit->load_backoff = std::min<Duration>(unit->load_backoff * 2, kMaxBackoff);
  }
  unit->reconfiguring = false;
  wake_.notify();
}

// The replica serves the right revision, but its next incarnation would start with an old one: a former master died in between.
async::Task<void> AppMaster::refresh_payload(UnitPtr unit, engine::ActorSpec spec) {
  auto told = co_await deps_.engine.reserve(fence(), spec);
  if (scope_.stopping() || ended_) co_return;
  if (told) {
    if (unit->actor) unit->actor->spec.labels = spec.labels;
  } else if (stale(told.error())) {
    co_return fenced();
  } else {
    co_await scope_.sleep(kRetry * 10);
  }
  unit->reconfiguring = false;
}

// Order: leave discovery, be acknowledged, finish what runs, stop (docs/ and ARCHITECTURE.md: "How a replica leaves").
async::Task<void> AppMaster::drain_unit(UnitPtr unit) {
  unit->drain_started = true;
  wake_.notify();
  published_signal_.notify();
  const Deadline told = Deadline::after(deps_.loop.now(), kPublishPatience);
  auto still_listed = [this, &unit] {
    if (!published_) return false;
    for (const auto& d : published_->deployments)
      for (const auto& r : d.replicas)
        if (r.id == unit->id && !r.draining) return true;
    return false;
  };
  while (!scope_.stopping() && !ended_ && !withdrawn_ && still_listed() && !told.passed(deps_.loop.now()))
    co_await changed_.wait(scope_, told);
  const auto* spec = spec_of(*unit);
  const Duration limit = from_seconds(spec ? spec->graceful_shutdown_timeout_s : 20);
  if (auto client = unit->client; client && unit->process_ready()) {
    auto drained = co_await client->drain(limit, assignment_.epoch);
    if (!drained) LOG(info, "replica {}: drain: {}", unit->id, drained.error().message);
  }
  Duration backoff = 100ms;
  while (!scope_.stopping() && !ended_) {
    auto stopped = co_await deps_.engine.stop(fence(), unit->id, kStopGrace);
    if (stopped) {
      if (!unit->gone) forget(unit);
      co_return;
    }
    if (stale(stopped.error())) co_return fenced();
    LOG(warn, "replica {}: stop: {}", unit->id, stopped.error().message);
    if (!co_await scope_.sleep(backoff)) co_return;
    backoff = std::min<Duration>(backoff * 2, 5s);
  }
}

}  // namespace colony::master
