// One node's agent as the embedded engine sees it: the engine's verbs for this node alone. Adapters: Agent (agent.h, in
// this process) and RemoteAgent (remote.h, by address).
#pragma once

#include "engine/contract.h"
#include "policy/place.h"

namespace colony::engine {

class AgentPort {
 public:
  virtual ~AgentPort() = default;
  // The node has the last word: it accounts its own capacity and refuses what does not fit, with the reason.
  virtual async::Task<Result<Reservation>> reserve(Fence fence, ActorSpec spec) = 0;
  // Done once the process exists or its start has failed (then it is in kBackoff).
  virtual async::Task<Result<ActorStatus>> start(Fence fence, Reservation reservation) = 0;
  virtual async::Task<Result<void>> stop(Fence fence, std::string actor, Duration grace) = 0;
  virtual async::Task<Result<std::vector<ActorStatus>>> list(std::string app) = 0;
  virtual std::unique_ptr<Subscription> watch(std::function<void(const Event&)> on_event) = 0;
  struct Node {
    NodeStatus status;
    policy::NodeCapacity capacity;
  };
  virtual async::Task<Result<Node>> node() = 0;
  virtual async::Task<Result<std::string>> logs(std::string actor, size_t lines) = 0;
};

}  // namespace colony::engine
