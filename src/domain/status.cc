// Names of the states.
#include "domain/status.h"

namespace colony {

std::string_view to_string(ReplicaState s) {
  switch (s) {
    case ReplicaState::kPending: return "PENDING";
    case ReplicaState::kStarting: return "STARTING";
    case ReplicaState::kReady: return "READY";
    case ReplicaState::kDraining: return "DRAINING";
    case ReplicaState::kFailed: return "FAILED";
  }
  return "";
}

}  // namespace colony
