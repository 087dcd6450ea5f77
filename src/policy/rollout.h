// How many replicas to start and which to drain, so that a deployment reaches its target without ever serving with fewer
// ready replicas than it has to. Pure: facts in, decision out. Used by control/master; simulated in rollout_test.cc.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"

namespace colony::policy {

enum class ReplicaPhase : uint8_t { kPending, kStarting, kReady, kFailed, kDraining };

struct ReplicaFacts {
  std::string id;
  bool current = true;  // runs the wanted process (same process_hash); false: of an older spec, to be replaced
  ReplicaPhase phase = ReplicaPhase::kPending;
  TimePoint created{};
};

struct RolloutInput {
  int target = 1;
  double percentage =
      0.2;  // share of the target that may be started above it while old ones are replaced; at least one
  std::vector<ReplicaFacts> replicas;
};

struct RolloutDecision {
  int start = 0;
  std::vector<std::string> drain;
  bool operator==(const RolloutDecision&) const = default;
};

// INVARIANT: draining what is returned never brings the ready replicas below min(target, ready now).
// INVARIANT: non-draining replicas after `start` are at most max(those now, target + surge).
RolloutDecision decide_rollout(const RolloutInput& in);

// How many replicas may be reconfigured in place at once.
int reconfigure_wave(int target, double percentage);

}  // namespace colony::policy
