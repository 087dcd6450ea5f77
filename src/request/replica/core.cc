// Counting what is open, and the answer while nothing is loaded.
#include "request/replica/core.h"

#include <fmt/format.h>

#include "request/replica/infer_job.h"

namespace colony::replica {

Core::Core(async::Loop& l, async::BlockingPool& p) : loop(l), pool(p), lifecycle(l), inbox(l, p), idle(l) {}

Core::~Core() = default;

void Core::opened() {
  ++open_requests;
  probe.requests.add();
  probe.ongoing.set(static_cast<double>(open_requests));
}

void Core::closed(bool error) {
  --open_requests;
  ++answered;
  if (error) probe.errors.add();
  probe.ongoing.set(static_cast<double>(open_requests));
  if (open_requests == 0) idle.notify();
}

Result<void> Core::servable() const {
  if (table) return {};
  Error e = lifecycle.state() == ReplicaState::kFailed
                ? unavailable(fmt::format("replica {} has failed: {}", id, lifecycle.error()), "replica_failed")
                : unavailable(fmt::format("replica {} is starting ({})", id, lifecycle.phase()), "replica_starting");
  e.retry = Retry::kYes;
  return fail(std::move(e));
}

}  // namespace colony::replica
