// The estimate is deliberately rough: it errs towards waiting.
#include "policy/admit.h"

#include <algorithm>

namespace colony::policy {

Duration expected_wait(size_t queued, size_t slots, Duration mean_service) {
  if (slots == 0 || mean_service <= Duration::zero()) return Duration::zero();
  const auto rounds = static_cast<int64_t>(std::min<size_t>(queued / slots, 1'000'000));
  const int64_t per_round = std::min<int64_t>(mean_service.count(), Duration(1h).count());
  return Duration(std::min(rounds, Duration(24h).count() / per_round) * per_round);
}

Admission admit(const AdmissionState& s) {
  if (s.deadline.passed(s.now)) return Admission::kRefuseLate;
  if (s.slot_free && s.queued == 0) return Admission::kRun;
  if (s.queued >= s.max_queued) return Admission::kRefuseFull;
  if (!s.deadline.is_never() && expected_wait(s.queued, s.slots, s.mean_service) >= s.deadline.left(s.now))
    return Admission::kRefuseLate;
  return Admission::kQueue;
}

int retry_after_seconds(size_t queued, size_t slots, Duration mean_service) {
  const auto wait = std::chrono::ceil<std::chrono::seconds>(expected_wait(queued, slots, mean_service)).count();
  return static_cast<int>(std::clamp<int64_t>(wait, 1, 30));
}

}  // namespace colony::policy
