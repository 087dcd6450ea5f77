// What people are told: the app's status in Ray's words, derived from the units each time, pushed when it differs.
#include <fmt/format.h>

#include <set>

#include "control/master/app_master.h"

namespace colony::master {

DeploymentStatus AppMaster::describe_deployment(const DeploymentSpec* spec, const std::string& name) {
  DeploymentStatus out;
  out.name = name;
  out.target_replicas = spec && !assignment_.remove ? spec->num_replicas : 0;
  int ready = 0, failed = 0, old = 0, behind = 0, live = 0, leaving = 0;
  for (auto& [id, unit] : units_) {
    if (unit->deployment != name) continue;
    out.replicas.push_back(describe(*unit, deps_.loop.wall_now()));
    const auto& r = out.replicas.back();
    if (r.state == ReplicaState::kDraining) {
      ++leaving;
      continue;
    }
    ++live;
    const bool current = is_current(*unit);
    old += !current;
    ready += current && r.state == ReplicaState::kReady;
    behind += current && r.state == ReplicaState::kReady && r.revision != assignment_.revision;
    // One restart at once is no failure yet: it is over before anybody could act on it.
    const bool restarting =
        unit->actor && unit->actor->state == engine::ActorState::kBackoff && unit->actor->incarnation < 2;
    failed += r.state == ReplicaState::kFailed && !restarting;
    const bool refused = unit->reconfigure_failed_revision == assignment_.revision && !unit->reconfigure_error.empty();
    if (out.message.empty() && (r.state == ReplicaState::kFailed || r.state == ReplicaState::kPending || refused))
      out.message = fmt::format("replica {}: {}", id, r.reason.empty() ? r.last_error : r.reason);
    failed += refused;
  }
  for (const auto& [id, backend] : backends_) {
    if (backend->deployment != name) continue;
    out.replicas.push_back(backend->status(assignment_.revision));
    const ReplicaState state = backend->state();
    ++live;
    old += !spec || !spec->external();
    ready += state == ReplicaState::kReady;
    failed += state == ReplicaState::kFailed;
    if (out.message.empty() && state == ReplicaState::kFailed) out.message = backend->problem;
  }
  if (failed > 0)
    out.status = "UNHEALTHY";
  else if (old > 0 || behind > 0)
    out.status = "UPDATING";
  else if (ready == out.target_replicas && live == out.target_replicas && leaving == 0)
    out.status = "HEALTHY";
  else if (live + leaving > out.target_replicas)
    out.status = "DOWNSCALING";
  else
    out.status = deploying_ ? "UPDATING" : "UPSCALING";
  return out;
}

void AppMaster::emit() {
  published_signal_.notify();  // the record may have changed as well
  AppStatus s;
  s.name = assignment_.spec.name;
  s.revision = assignment_.revision;
  s.epoch = assignment_.epoch;
  s.last_deployed = last_deployed_;
  s.route_prefix = assignment_.spec.route_prefix;
  std::set<std::string> seen;
  for (const auto& d : assignment_.spec.deployments) {
    seen.insert(d.name);
    s.deployments.push_back(describe_deployment(&d, d.name));
  }
  for (const auto& [id, unit] : units_)
    if (seen.insert(unit->deployment).second) s.deployments.push_back(describe_deployment(nullptr, unit->deployment));
  for (const auto& [id, backend] : backends_)
    if (seen.insert(backend->deployment).second)
      s.deployments.push_back(describe_deployment(nullptr, backend->deployment));

  bool healthy = true, unhealthy = false;
  for (const auto& d : s.deployments) {
    healthy &= d.status == "HEALTHY";
    unhealthy |= d.status == "UNHEALTHY";
    if (s.message.empty() && !d.message.empty()) s.message = fmt::format("deployment {}: {}", d.name, d.message);
  }
  bool routed = published_.has_value();
  if (routed) {
    auto now = build_record();
    now.version = published_->version;
    routed = now == *published_;
  }
  if (assignment_.remove)
    s.status = "DELETING";
  else if (healthy && routed)
    s.status = "RUNNING";
  else if (deploying_)
    s.status = unhealthy ? "DEPLOY_FAILED" : "DEPLOYING";
  else
    s.status = unhealthy ? "UNHEALTHY" : "RUNNING";
  if (s.status == "RUNNING") deploying_ = false;
  if (s == shown_) return;
  shown_ = std::move(s);
  on_status_(shown_);
}

}  // namespace colony::master
