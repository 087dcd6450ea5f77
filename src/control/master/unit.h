// One replica as its master sees it: the engine's view (process, incarnation) joined with the replica's own report (loading,
// ready, failed). Owned by AppMaster; plain state and pure questions, the coroutines that change it are in unit_tasks.cc.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/master/replica_client.h"
#include "domain/table.h"
#include "engine/contract.h"
#include "policy/rollout.h"

namespace colony::master {

struct Unit {
  std::string id;
  std::string deployment;
  std::string process_hash;  // label of the spec it was started with
  TimePoint created{};

  // Engine's view; absent until start() has answered.
  std::optional<engine::ActorStatus> actor;
  std::string pending_why;  // why reserve or start has not succeeded yet

  // The replica's own word, of this incarnation only.
  std::optional<ReplicaReport> report;
  uint64_t report_incarnation = 0;
  TimePoint last_heard{};
  std::shared_ptr<ReplicaClient> client;

  bool draining = false;
  bool drain_started = false;
  bool gone = false;  // nothing may be done with it any more
  bool reconfiguring = false;
  std::string reconfigure_error;  // of `reconfigure_failed_revision`; the old spec serves on
  uint64_t reconfigure_failed_revision = 0;
  TimePoint retry_load_at{};  // a failed first load is tried again then
  Duration load_backoff = 1s;
  std::vector<std::string> load_log_lines;  // what the process had written when its load failed

  Duration reserve_time{}, spawn_time{};
  WallTime since{};
  ReplicaState shown = ReplicaState::kPending;

  bool process_ready() const;  // READY in this incarnation
  ReplicaState state() const;
  policy::ReplicaPhase phase() const;
  std::string why() const;  // reason of PENDING or FAILED
};

// Shows a unit; `wall` is the time of a state change noticed now.
ReplicaStatus describe(Unit& unit, WallTime wall);
ReplicaRecord record_of(const Unit& unit);

}  // namespace colony::master
