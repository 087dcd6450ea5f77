// What is observed: the states that `colony status` shows. Values only; JSON in domain/status_json.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace colony {

// PENDING -> STARTING -> READY -> DRAINING -> gone; FAILED from any of them, back to STARTING by a restart.
enum class ReplicaState : uint8_t { kPending, kStarting, kReady, kDraining, kFailed };
std::string_view to_string(ReplicaState s);  // "PENDING", ...

// Phases of STARTING with the seconds spent in each; the current one is the last.
struct PhaseTime {
  std::string phase;  // reserve | spawn | load | warm-up
  double seconds = 0;
  bool operator==(const PhaseTime&) const = default;
};

struct ReplicaStatus {
  std::string id;  // "APP.DEPLOYMENT.x1y2z3"
  ReplicaState state = ReplicaState::kPending;
  std::string reason;  // why PENDING or FAILED
  int64_t pid = 0;     // 0: no process
  std::string node;
  int restarts = 0;  // incarnation - 1
  WallTime since{};  // of this state
  std::vector<PhaseTime> phases;
  std::string last_error;                   // of the last death or failed load
  std::vector<std::string> last_log_lines;  // at most 10, when FAILED
  std::string address;                      // "unix:/..."
  uint64_t revision = 0;                    // of the spec that it serves
  bool operator==(const ReplicaStatus&) const = default;
};

struct DeploymentStatus {
  std::string name;
  std::string status;  // UPDATING | HEALTHY | UNHEALTHY | UPSCALING | DOWNSCALING (Ray's words)
  std::string message;
  int target_replicas = 0;
  std::vector<ReplicaStatus> replicas;
  bool operator==(const DeploymentStatus&) const = default;
};

struct AppStatus {
  std::string name;
  std::string status;  // NOT_STARTED | DEPLOYING | RUNNING | DEPLOY_FAILED | DELETING | UNHEALTHY (Ray's words)
  std::string message;
  uint64_t revision = 0;  // of the spec that was last accepted
  uint64_t epoch = 0;
  WallTime last_deployed{};
  std::string route_prefix;
  std::vector<DeploymentStatus> deployments;
  bool operator==(const AppStatus&) const = default;
};

}  // namespace colony
