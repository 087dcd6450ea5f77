// Engine port: who places (local accounting; later Ray's grants) joined with who runs (the agents). Masters and the
// launcher use these verbs and nothing else. Every verb is idempotent by id and carries (owner, epoch): an agent keeps
// the highest epoch per owner on disk and answers lower ones with reason "stale_epoch" (kFailedPrecondition).
// Adapters: engine/embedded (local accounting + agents), tests/support/fake_engine.h. One conformance suite runs on all.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "domain/app_spec.h"

namespace colony::engine {

struct Fence {
  std::string owner;  // app name, or "colony" for the roles of the house
  uint64_t epoch = 0;
};

struct Placement {
  std::string node;      // a node id, or empty: anywhere
  bool spread = true;    // else pack
  int max_per_node = 0;  // of the same deployment; 0: no bound
};

struct ActorSpec {
  std::string id;    // unique, chosen by the caller: "filetype.classifier.k3m9x2"; [a-z0-9._-], <= 120 bytes
  std::string role;  // replica | proxy | keeper | master-host | discovery
  std::string app, deployment;
  std::string payload;  // JSON that the role's process reads at start (for a replica: spec and revision)
  std::map<std::string, std::string> env;     // added to the clean environment
  std::map<std::string, std::string> labels;  // returned by list(): revision, process_hash, ...
  Resources resources;
  Placement placement;
};

struct Reservation {
  std::string actor;
  std::string node;
};

enum class ActorState : uint8_t { kReserved, kStarting, kRunning, kBackoff, kStopping };
// kStarting: the process exists, its socket does not answer yet. kRunning: its socket answered with its cookie.
// kBackoff: it died and waits for its next incarnation.

struct ActorStatus {
  ActorSpec spec;  // payload left out
  ActorState state = ActorState::kReserved;
  std::string node;
  int64_t pid = 0;
  uint64_t incarnation = 0;  // 1 for the first process
  std::string address;       // "unix:/..." of the actor's socket
  WallTime since{};
  std::string last_exit;                    // "killed by signal 9 (SIGKILL)"; empty: never died
  std::vector<std::string> last_log_lines;  // of the last death, at most 10
  double next_start_s = 0;                  // kBackoff: seconds until the next try
};

struct NodeStatus {
  std::string id, host, zone, agent_address;
  bool alive = true;
  double cpus = 0, cpus_used = 0, gpus = 0, gpus_used = 0;
  uint64_t memory = 0, memory_used = 0;
};

struct Event {
  enum class Kind : uint8_t { kChanged, kGone, kResync } kind;  // kResync: events may have been lost, call list()
  ActorStatus actor;                                            // kChanged, kGone
};

class Subscription {
 public:
  virtual ~Subscription() = default;  // no event after this
};

class Engine {
 public:
  virtual ~Engine() = default;
  // Sets capacity of one node aside. kResourceExhausted with the reason why PENDING ("needs 4 cpus, node-1 has 2 free").
  // Reserving an id that exists keeps its place and process, and takes the new payload, env and labels: they are what
  // list() shows from then on and what the next incarnation starts with (a replica that was reconfigured in place must
  // not come back with its old spec).
  virtual async::Task<Result<Reservation>> reserve(Fence fence, ActorSpec spec) = 0;
  // Runs it. Calling it again for a running actor changes nothing.
  virtual async::Task<Result<ActorStatus>> start(Fence fence, Reservation reservation) = 0;
  // SIGTERM, SIGKILL after `grace`; forgets actor and reservation. Done when the process is gone. Unknown ids are fine.
  virtual async::Task<Result<void>> stop(Fence fence, std::string actor, Duration grace) = 0;
  virtual async::Task<Result<std::vector<ActorStatus>>> list(std::string app) = 0;  // "" for all
  virtual std::unique_ptr<Subscription> watch(std::function<void(const Event&)> on_event) = 0;
  virtual async::Task<Result<std::vector<NodeStatus>>> nodes() = 0;
  // The last `lines` of an actor's log (current and rotated), oldest first.
  virtual async::Task<Result<std::string>> logs(std::string actor, size_t lines) = 0;
};

}  // namespace colony::engine
