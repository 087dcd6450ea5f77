#include "policy/balance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace colony::policy {
namespace {

std::optional<size_t> pick(const std::vector<CandidateLoad>& loads, Rng& rng) {
  return pick_replica(loads.size(), rng, [&](size_t i) { return loads[i]; });
}

TEST(Balance, NothingUsableMeansNoChoice) {
  Rng rng(1);
  EXPECT_EQ(pick({}, rng), std::nullopt);
  EXPECT_EQ(pick({{.usable = false}}, rng), std::nullopt);
  EXPECT_EQ(pick({{.usable = false}, {.usable = false, .local = true}, {.usable = false}}, rng), std::nullopt);
}

TEST(Balance, TheOnlyUsableOneIsAlwaysFound) {
  Rng rng(2);
  for (size_t n = 1; n < 12; ++n)
    for (size_t only = 0; only < n; ++only) {
      std::vector<CandidateLoad> loads(n);
      loads[only] = {.usable = true, .outstanding = 900};
      for (int k = 0; k < 20; ++k) ASSERT_EQ(pick(loads, rng), only);
    }
}

TEST(Balance, AgainstAModelNeverPicksUnusableAndPrefersLocalAndLess) {
  const uint64_t seed = 77;
  SCOPED_TRACE(seed);
  Rng rng(seed);
  for (int round = 0; round < 20000; ++round) {
    std::vector<CandidateLoad> loads(1 + rng.below(8));
    for (auto& l : loads)
      l = {.usable = rng.below(3) > 0, .local = rng.below(3) == 0, .outstanding = static_cast<uint32_t>(rng.below(4))};
    const auto got = pick(loads, rng);
    const bool any = std::any_of(loads.begin(), loads.end(), [](auto& l) { return l.usable; });
    ASSERT_EQ(got.has_value(), any);
    if (!got) continue;
    ASSERT_TRUE(loads[*got].usable);
    const bool any_local = std::any_of(loads.begin(), loads.end(), [](auto& l) { return l.usable && l.local; });
    ASSERT_EQ(loads[*got].local, any_local) << "a usable replica of this node comes first";
    if (loads.size() == 2) {
      const auto& other = loads[1 - *got];
      if (other.usable && other.local == loads[*got].local) ASSERT_LE(loads[*got].outstanding, other.outstanding);
    }
  }
}

TEST(Balance, AmongReplicasOfThisNodeTwoAreLookedAtHoweverManyThereAre) {
  Rng rng(6);
  for (const size_t n : {2, 16, 64, 1000}) {
    size_t looks = 0;
    for (int k = 0; k < 100; ++k)
      pick_replica(n, rng, [&](size_t i) {
        ++looks;
        return CandidateLoad{.usable = true, .local = true, .outstanding = static_cast<uint32_t>(i)};
      });
    EXPECT_EQ(looks, 200u) << n;
  }
}

TEST(Balance, SpreadsRequestsEvenlyOverEqualReplicas) {
  Rng rng(5);
  std::vector<CandidateLoad> loads(5, {.usable = true});
  for (int k = 0; k < 5000; ++k) ++loads[*pick(loads, rng)].outstanding;
  for (const auto& l : loads) {
    EXPECT_GE(l.outstanding, 990u);
    EXPECT_LE(l.outstanding, 1010u);
  }
}

}  // namespace
}  // namespace colony::policy
