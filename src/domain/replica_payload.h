// What a replica's process is told at its start (engine::ActorSpec::payload), as JSON text: written by the master, read by
// the process. Values only.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "domain/app_spec.h"

namespace colony {

struct ReplicaPayload {
  std::string app;
  DeploymentSpec deployment;
  std::vector<std::string> model_names;
  uint64_t revision = 0;
  uint64_t epoch = 0;
};

std::string to_json(const ReplicaPayload& p);
Result<ReplicaPayload> replica_payload_from_json(std::string_view text);

}  // namespace colony
