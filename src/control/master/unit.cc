// The replica's state machine as `colony status` shows it, derived from the two views and never stored.
#include "control/master/unit.h"

#include <fmt/format.h>

namespace colony::master {

bool Unit::process_ready() const {
  return actor && actor->state == engine::ActorState::kRunning && report && report_incarnation == actor->incarnation &&
         report->state == "READY";
}

ReplicaState Unit::state() const {
  if (draining) return ReplicaState::kDraining;
  if (!actor) return ReplicaState::kPending;
  switch (actor->state) {
    case engine::ActorState::kReserved:
    case engine::ActorState::kStarting: return ReplicaState::kStarting;
    case engine::ActorState::kBackoff: return ReplicaState::kFailed;
    case engine::ActorState::kStopping: return ReplicaState::kDraining;
    case engine::ActorState::kRunning: break;
  }
  if (!report || report_incarnation != actor->incarnation) return ReplicaState::kStarting;
  if (report->state == "READY") return ReplicaState::kReady;
  if (report->state == "FAILED") return ReplicaState::kFailed;
  if (report->state == "DRAINING") return ReplicaState::kDraining;
  return ReplicaState::kStarting;
}

policy::ReplicaPhase Unit::phase() const {
  switch (state()) {
    case ReplicaState::kPending: return policy::ReplicaPhase::kPending;
    case ReplicaState::kStarting: return policy::ReplicaPhase::kStarting;
    case ReplicaState::kReady: return policy::ReplicaPhase::kReady;
    case ReplicaState::kFailed: return policy::ReplicaPhase::kFailed;
    case ReplicaState::kDraining: return policy::ReplicaPhase::kDraining;
  }
  return policy::ReplicaPhase::kPending;
}

std::string Unit::why() const {
  switch (state()) {
    case ReplicaState::kPending: return pending_why.empty() ? "waiting for a place" : pending_why;
    case ReplicaState::kFailed:
      if (actor->state == engine::ActorState::kBackoff)
        return fmt::format("{}; next start in {:.1f} s", actor->last_exit, actor->next_start_s);
      return report ? report->error : std::string();
    case ReplicaState::kReady: return reconfigure_error;
    default: return {};
  }
}

ReplicaStatus describe(Unit& unit, WallTime wall) {
  ReplicaStatus s;
  s.id = unit.id;
  s.state = unit.state();
  if (s.state != unit.shown || unit.since == WallTime{}) {
    unit.shown = s.state;
    unit.since = wall;
  }
  s.since = unit.since;
  s.reason = unit.why();
  if (unit.actor) {
    s.pid = unit.actor->pid;
    s.node = unit.actor->node;
    s.restarts = unit.actor->incarnation > 0 ? static_cast<int>(unit.actor->incarnation - 1) : 0;
    s.address = unit.actor->address;
    s.last_error = unit.actor->last_exit;
    if (s.state == ReplicaState::kFailed)
      s.last_log_lines =
          unit.actor->state == engine::ActorState::kRunning ? unit.load_log_lines : unit.actor->last_log_lines;
  }
  if (!unit.reconfigure_error.empty()) s.last_error = unit.reconfigure_error;
  if (unit.report && unit.actor && unit.report_incarnation == unit.actor->incarnation) {
    s.revision = unit.report->revision;
    if (!unit.report->error.empty()) s.last_error = unit.report->error;
  }
  if (s.state == ReplicaState::kStarting || s.state == ReplicaState::kReady) {
    if (unit.reserve_time > Duration::zero()) s.phases.push_back({"reserve", to_seconds(unit.reserve_time)});
    if (unit.spawn_time > Duration::zero()) s.phases.push_back({"spawn", to_seconds(unit.spawn_time)});
    if (unit.report)
      for (const auto& p : unit.report->phases) s.phases.push_back(p);
  }
  return s;
}

ReplicaRecord record_of(const Unit& unit) {
  ReplicaRecord r;
  r.id = unit.id;
  r.incarnation = unit.actor ? unit.actor->incarnation : 0;
  r.address = unit.actor ? unit.actor->address : std::string();
  r.node = unit.actor ? unit.actor->node : std::string();
  r.draining = unit.draining;
  return r;
}

}  // namespace colony::master
