#include "policy/balance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace colony::policy {
namespace {

std::optional<size_t> pick(size_t local, const std::vector<CandidateLoad>& loads, Rng& rng) {
  return pick_replica(local, loads.size(), rng, [&](size_t i) { return loads[i]; });
}

TEST(Balance, NothingUsableMeansNoChoice) {
  Rng rng(1);
  EXPECT_EQ(pick(0, {}, rng), std::nullopt);
  for (size_t n = 1; n < 30; ++n)
    for (size_t local = 0; local <= n; ++local)
      EXPECT_EQ(pick(local, std::vector<CandidateLoad>(n), rng), std::nullopt);
}

TEST(Balance, TheOnlyUsableOneIsAlwaysFound) {
  Rng rng(2);
  for (size_t n = 1; n < 30; ++n)
    for (size_t only = 0; only < n; ++only) {
      std::vector<CandidateLoad> loads(n);
      loads[only] = {.usable = true, .outstanding = 900};
      for (int k = 0; k < 20; ++k) ASSERT_EQ(pick(n / 3, loads, rng), only);
    }
}

TEST(Balance, AgainstAModelNeverPicksUnusableAndPrefersLocalAndLess) {
  const uint64_t seed = 77;
  SCOPED_TRACE(seed);
  Rng rng(seed);
  for (int round = 0; round < 20000; ++round) {
    std::vector<CandidateLoad> loads(1 + rng.below(round % 2 ? 8 : 40));
    const size_t local = rng.below(loads.size() + 1);
    for (auto& l : loads) l = {.usable = rng.below(3) > 0, .outstanding = static_cast<uint32_t>(rng.below(4))};
    const auto got = pick(local, loads, rng);
    const bool any = std::any_of(loads.begin(), loads.end(), [](auto& l) { return l.usable; });
    ASSERT_EQ(got.has_value(), any);
    if (!got) continue;
    ASSERT_TRUE(loads[*got].usable);
    const auto first_remote = loads.begin() + static_cast<std::ptrdiff_t>(local);
    const bool any_local = std::any_of(loads.begin(), first_remote, [](auto& l) { return l.usable; });
    ASSERT_EQ(*got < local, any_local) << "a usable replica of this node comes first";
    if (loads.size() == 2) {
      const auto& other = loads[1 - *got];
      if (other.usable && local != 1) ASSERT_LE(loads[*got].outstanding, other.outstanding);
    }
  }
}

// What a pick looks at on average, when all candidates are local or none is.
double looks(size_t n, size_t local, uint64_t unusable_of_8) {
  Rng rng(6);
  std::vector<CandidateLoad> loads(n);
  for (auto& l : loads)
    l = {.usable = rng.below(8) >= unusable_of_8, .outstanding = static_cast<uint32_t>(rng.below(9))};
  size_t count = 0;
  for (int k = 0; k < 1000; ++k)
    pick_replica(local, n, rng, [&](size_t i) {
      ++count;
      return loads[i];
    });
  return static_cast<double>(count) / 1000;
}

TEST(Balance, TwoAreLookedAtHoweverManyThereAre) {
  for (const size_t n : {4, 16, 64, 1000}) {
    EXPECT_EQ(looks(n, n, 0), 2) << n << " of this node";
    EXPECT_EQ(looks(n, 0, 0), 2) << n << " of other nodes";
    EXPECT_EQ(looks(n, n / 2, 0), 2) << n << ", one half of each";
  }
}

TEST(Balance, LittleMoreIsLookedAtWhenSomeCannot) {
  for (const size_t n : {16, 64, 1000}) {
    EXPECT_LT(looks(n, n, 1), 3) << n;
    EXPECT_LT(looks(n, n, 4), 5.5) << n;
    EXPECT_LT(looks(n, 0, 4), 5.5) << n;
  }
}

TEST(Balance, SpreadsRequestsEvenlyOverEqualReplicas) {
  Rng rng(5);
  std::vector<CandidateLoad> loads(5, {.usable = true});
  for (int k = 0; k < 5000; ++k) ++loads[*pick(2, loads, rng)].outstanding;
  // Only replicas of this node get any while they can.
  EXPECT_NEAR(loads[0].outstanding, 2500, 10);
  EXPECT_NEAR(loads[1].outstanding, 2500, 10);
  for (auto& l : loads) l.outstanding = 0;
  for (int k = 0; k < 5000; ++k) ++loads[*pick(5, loads, rng)].outstanding;
  for (const auto& l : loads) EXPECT_NEAR(l.outstanding, 1000, 10);
}

}  // namespace
}  // namespace colony::policy
