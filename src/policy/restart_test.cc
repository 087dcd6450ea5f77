// The back-off of restarts and the decision of an orphan, both against a naive model.
#include "policy/restart.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"
#include "policy/orphan.h"

namespace colony::policy {
namespace {

TEST(Restart, WaitsZeroOneTwoFourUpToAMinute) {
  Restart restart;
  std::vector<int64_t> waits;
  for (int i = 0; i < 10; ++i) waits.push_back(to_ms(restart.died(10ms)) / 1000);
  EXPECT_EQ(waits, (std::vector<int64_t>{0, 1, 2, 4, 8, 16, 32, 60, 60, 60}));
}

TEST(Restart, ALongLifeForgivesEarlierDeaths) {
  Restart restart;
  for (int i = 0; i < 5; ++i) restart.died(0s);
  EXPECT_EQ(restart.died(59s), 16s);
  EXPECT_EQ(restart.died(60s), 0s);
  EXPECT_EQ(restart.died(1s), 1s);
}

TEST(Restart, StaysWithinItsBoundsOverRandomLives) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    Restart restart({.first = 1s, .longest = 60s, .stable = 60s});
    int row = 0;
    for (int i = 0; i < 200; ++i) {
      const Duration lived =
          rng.below(8) == 0 ? 60s + Duration(rng.below(1000000)) : Duration(rng.below(59'000'000'000));
      if (lived >= 60s) row = 0;
      const Duration expected = Duration(1s) * (row == 0 ? 0 : row >= 7 ? 60 : 1 << (row - 1));
      ASSERT_EQ(restart.died(lived), expected);
      ++row;
    }
  }
}

TEST(Orphan, EndsOnlyAfterTheWholeTimeoutWithoutAgentAndWithoutRequest) {
  const TimePoint t{1000s};
  EXPECT_FALSE(should_exit_as_orphan(std::nullopt, std::nullopt, t + 1h, 10min)) << "an agent is there";
  EXPECT_FALSE(should_exit_as_orphan(t, std::nullopt, t + 9min, 10min));
  EXPECT_TRUE(should_exit_as_orphan(t, std::nullopt, t + 10min, 10min));
  EXPECT_FALSE(should_exit_as_orphan(t, t + 5min, t + 14min, 10min)) << "a request starts the time anew";
  EXPECT_TRUE(should_exit_as_orphan(t, t + 5min, t + 15min, 10min));
  EXPECT_TRUE(should_exit_as_orphan(t, t - 1h, t + 10min, 10min)) << "requests before the loss do not shorten it";
  EXPECT_TRUE(should_exit_as_orphan(t, std::nullopt, t, 0s));
}

}  // namespace
}  // namespace colony::policy
