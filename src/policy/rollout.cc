// First up, then down: new replicas are started within the surge, old ones leave only while enough others are ready.
#include "policy/rollout.h"

#include <algorithm>
#include <cmath>

namespace colony::policy {
namespace {

// Order in which superfluous replicas go: those that serve nobody first, then the youngest.
int rank(ReplicaPhase p) {
  switch (p) {
    case ReplicaPhase::kPending: return 0;
    case ReplicaPhase::kFailed: return 1;
    case ReplicaPhase::kStarting: return 2;
    case ReplicaPhase::kReady: return 3;
    case ReplicaPhase::kDraining: return 4;
  }
  return 4;
}

int share(int target, double percentage) { return std::max(1, static_cast<int>(std::ceil(target * percentage))); }

}  // namespace

int reconfigure_wave(int target, double percentage) { return share(target, percentage); }

RolloutDecision decide_rollout(const RolloutInput& in) {
  RolloutDecision out;
  std::vector<const ReplicaFacts*> current, old;
  int ready = 0;
  for (const auto& r : in.replicas) {
    if (r.phase == ReplicaPhase::kDraining) continue;
    (r.current ? current : old).push_back(&r);
    ready += r.phase == ReplicaPhase::kReady;
  }
  auto leaves_first = [](const ReplicaFacts* a, const ReplicaFacts* b) {
    if (rank(a->phase) != rank(b->phase)) return rank(a->phase) < rank(b->phase);
    if (a->created != b->created) return a->created > b->created;
    return a->id < b->id;
  };
  std::sort(current.begin(), current.end(), leaves_first);
  std::sort(old.begin(), old.end(), leaves_first);

  const int n_current = static_cast<int>(current.size()), n_old = static_cast<int>(old.size());
  const int missing = std::max(0, in.target - n_current);
  const int surge = n_old == 0 ? 0 : share(in.target, in.percentage);
  out.start = std::clamp(in.target + surge - n_current - n_old, 0, missing);

  int spare = std::max(0, ready - in.target);
  auto drain = [&](const ReplicaFacts& r) {
    if (r.phase == ReplicaPhase::kReady) {
      if (spare == 0) return false;
      --spare;
    }
    out.drain.push_back(r.id);
    return true;
  };
  for (const auto* r : old) drain(*r);
  int excess = n_current - in.target;
  for (const auto* r : current) {
    if (excess <= 0) break;
    if (drain(*r)) --excess;
  }
  return out;
}

}  // namespace colony::policy
