// When a replica or proxy that lost its agent may end: silence alone never stops what serves. Pure; time is an argument.
#pragma once

#include <algorithm>
#include <optional>

#include "base/time.h"

namespace colony::policy {

// `agent_lost_since`: nullopt while an agent is there. `last_request`: the last real request (probes are not requests),
// nullopt when there was none. True when it had no agent and no request for the whole of `orphan_timeout`.
inline bool should_exit_as_orphan(std::optional<TimePoint> agent_lost_since, std::optional<TimePoint> last_request,
                                  TimePoint now, Duration orphan_timeout) {
  if (!agent_lost_since) return false;
  const TimePoint quiet_since = last_request ? std::max(*agent_lost_since, *last_request) : *agent_lost_since;
  return now - quiet_since >= orphan_timeout;
}

}  // namespace colony::policy
