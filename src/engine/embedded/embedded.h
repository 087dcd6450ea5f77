// The engine of machines that have nothing but Colony: placement by local accounting (policy/place), running by agents.
// One agent in `colony up`, several when more nodes have joined. Adapter of engine/contract.h.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "async/scope.h"
#include "engine/agent/event_hub.h"
#include "engine/agent/port.h"

namespace colony::engine {

// Owner: the process that hosts masters or launches the house's roles. Lives on its loop. The agents outlive it. It
// keeps no state but where actors were seen last: any number of engines may use the same agents.
class EmbeddedEngine final : public Engine {
 public:
  EmbeddedEngine(async::Loop& loop, std::vector<AgentPort*> agents);
  ~EmbeddedEngine() override;

  async::Task<Result<Reservation>> reserve(Fence fence, ActorSpec spec) override;
  async::Task<Result<ActorStatus>> start(Fence fence, Reservation reservation) override;
  async::Task<Result<void>> stop(Fence fence, std::string actor, Duration grace) override;
  // Fails when one of the agents does not answer: half a list would look like deaths.
  async::Task<Result<std::vector<ActorStatus>>> list(std::string app) override;
  std::unique_ptr<Subscription> watch(std::function<void(const Event&)> on_event) override;
  async::Task<Result<std::vector<NodeStatus>>> nodes() override;  // an agent that does not answer: alive = false
  async::Task<Result<std::string>> logs(std::string actor, size_t lines) override;

 private:
  struct Seat {
    AgentPort* agent;
    std::string node;  // its id, empty until it has answered once
    NodeStatus last;
    std::unique_ptr<Subscription> watching;
  };
  async::Task<Result<size_t>> choose(const ActorSpec& spec);
  Seat* seat_of_node(std::string_view node);
  Seat* seat_of_actor(const std::string& actor);

  async::Loop& loop_;
  EventHub hub_;
  std::vector<Seat> seats_;
  std::map<std::string, size_t, std::less<>> where_;  // actor -> seat, a hint
};

// What this machine offers. LIMIT: `cpus_per_core` logical cpus per core (8 unless told otherwise), because replicas ask
// for one cpu each by default and few keep one busy; memory is the machine's.
policy::NodeCapacity local_capacity(std::string node, double cpus = 0, double cpus_per_core = 8);

}  // namespace colony::engine
