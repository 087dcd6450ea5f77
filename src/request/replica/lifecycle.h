// The replica's state machine, as `colony status` shows it: STARTING (load, warm-up, with the seconds in each), READY,
// DRAINING, FAILED. Waiters learn of every change.
#pragma once

#include <string>
#include <vector>

#include "async/scope.h"
#include "domain/status.h"

namespace colony::replica {

// Lives on its loop, owned by the replica.
class Lifecycle {
 public:
  explicit Lifecycle(async::Loop& loop);

  ReplicaState state() const { return state_; }
  const std::string& phase() const { return phase_; }  // of kStarting, else empty
  const std::string& error() const { return error_; }  // of kFailed
  std::vector<PhaseTime> phases() const;               // the current one with its seconds up to now

  void begin_phase(std::string phase);  // kStarting
  void ready();
  void fail(std::string error);
  void drain();  // for good

  // Until state or phase differ from these; false: the deadline passed or the scope ends.
  async::Task<bool> changed_from(std::string state, std::string phase, Deadline deadline);
  void stop() { scope_.stop(); }  // wakes who waits

 private:
  void move_to(ReplicaState state);
  void end_phase();

  async::Loop& loop_;
  ReplicaState state_ = ReplicaState::kStarting;
  std::string phase_, error_;
  TimePoint phase_began_{};
  std::vector<PhaseTime> phases_;
  async::Scope scope_;
  async::Signal signal_;
};

}  // namespace colony::replica
