// Budgets and skipped stream ids.
#include "transport/http/h2_guard.h"

#include <gtest/gtest.h>

namespace colony::http {
namespace {

const TimePoint kStart{1h};

TEST(H2Budget, AllowsABurstAndThenARate) {
  H2Budget<10, 5> budget;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(budget.take(kStart));
  EXPECT_FALSE(budget.take(kStart));
  EXPECT_FALSE(budget.take(kStart + 100ms));
  EXPECT_TRUE(budget.take(kStart + 200ms));
  EXPECT_FALSE(budget.take(kStart + 200ms));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(budget.take(kStart + 1200ms));
  EXPECT_FALSE(budget.take(kStart + 1200ms));
}

TEST(H2Budget, NeverHoldsMoreThanItsBurst) {
  H2Budget<3, 100> budget;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.take(kStart));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.take(kStart + 1h));
  EXPECT_FALSE(budget.take(kStart + 1h));
}

TEST(H2Budget, EarnsUpToItsBurst) {
  H2Budget<3, 0> budget;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.take(kStart));
  EXPECT_FALSE(budget.take(kStart));
  budget.earn(2);
  EXPECT_TRUE(budget.take(kStart));
  budget.earn(100);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.take(kStart));
  EXPECT_FALSE(budget.take(kStart));
}

TEST(H2Ids, TellsSkippedIdsFromUsedOnes) {
  H2Ids ids;
  EXPECT_EQ(ids.headers_on(1), H2Ids::Kind::kNew);
  EXPECT_EQ(ids.headers_on(3), H2Ids::Kind::kNew);
  EXPECT_EQ(ids.headers_on(9), H2Ids::Kind::kNew);  // skips 5 and 7
  EXPECT_EQ(ids.headers_on(1), H2Ids::Kind::kUsed);
  EXPECT_EQ(ids.headers_on(3), H2Ids::Kind::kUsed);
  EXPECT_EQ(ids.headers_on(5), H2Ids::Kind::kSkipped);
  EXPECT_EQ(ids.headers_on(7), H2Ids::Kind::kSkipped);
  EXPECT_EQ(ids.headers_on(9), H2Ids::Kind::kUsed);
  EXPECT_EQ(ids.headers_on(11), H2Ids::Kind::kNew);
}

TEST(H2Ids, RemembersWhoseClientHasEnded) {
  H2Ids ids;
  for (uint32_t id : {1u, 3u, 5u}) EXPECT_EQ(ids.headers_on(id), H2Ids::Kind::kNew);
  ids.ended(3);
  EXPECT_EQ(ids.headers_on(1), H2Ids::Kind::kUsed);
  EXPECT_EQ(ids.headers_on(3), H2Ids::Kind::kEnded);
  for (uint32_t id = 7; id < 131; id += 2) {
    EXPECT_EQ(ids.headers_on(id), H2Ids::Kind::kNew);
    if (id % 4 == 3) ids.ended(id);
  }
  for (uint32_t id = 7; id < 131; id += 2)
    EXPECT_EQ(ids.headers_on(id), id % 4 == 3 ? H2Ids::Kind::kEnded : H2Ids::Kind::kUsed) << id;
  EXPECT_EQ(ids.headers_on(3), H2Ids::Kind::kEnded) << "63 ids ago";
  EXPECT_EQ(ids.headers_on(131), H2Ids::Kind::kNew);
  EXPECT_EQ(ids.headers_on(3), H2Ids::Kind::kUsed) << "forgotten";
  ids.ended(3);
  EXPECT_EQ(ids.headers_on(3), H2Ids::Kind::kUsed) << "too long ago";
  EXPECT_EQ(ids.headers_on(1'000'001), H2Ids::Kind::kNew);
  EXPECT_EQ(ids.headers_on(127), H2Ids::Kind::kUsed);
}

TEST(H2Ids, RemembersThatTheFirstIdWasSkipped) {
  H2Ids ids;
  EXPECT_EQ(ids.headers_on(5), H2Ids::Kind::kNew);
  EXPECT_EQ(ids.headers_on(1), H2Ids::Kind::kSkipped);
  EXPECT_EQ(ids.headers_on(3), H2Ids::Kind::kSkipped);
}

TEST(H2Ids, ForgetsTheOldestSkipsOfAClientThatAlwaysSkips) {
  H2Ids ids;
  for (uint32_t id = 1; id < 4000; id += 4) EXPECT_EQ(ids.headers_on(id), H2Ids::Kind::kNew);
  EXPECT_EQ(ids.headers_on(3), H2Ids::Kind::kUsed);
  EXPECT_EQ(ids.headers_on(3995), H2Ids::Kind::kSkipped);
}

}  // namespace
}  // namespace colony::http
