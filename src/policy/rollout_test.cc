#include "policy/rollout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/rng.h"

namespace colony::policy {
namespace {

ReplicaFacts fact(std::string id, bool current, ReplicaPhase phase, int age_s = 0) {
  return {std::move(id), current, phase, TimePoint{} + 1000s - std::chrono::seconds(age_s)};
}

TEST(Rollout, StartsAllThatAreMissing) {
  EXPECT_EQ(decide_rollout({3, 0.2, {}}), (RolloutDecision{3, {}}));
  EXPECT_EQ(decide_rollout({3, 0.2, {fact("a", true, ReplicaPhase::kStarting)}}), (RolloutDecision{2, {}}));
}

TEST(Rollout, ScalesDownTheYoungestReadyReplicasButThoseThatServeNobodyFirst) {
  auto d = decide_rollout({1,
                           0.2,
                           {fact("old", true, ReplicaPhase::kReady, 90), fact("young", true, ReplicaPhase::kReady, 5),
                            fact("failed", true, ReplicaPhase::kFailed, 50)}});
  EXPECT_EQ(d, (RolloutDecision{0, {"failed", "young"}}));
}

TEST(Rollout, ReplacesAnOldReplicaOnlyOnceTheNewOneIsReady) {
  EXPECT_EQ(decide_rollout({1, 0.2, {fact("a", false, ReplicaPhase::kReady)}}), (RolloutDecision{1, {}}));
  EXPECT_EQ(
      decide_rollout({1, 0.2, {fact("a", false, ReplicaPhase::kReady), fact("b", true, ReplicaPhase::kStarting)}}),
      (RolloutDecision{0, {}}));
  EXPECT_EQ(decide_rollout({1, 0.2, {fact("a", false, ReplicaPhase::kReady), fact("b", true, ReplicaPhase::kReady)}}),
            (RolloutDecision{0, {"a"}}));
}

TEST(Rollout, KeepsOldReplicasServingWhenNewOnesFail) {
  EXPECT_EQ(decide_rollout({2,
                            0.2,
                            {fact("a", false, ReplicaPhase::kReady), fact("b", false, ReplicaPhase::kReady),
                             fact("c", true, ReplicaPhase::kFailed)}}),
            (RolloutDecision{0, {}}));
}

TEST(Rollout, DrainsAllAtTargetZero) {
  auto d = decide_rollout({0, 0.2, {fact("a", true, ReplicaPhase::kReady), fact("b", false, ReplicaPhase::kStarting)}});
  EXPECT_EQ(d.start, 0);
  EXPECT_EQ(d.drain.size(), 2u);
}

// A toy cluster in which replicas start, fail and drain at random: the invariants hold at every step, and once faults stop
// every run ends with exactly the target, all current and ready.
TEST(Rollout, RandomWalksKeepTheInvariantsAndConverge) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Rng rng(seed);
    std::map<std::string, std::pair<int, ReplicaFacts>> replicas;  // generation, facts
    int generation = 0, target = 1 + static_cast<int>(rng.below(6)), next = 0;
    const double percentage = rng.unit();
    for (int step = 0; step < 400; ++step) {
      const bool calm = step > 200;
      if (!calm && rng.below(20) == 0) ++generation;
      if (!calm && rng.below(20) == 0) target = static_cast<int>(rng.below(7));
      for (auto it = replicas.begin(); it != replicas.end();) {
        auto& phase = it->second.second.phase;
        if (phase == ReplicaPhase::kStarting && rng.below(3) == 0)
          phase = !calm && rng.below(4) == 0 ? ReplicaPhase::kFailed : ReplicaPhase::kReady;
        else if (phase == ReplicaPhase::kFailed && rng.below(3) == 0)
          phase = ReplicaPhase::kStarting;
        else if (phase == ReplicaPhase::kDraining && rng.below(2) == 0) {
          it = replicas.erase(it);
          continue;
        }
        ++it;
      }
      RolloutInput in{target, percentage, {}};
      int ready = 0, alive = 0, old = 0;
      for (auto& [id, r] : replicas) {
        r.second.current = r.first == generation;
        in.replicas.push_back(r.second);
        ready += r.second.phase == ReplicaPhase::kReady;
        const bool live = r.second.phase != ReplicaPhase::kDraining;
        alive += live;
        old += live && !r.second.current;
      }
      const auto d = decide_rollout(in);
      int after = ready;
      for (const auto& id : d.drain) {
        auto& facts = replicas.at(id).second;
        ASSERT_NE(facts.phase, ReplicaPhase::kDraining) << "seed " << seed;
        after -= facts.phase == ReplicaPhase::kReady;
        facts.phase = ReplicaPhase::kDraining;
      }
      ASSERT_GE(after, std::min(target, ready)) << "seed " << seed << " step " << step;
      const int surge = old == 0 ? 0 : reconfigure_wave(target, percentage);
      ASSERT_LE(alive + d.start, std::max(alive, target + surge)) << "seed " << seed << " step " << step;
      for (int i = 0; i < d.start; ++i) {
        auto id = "r" + std::to_string(next++);
        replicas[id] = {generation, fact(id, true, ReplicaPhase::kStarting)};
        replicas[id].second.created = TimePoint{} + std::chrono::seconds(step);
      }
    }
    int good = 0;
    for (auto& [id, r] : replicas) good += r.first == generation && r.second.phase == ReplicaPhase::kReady;
    EXPECT_EQ(good, target) << "seed " << seed;
    EXPECT_EQ(static_cast<int>(replicas.size()), target) << "seed " << seed;
  }
}

}  // namespace
}  // namespace colony::policy
