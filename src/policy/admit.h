// May this request run now, wait, or must it be told no? Pure: counts and times are arguments. A request that would only
// wait past its deadline is refused at once, so that the client can go elsewhere while there is time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace colony::policy {

enum class Admission : uint8_t {
  kRun,         // a slot is free and nobody waits before it
  kQueue,       // wait for a slot
  kRefuseFull,  // the queue is at its bound
  kRefuseLate,  // it would not be answered within its deadline
};

struct AdmissionState {
  bool slot_free = false;
  size_t queued = 0;  // before this one
  size_t max_queued = 0;
  size_t slots = 0;         // of all ready replicas together; 0: none is ready
  Duration mean_service{};  // of recent requests; zero: not known
  TimePoint now{};
  Deadline deadline = Deadline::never();
};

Admission admit(const AdmissionState& s);

// How long a request waits that finds `queued` before it: whole rounds of all slots, so the first round is never
// refused by an estimate. Zero when nothing is known.
Duration expected_wait(size_t queued, size_t slots, Duration mean_service);

// What Retry-After says: the time in which the queue empties, in whole seconds within 1..30.
int retry_after_seconds(size_t queued, size_t slots, Duration mean_service);

// Mean of recent service times, weight 1/16 for the newest.
inline Duration smooth(Duration mean, Duration sample) {
  return mean == Duration::zero() ? sample : mean + (sample - mean) / 16;
}

}  // namespace colony::policy
