// DRAINING is final; FAILED is left by a successful reconfiguration.
#include "request/replica/lifecycle.h"

namespace colony::replica {

Lifecycle::Lifecycle(async::Loop& loop) : loop_(loop), scope_(loop), signal_(loop) {}

std::vector<PhaseTime> Lifecycle::phases() const {
  auto out = phases_;
  if (!phase_.empty()) out.push_back({phase_, to_seconds(loop_.now() - phase_began_)});
  return out;
}

void Lifecycle::end_phase() {
  if (phase_.empty()) return;
  phases_.push_back({phase_, to_seconds(loop_.now() - phase_began_)});
  phase_.clear();
}

void Lifecycle::begin_phase(std::string phase) {
  end_phase();
  phase_ = std::move(phase);
  phase_began_ = loop_.now();
  signal_.notify();
}

void Lifecycle::move_to(ReplicaState state) {
  end_phase();
  state_ = state;
  signal_.notify();
}

void Lifecycle::ready() {
  if (state_ == ReplicaState::kDraining) return;
  error_.clear();
  move_to(ReplicaState::kReady);
}

void Lifecycle::fail(std::string error) {
  if (state_ == ReplicaState::kDraining) return;
  error_ = std::move(error);
  move_to(ReplicaState::kFailed);
}

void Lifecycle::drain() { move_to(ReplicaState::kDraining); }

async::Task<bool> Lifecycle::changed_from(std::string state, std::string phase, Deadline deadline) {
  while (to_string(state_) == state && phase_ == phase) {
    const bool woken = co_await signal_.wait(scope_, deadline);
    if (!woken) co_return false;
  }
  co_return true;
}

}  // namespace colony::replica
