#include "policy/admit.h"

#include <gtest/gtest.h>

#include <deque>

#include "base/rng.h"

namespace colony::policy {
namespace {

const TimePoint kNow{1000s};

TEST(Admit, RunsWhenASlotIsFreeAndNobodyWaits) {
  EXPECT_EQ(admit({.slot_free = true, .max_queued = 0, .now = kNow}), Admission::kRun);
  EXPECT_EQ(admit({.slot_free = true, .queued = 1, .max_queued = 5, .slots = 1, .now = kNow}), Admission::kQueue)
      << "nobody overtakes the queue";
}

TEST(Admit, RefusesAtTheBoundExactly) {
  EXPECT_EQ(admit({.queued = 4, .max_queued = 5, .slots = 1, .now = kNow}), Admission::kQueue);
  EXPECT_EQ(admit({.queued = 5, .max_queued = 5, .slots = 1, .now = kNow}), Admission::kRefuseFull);
  EXPECT_EQ(admit({.queued = 0, .max_queued = 0, .slots = 1, .now = kNow}), Admission::kRefuseFull);
}

TEST(Admit, RefusesWhatWouldMissItsDeadline) {
  const AdmissionState s{.queued = 10, .max_queued = 100, .slots = 2, .mean_service = 1s, .now = kNow};
  auto with = [&](Duration left) {
    auto t = s;
    t.deadline = Deadline::after(kNow, left);
    return admit(t);
  };
  EXPECT_EQ(with(6s), Admission::kQueue);
  EXPECT_EQ(with(5s), Admission::kRefuseLate);
  EXPECT_EQ(with(0s), Admission::kRefuseLate);
  EXPECT_EQ(admit(s), Admission::kQueue) << "no deadline: it waits";
}

TEST(Admit, AStartingDeploymentLetsRequestsWait) {
  EXPECT_EQ(admit({.queued = 50,
                   .max_queued = 100,
                   .slots = 0,
                   .mean_service = 10s,
                   .now = kNow,
                   .deadline = Deadline::after(kNow, 1s)}),
            Admission::kQueue);
}

TEST(Admit, RetryAfterIsBounded) {
  EXPECT_EQ(retry_after_seconds(0, 0, 0s), 1);
  EXPECT_EQ(retry_after_seconds(100, 10, 500ms), 5);
  EXPECT_EQ(retry_after_seconds(SIZE_MAX, 1, 24h), 30);
}

// A toy server of `slots` workers with a constant service time: whoever is admitted to the queue with a true estimate
// is served within its deadline plus the round that was running when it came.
TEST(Admit, AgainstAModelAdmittedRequestsMakeTheirDeadline) {
  Rng rng(42);
  for (int round = 0; round < 200; ++round) {
    const size_t slots = 1 + rng.below(4);
    const Duration service = std::chrono::milliseconds(1 + rng.below(50));
    std::deque<TimePoint> free_at(slots, TimePoint{});
    std::deque<TimePoint> starts;  // of those that wait
    TimePoint now{};
    for (int k = 0; k < 200; ++k) {
      now += std::chrono::microseconds(rng.below(20'000));
      while (!starts.empty() && starts.front() <= now) starts.pop_front();
      auto first = std::min_element(free_at.begin(), free_at.end());
      const Duration left = std::chrono::milliseconds(rng.below(400));
      const AdmissionState s{.slot_free = *first <= now,
                             .queued = starts.size(),
                             .max_queued = 64,
                             .slots = slots,
                             .mean_service = service,
                             .now = now,
                             .deadline = Deadline::after(now, left)};
      const Admission a = admit(s);
      if (a == Admission::kRun) {
        ASSERT_LE(*first, now);
        *first = now + service;
      } else if (a == Admission::kQueue) {
        ASSERT_LT(starts.size(), 64u);
        const TimePoint start = std::max(*first, now);
        ASSERT_LE(start, now + left + service);
        starts.push_back(start);
        *first = start + service;
      }
    }
  }
}

}  // namespace
}  // namespace colony::policy
