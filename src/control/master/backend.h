// One address of an external deployment as its master sees it: no process, only what the last look at it said. Owned by
// AppMaster, which shows and publishes it like a replica; the coroutine that looks is in backend.cc.
#pragma once

#include <string>

#include "base/time.h"
#include "domain/app_spec.h"
#include "domain/status.h"
#include "domain/table.h"

namespace colony::master {

struct Backend {
  std::string id;  // the same for an address after every restart of the master: proxies keep their connections
  std::string deployment, address;
  BackendSpec spec;
  Duration period{}, patience{};
  bool looked = false;  // at least once
  bool healthy = false;
  bool gone = false;
  std::string problem;  // of the last look
  WallTime since{};     // of this state

  ReplicaState state() const {
    if (!looked) return ReplicaState::kStarting;
    return healthy ? ReplicaState::kReady : ReplicaState::kFailed;
  }
  ReplicaStatus status(uint64_t revision) const {
    ReplicaStatus s;
    s.id = id;
    s.state = state();
    s.reason = s.last_error = problem;
    s.since = since;
    s.address = address;
    s.revision = revision;
    return s;
  }
  ReplicaRecord record() const {
    ReplicaRecord r;
    r.id = id;
    r.address = address;
    r.protocol = spec.protocol;
    return r;
  }
};

// "APP.DEPLOYMENT.x1y2z3", from the address alone.
std::string backend_id(const std::string& app, const std::string& deployment, const std::string& address);

}  // namespace colony::master
