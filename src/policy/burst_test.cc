#include "policy/burst.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace colony::policy {
namespace {

constexpr uint32_t kCalm = 30 * Bursts::kPerPlace;

// One replica that has answered.
struct Answered {
  explicit Answered(uint32_t busy_ns, uint32_t answers = kCalm) {
    for (uint32_t k = 0; k < answers; ++k) bursts.note(busy, busy_ns);
  }
  // How many requests of one burst it gets.
  uint32_t burst(uint32_t limit = 1000) const {
    CandidateLoad load{.usable = true};
    while (load.outstanding < limit && bursts.goes_on(load, busy, 0s)) ++load.outstanding;
    return load.outstanding;
  }
  Bursts bursts;
  BusyEstimate busy;
};

TEST(Burst, AReplicaGetsWhatItAnswersInTheTimeOfAWakeUp) {
  EXPECT_EQ(Answered(4'000).burst(), 25u);
  EXPECT_EQ(Answered(10'000).burst(), 10u);
  EXPECT_EQ(Answered(100'000).burst(), 1u);
  EXPECT_EQ(Answered(100'001).burst(), 0u);
  EXPECT_EQ(Answered(2'000).burst(7), 7u);
}

TEST(Burst, NothingGoesOnWithoutAnswersOnTheLoop) {
  EXPECT_EQ(Answered(0, 0).burst(), 0u) << "nothing is known";
  EXPECT_EQ(Answered(0).burst(), 0u) << "its model runs on threads";
  Answered a(2'000);
  a.bursts.note(a.busy, 0);
  a.bursts.note(a.busy, 2'000);
  EXPECT_EQ(a.burst(), 0u) << "the last but one did";
  Answered b(2'000);
  b.bursts.note_failure(b.busy);
  EXPECT_EQ(b.burst(), 0u);
  Answered c(2'000);
  c.busy = {};
  EXPECT_EQ(c.burst(), 0u) << "others have answered, it has not";
}

TEST(Burst, GrowsWithTheAnswersOfAllAndByHalfAfterASlowOne) {
  Answered a(0, 0);
  BusyEstimate other;
  for (uint32_t k = 1; k <= 12 * Bursts::kPerPlace; ++k) {
    a.bursts.note(k % 2 ? a.busy : other, 2'000);
    ASSERT_EQ(a.burst(), k / Bursts::kPerPlace);
  }
  a.bursts.note(other, Bursts::kSlowNs);
  EXPECT_EQ(a.burst(), 12u);
  a.bursts.note(other, Bursts::kSlowNs + 1);
  EXPECT_EQ(a.burst(), 6u);
  a.bursts.note_failure(other);
  EXPECT_EQ(a.burst(), 3u);
  for (uint32_t k = 0; k < 1000 * Bursts::kPerPlace; ++k) a.bursts.note(a.busy, 1);
  EXPECT_EQ(a.burst(), Bursts::kMostPlaces);
}

TEST(Burst, EndsWithItsTimeAndWithAReplicaThatCannot) {
  const Answered a(2'000);
  EXPECT_TRUE(a.bursts.goes_on({.usable = true}, a.busy, Bursts::kLongest - 1ns));
  EXPECT_FALSE(a.bursts.goes_on({.usable = true}, a.busy, Bursts::kLongest));
  EXPECT_FALSE(a.bursts.goes_on({.usable = false}, a.busy, 0s));
}

TEST(Burst, AgainstAModelTheEstimateFollowsTheAnswersAndForgetsThem) {
  const uint64_t seed = 11;
  SCOPED_TRACE(seed);
  Rng rng(seed);
  for (int round = 0; round < 200; ++round) {
    Bursts bursts;
    BusyEstimate busy;
    std::vector<double> told;
    for (int k = 0; k < 300; ++k) {
      const uint64_t kind = rng.below(40);
      const auto answer = kind == 0 ? 0 : static_cast<uint32_t>(rng.below(kind == 1 ? 100'000'000 : 8'000) + 1);
      bursts.note(busy, answer);
      told.push_back(answer == 0 ? BusyEstimate::kMostNs : std::min(answer, BusyEstimate::kMostNs));
      // Each answer weighs 15/16 of the one after it; the first stands for all before it.
      double mean = told.front();
      for (size_t i = 1; i < told.size(); ++i) mean += (told[i] - mean) / BusyEstimate::kMemory;
      ASSERT_NEAR(static_cast<double>(busy.ns()), mean, BusyEstimate::kMemory) << k;
    }
  }
}

// Bursts of requests in front of replicas that sleep when they have nothing to do and answer one after the other, in
// nanoseconds: what waits for whom, and how often one is woken.
class Model {
 public:
  struct Outcome {
    uint64_t p99 = 0;    // of the requests that are not slow
    uint64_t wakes = 0;  // in the second half of the time
  };
  static Outcome run(bool bursts, uint64_t slow_ns, uint64_t slow_of_10000) {
    constexpr uint64_t kWake = 30'000, kFast = 2'000, kBetween = 400'000, kTime = 2'000'000'000;
    constexpr size_t kReplicas = 16, kBurst = 16;
    struct Replica {
      uint64_t free_at = 0;
      std::vector<std::pair<uint64_t, uint32_t>> open;  // (answered at, what it says)
      BusyEstimate busy;
    };
    std::vector<Replica> replicas(kReplicas);
    std::vector<uint64_t> took;
    Rng rng(3);
    Outcome out;
    Bursts all;
    size_t chosen = kReplicas;
    uint64_t chosen_at = 0;
    for (uint64_t now = 0; now < kTime; now += rng.below(2 * kBetween)) {
      for (Replica& r : replicas)
        std::erase_if(r.open, [&](const auto& call) {
          if (call.first > now) return false;
          all.note(r.busy, call.second);
          return true;
        });
      for (size_t k = 0; k < kBurst; ++k) {
        const auto load = [&](size_t i) {
          return CandidateLoad{.usable = true, .outstanding = static_cast<uint32_t>(replicas[i].open.size())};
        };
        if (!bursts || chosen == kReplicas ||
            !all.goes_on(load(chosen), replicas[chosen].busy, Duration(now - chosen_at))) {
          chosen = *pick_replica(kReplicas, kReplicas, rng, load);
          chosen_at = now;
        }
        Replica& r = replicas[chosen];
        const bool slow = rng.below(10000) < slow_of_10000;
        out.wakes += now > kTime / 2 && r.free_at <= now;
        r.free_at = (r.free_at <= now ? now + kWake : r.free_at) + (slow ? slow_ns : kFast);
        r.open.emplace_back(r.free_at, static_cast<uint32_t>(slow ? slow_ns : kFast));
        if (!slow) took.push_back(r.free_at - now);
      }
    }
    std::sort(took.begin(), took.end());
    out.p99 = took[took.size() * 99 / 100];
    return out;
  }
};

TEST(Burst, FewAreWokenForCheapRequestsAndNoneWaitsLongerThanForAWakeUp) {
  const auto spread = Model::run(false, 0, 0), bursts = Model::run(true, 0, 0);
  EXPECT_LT(bursts.wakes * 8, spread.wakes);
  EXPECT_LE(bursts.p99, spread.p99 + Bursts::kMostWaitNs);
}

TEST(Burst, SlowRequestsOnTheLoopAmongCheapOnesSlowNoOther) {
  for (const uint64_t slow_ns : {300'000, 5'000'000})
    for (const uint64_t of_10000 : {100, 10}) {
      const auto spread = Model::run(false, slow_ns, of_10000), bursts = Model::run(true, slow_ns, of_10000);
      EXPECT_LE(bursts.p99, spread.p99 * 11 / 10 + Bursts::kMostWaitNs)
          << slow_ns << " ns, " << of_10000 << " of 10,000";
    }
}

}  // namespace
}  // namespace colony::policy
