// One actor of this node: its record on disk, its process and its life, as one coroutine that starts, watches, restarts
// and at last stops it. The death of the process is known at once (pidfd); everything else is a bounded wait.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "async/descriptors.h"
#include "async/process.h"
#include "async/scope.h"
#include "engine/agent/actor_record.h"
#include "engine/agent/limits.h"
#include "engine/agent/run_dir.h"
#include "engine/contract.h"
#include "policy/restart.h"
#include "transport/rpc/rpc.h"

namespace colony::engine {

struct ActorOptions {
  std::string binary;  // absolute; run as BINARY actor --dir FOLDER
  std::string node;
  std::map<std::string, std::string> env;  // for every actor of this agent
  policy::RestartOptions restart;
  Duration start_timeout = 30s;  // until its socket answers with its cookie; then it is killed
  Duration heartbeat = 1s;
  Duration hello_timeout = 1s;  // of one question
};

// Owned by the Agent, lives on its loop. Ends when its coroutine live() has returned, which the Agent joins. A process
// outlives it unless stop() was called: that is how an agent hands its actors over to the next one.
class Actor {
 public:
  Actor(async::Loop& loop, const ActorOptions& options, const RunDir& dir, const Limits& limits, ActorRecord record,
        std::function<void(Actor&)> on_changed);
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;

  enum class Begin : bool { kFresh, kAdopt };
  // Its whole life, on the agent's scope: when that stops, the coroutine returns and the process goes on.
  async::Task<void> live(async::Scope& scope, Begin begin);

  Result<void> start();                // idempotent
  Result<void> renew(ActorSpec spec);  // payload, env and labels of the next incarnation
  void stop(Duration grace);           // idempotent; a shorter grace shortens the wait
  // Is what begin = kAdopt found out known yet? (running, dead or not started)
  bool settled() const { return settled_; }
  bool over() const { return over_; }  // stopped: process, folder and socket are gone
  const ActorRecord& record() const { return record_; }
  ActorState state() const { return state_; }
  ActorStatus status() const;
  void rotate_log() const { dir_.rotate_log(record_.spec.id); }

 private:
  void enter(ActorState state);
  Result<void> launch();
  void watch_over(std::unique_ptr<async::Process> process);
  bool find_process();
  void died(std::string how);
  void save();
  async::Task<void> ask_until_it_answers(async::Scope& scope, uint64_t life);
  async::Task<void> send_heartbeats(async::Scope& scope);
  async::Task<void> keep_sockets(async::Scope& scope, uint64_t life);
  async::Task<Result<void>> hello();
  async::Task<void> run_once(async::Scope& scope);
  async::Task<void> end(async::Scope& scope);
  std::string folder() const { return dir_.folder(record_.spec.id); }

  async::Loop& loop_;
  const ActorOptions& options_;
  const RunDir& dir_;
  const Limits& limits_;
  ActorRecord record_;
  std::function<void(Actor&)> on_changed_;
  policy::Restart restart_;
  rpc::Client rpc_;
  async::Signal wake_;  // something below changed: exit, answer, start, stop
  std::unique_ptr<async::Process> process_;
  std::vector<async::Descriptor> sockets_;  // copies of those that the process listens on, for the next incarnation
  std::string exit_;                        // how the process ended, set by its watch
  bool exited_ = false;
  bool answered_ = false;
  bool settled_ = false;
  bool over_ = false;
  uint64_t life_ = 0;  // counts processes, adopted ones too: late answers of an earlier one are dropped
  ActorState state_ = ActorState::kReserved;
  WallTime since_{};
  TimePoint launched_{};
  Deadline next_start_ = Deadline::never();
  Deadline kill_at_ = Deadline::never();
  std::vector<std::string> last_log_lines_;
};

}  // namespace colony::engine
