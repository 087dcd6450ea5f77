// The master's side of proto/colony/replica/v1: asks a replica on its own socket for its state, brings it to another spec,
// drains it. One object per replica process; lives on the master's loop. No retries here: app_master decides.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "async/loop.h"
#include "domain/app_spec.h"
#include "domain/status.h"

namespace colony::master {

struct ReplicaReport {
  std::string state;  // STARTING | READY | DRAINING | FAILED
  std::string phase;  // of STARTING: load | warm-up
  std::vector<PhaseTime> phases;
  std::string error;  // of FAILED
  uint64_t revision = 0;
  uint32_t ongoing = 0;
};

class ReplicaClient {
 public:
  ReplicaClient(async::Loop& loop, async::Endpoint address);
  ~ReplicaClient();
  // Answers at once when the state differs from the known one, else when it changes, at the latest after `wait`.
  async::Task<Result<ReplicaReport>> status(std::string known_state, std::string known_phase, Duration wait,
                                            Duration patience);
  async::Task<Result<void>> reconfigure(AppSpec app, DeploymentSpec deployment, uint64_t revision, uint64_t epoch);
  async::Task<Result<void>> drain(Duration limit, uint64_t epoch);
  const std::string& address() const;
  void close();  // ends the calls that are under way

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace colony::master
