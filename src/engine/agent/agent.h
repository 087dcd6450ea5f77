// One node's agent: starts, supervises, restarts in place and stops every Colony process of its node, and re-adopts them
// from its run directory after its own end. An object on a loop: inside `colony up`, or alone in an agent process with
// service.h in front. It decides nothing about what should run: masters do. Silence of masters stops nothing.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "engine/agent/actor.h"
#include "engine/agent/event_hub.h"
#include "engine/agent/port.h"

namespace colony::engine {

struct AgentOptions {
  std::string run_dir, log_dir;   // absolute; made when absent
  std::string host, zone;         // for nodes()
  std::string address;            // where service.h listens, if it does
  policy::NodeCapacity capacity;  // capacity.id is the node's id
  ActorOptions actors;            // actors.node is set from capacity.id
  LogOptions logs;
  std::string own_log = "colony.agent";  // log_dir/NAME.log, if it is there, is rotated with the actors'
  std::string cgroup_root;               // empty: found
};

// Owner: whoever opened it, which awaits close() before it destroys the agent. Lives on its loop; verbs may be called
// from any coroutine of that loop and are done before close() returns.
class Agent final : public AgentPort {
 public:
  // Takes the run directory (kAlreadyExists while another agent has it), adopts what runs there and restarts in place
  // what died meanwhile. Actors that are alive but do not answer within a moment are listed as kStarting.
  static async::Task<Result<std::unique_ptr<Agent>>> open(async::Loop& loop, AgentOptions options);
  ~Agent() override;

  // Lets go: every process goes on for the next agent.
  async::Task<void> close();
  // Stops every actor (the end of `colony up`); done when all processes are gone.
  async::Task<void> stop_all(Duration grace);

  async::Task<Result<Reservation>> reserve(Fence fence, ActorSpec spec) override;
  async::Task<Result<ActorStatus>> start(Fence fence, Reservation reservation) override;
  async::Task<Result<void>> stop(Fence fence, std::string actor, Duration grace) override;
  async::Task<Result<std::vector<ActorStatus>>> list(std::string app) override;
  std::unique_ptr<Subscription> watch(std::function<void(const Event&)> on_event) override;
  async::Task<Result<Node>> node() override;
  async::Task<Result<std::string>> logs(std::string actor, size_t lines) override;

  const AgentOptions& options() const { return options_; }

 private:
  Agent(async::Loop& loop, AgentOptions options, std::unique_ptr<RunDir> dir, Fences fences);
  void adopt_all();
  bool settled() const;
  Result<void> admit(const Fence& fence);
  Actor* find(const std::string& id) const;
  Actor& add(ActorRecord record, Actor::Begin begin);
  void changed(Actor& actor);
  void sweep_unreadable(const std::string& id, const Error& why);
  async::Task<void> rotate_logs();

  async::Loop& loop_;
  AgentOptions options_;
  std::unique_ptr<RunDir> dir_;
  Limits limits_;
  Fences fences_;
  policy::Ledger ledger_;
  EventHub hub_;
  async::Scope scope_;
  async::Signal moved_;  // some actor changed or went; wakes the verbs that wait
  std::map<std::string, std::unique_ptr<Actor>> actors_;
};

}  // namespace colony::engine
