#include "policy/retry.h"

#include <gtest/gtest.h>

#include <deque>

#include "base/rng.h"

namespace colony::policy {
namespace {

const TimePoint kNow{1000s};

RetryState fresh(Failure failure) {
  return {.failure = failure,
          .body_kept = true,
          .idempotent = true,
          .other_ready = true,
          .now = kNow,
          .deadline = Deadline::after(kNow, 1s)};
}

TEST(Retry, WhatNoReplicaTookIsSentAgainWhateverItIs) {
  RetryState s = fresh(Failure::kNotTaken);
  s.idempotent = s.other_ready = false;
  EXPECT_EQ(may_retry(s), Retry::kFree);
  s.tries = kMostFreshTries;
  EXPECT_EQ(may_retry(s), Retry::kNo);
}

TEST(Retry, WhatAReplicaMayHaveBegunMustBeIdempotent) {
  RetryState s = fresh(Failure::kLost);
  EXPECT_EQ(may_retry(s), Retry::kBudget);
  s.other_ready = false;
  EXPECT_EQ(may_retry(s), Retry::kBudget) << "it waits for the one that comes in place of the lost one";
  s.still_ready = true;
  EXPECT_EQ(may_retry(s), Retry::kNo) << "it is there still, and nobody comes in its place";
  s.other_ready = true;
  EXPECT_EQ(may_retry(s), Retry::kBudget);
  s.idempotent = false;
  EXPECT_EQ(may_retry(s), Retry::kNo);
  s = fresh(Failure::kLost);
  s.tries = kMostTries;
  EXPECT_EQ(may_retry(s), Retry::kNo);
  EXPECT_EQ(may_retry(fresh(Failure::kBroken)), Retry::kNo) << "it has run, and would most likely do so again";
}

TEST(Retry, ARefusalIsPassedOnUnlessAnotherReplicaIsReady) {
  RetryState s = fresh(Failure::kRefused);
  s.idempotent = false;
  EXPECT_EQ(may_retry(s), Retry::kBudget);
  s.other_ready = false;
  EXPECT_EQ(may_retry(s), Retry::kNo);
}

TEST(Retry, NothingIsSentAgainAfterItsTimeOrAfterAByteOfReplyOrWithoutItsBody) {
  for (Failure f : {Failure::kNotTaken, Failure::kRefused, Failure::kLost, Failure::kBroken}) {
    RetryState s = fresh(f);
    s.deadline = Deadline::at(kNow);
    EXPECT_EQ(may_retry(s), Retry::kNo);
    s = fresh(f);
    s.reply_begun = true;
    EXPECT_EQ(may_retry(s), Retry::kNo);
    s = fresh(f);
    s.body_kept = false;
    EXPECT_EQ(may_retry(s), Retry::kNo);
  }
}

TEST(Retry, OnlyReasonsThatPromiseItSayThatNothingWasBegun) {
  for (std::string_view reason : {"replica_full", "replica_starting", "replica_failed", "replica_ending"})
    EXPECT_TRUE(says_not_begun(reason));
  for (std::string_view reason : {"", "queue_full", "replica_lost", "deadline", "replica_full "})
    EXPECT_FALSE(says_not_begun(reason));
}

TEST(RetryBudget, HasAFloorForAQuietDeploymentAndAFifthOfTheRest) {
  RetryBudget b;
  int taken = 0;
  while (b.take(kNow)) ++taken;
  EXPECT_EQ(taken, 100);
  for (int i = 0; i < 50; ++i) b.note_request(kNow);
  for (taken = 0; b.take(kNow);) ++taken;
  EXPECT_EQ(taken, 10);
  EXPECT_FALSE(b.take(kNow + 8s));
  EXPECT_TRUE(b.take(kNow + 11s)) << "what was taken is forgotten";
}

// Against the definition: all requests and retries of the last ten slots of a second.
TEST(RetryBudget, AgainstAModelNeverGrantsMoreThanTheFloorAndAFifth) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    RetryBudget b;
    struct Event {
      int64_t second;
      bool retry;
    };
    std::deque<Event> events;
    TimePoint now{Duration(rng.below(1'000'000'000'000))};
    for (int i = 0; i < 20'000; ++i) {
      now += Duration(rng.below(rng.below(50) == 0 ? 6'000'000'000 : 4'000'000));
      const int64_t second = now.time_since_epoch() / 1s;
      while (!events.empty() && events.front().second <= second - 10) events.pop_front();
      if (rng.below(2) == 0) {
        b.note_request(now);
        events.push_back({second, false});
        continue;
      }
      uint64_t requests = 0, retries = 0;
      for (const Event& e : events) ++(e.retry ? retries : requests);
      const bool expected = retries < RetryBudget::kFloor + requests / RetryBudget::kPart;
      ASSERT_EQ(b.take(now), expected) << requests << " requests, " << retries << " retries";
      if (expected) events.push_back({second, true});
    }
  }
}

}  // namespace
}  // namespace colony::policy
