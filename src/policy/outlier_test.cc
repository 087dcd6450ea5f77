#include "policy/outlier.h"

#include <gtest/gtest.h>

#include <vector>

namespace colony::policy {
namespace {

struct Deployment {
  explicit Deployment(size_t n, uint64_t seed = 1) : members(n), rng(seed) {
    for (auto& m : members) outliers.join(m);
  }
  Outliers::Change result(size_t i, bool good, bool probe = false) {
    return outliers.on_result(members[i], good, probe, now, rng, [&](auto&& see) {
      for (auto& m : members) see(m);
    });
  }
  void everybody(bool good, int times) {
    for (int k = 0; k < times; ++k)
      for (size_t i = 0; i < members.size(); ++i) result(i, good);
  }
  std::vector<OutlierMember> members;
  Outliers outliers;
  Rng rng;
  TimePoint now{1000s};
};

TEST(Outlier, FiveFailuresInARowEject) {
  Deployment d(3);
  d.everybody(true, 10);
  for (int k = 0; k < 4; ++k) EXPECT_EQ(d.result(1, false), Outliers::Change::kNone);
  EXPECT_EQ(d.result(1, true), Outliers::Change::kNone);
  for (int k = 0; k < 4; ++k) EXPECT_EQ(d.result(1, false), Outliers::Change::kNone);
  EXPECT_EQ(d.result(1, false), Outliers::Change::kEjected);
  EXPECT_TRUE(d.members[1].ejected());
  EXPECT_FALSE(d.members[1].admits(d.now));
  EXPECT_EQ(d.outliers.ejected(), 1u);
}

TEST(Outlier, HalfOfManyRequestsEjectsAlthoughNeverManyInARow) {
  Deployment d(3);
  d.everybody(true, 3);
  Outliers::Change last = Outliers::Change::kNone;
  int failures = 0;
  while (last == Outliers::Change::kNone && failures < 100) {
    d.result(0, true);
    last = d.result(0, false);
    ++failures;
  }
  EXPECT_EQ(last, Outliers::Change::kNone) << "always a little below half";
  d.result(0, false);
  for (int k = 0; k < 3 && last == Outliers::Change::kNone; ++k) last = d.result(0, false);
  EXPECT_EQ(last, Outliers::Change::kEjected);
}

TEST(Outlier, WhenAllFailNobodyIsAnOutlier) {
  Deployment d(4);
  d.everybody(false, 50);
  EXPECT_EQ(d.outliers.ejected(), 0u);
}

TEST(Outlier, NeverMoreThanHalf) {
  for (size_t n = 1; n <= 7; ++n) {
    Deployment d(n);
    for (int k = 0; k < 1000; ++k) d.result(n - 1, true);  // one is good, so that the others are conspicuous
    for (size_t i = 0; i + 1 < n; ++i)
      for (int k = 0; k < 10; ++k) d.result(i, false);
    EXPECT_EQ(d.outliers.ejected(), n / 2) << n;
  }
}

TEST(Outlier, AnEjectedReplicaIsProbedByOneRequestBeforeItIsBack) {
  Deployment d(2);
  for (int k = 0; k < 5; ++k) d.result(0, false);
  OutlierMember& m = d.members[0];
  ASSERT_TRUE(m.ejected());
  EXPECT_GE(m.until() - d.now, 750ms);
  EXPECT_LE(m.until() - d.now, 1250ms);
  EXPECT_EQ(d.result(0, true), Outliers::Change::kNone) << "what was under way says nothing";
  EXPECT_TRUE(m.ejected());
  d.now = m.until();
  EXPECT_TRUE(m.admits(d.now));
  EXPECT_TRUE(d.outliers.on_sent(m));
  EXPECT_FALSE(m.admits(d.now)) << "one at a time";
  d.outliers.on_no_result(m, true);
  EXPECT_TRUE(m.admits(d.now));
  EXPECT_TRUE(d.outliers.on_sent(m));
  EXPECT_EQ(d.result(0, true, true), Outliers::Change::kBack);
  EXPECT_FALSE(m.ejected());
  EXPECT_FALSE(d.outliers.on_sent(m));
  EXPECT_EQ(d.outliers.ejected(), 0u);
}

TEST(Outlier, EachFailedProbeDoublesTheTimeToABoundAndALongGoodTimeIsForgiven) {
  Deployment d(2);
  for (int k = 0; k < 5; ++k) d.result(0, false);
  OutlierMember& m = d.members[0];
  Duration expected = 1s;
  for (int k = 0; k < 10; ++k) {
    const Duration out = m.until() - d.now;
    EXPECT_GE(out, expected * 3 / 4) << k;
    EXPECT_LE(out, expected * 5 / 4) << k;
    expected = std::min<Duration>(expected * 2, 64s);
    d.now = m.until();
    d.outliers.on_sent(m);
    EXPECT_EQ(d.result(0, false, true), Outliers::Change::kEjected);
  }
  d.now = m.until();
  d.outliers.on_sent(m);
  EXPECT_EQ(d.result(0, true, true), Outliers::Change::kBack);
  for (int k = 0; k < 5; ++k) d.result(0, false);
  EXPECT_GE(m.until() - d.now, 48s) << "back for a moment only: nothing is forgiven";
  d.now = m.until();
  d.outliers.on_sent(m);
  EXPECT_EQ(d.result(0, true, true), Outliers::Change::kBack);
  d.now += 60s;
  for (int k = 0; k < 5; ++k) d.result(0, false);
  EXPECT_LE(m.until() - d.now, 1250ms);
}

TEST(Outlier, OldFailuresAreForgotten) {
  Deployment d(2);
  for (int k = 0; k < 19; ++k) {
    d.result(0, k % 2 == 0);
    d.result(0, true);
  }
  d.now += 11s;
  for (int k = 0; k < 4; ++k) EXPECT_EQ(d.result(0, false), Outliers::Change::kNone);
}

// Random replicas that are good, bad or mixed, that come and go. Whatever happens: the floor holds at every ejection, the
// count is the number of members that are out, and whoever never fails is never out.
TEST(Outlier, RandomResultsNeverBreakTheFloorNorEjectAGoodReplica) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    Deployment d(8, seed * 3);
    std::vector<bool> in(8, true), probing(8, false);
    std::vector<uint64_t> failing(8);
    for (auto& f : failing) f = rng.below(3) == 0 ? rng.below(101) : 0;  // percent
    for (int step = 0; step < 5000; ++step) {
      d.now += Duration(rng.below(20'000'000));
      const size_t i = rng.below(8);
      OutlierMember& m = d.members[i];
      if (rng.below(200) == 0) {
        if (in[i]) {
          d.outliers.leave(m);
        } else {
          d.outliers.join(m);
        }
        in[i] = !in[i];
        probing[i] = false;
      }
      if (!in[i]) continue;
      if (!m.admits(d.now)) continue;
      const bool probe = d.outliers.on_sent(m);
      ASSERT_EQ(probe, m.ejected());
      const bool good = rng.below(100) >= failing[i];
      const auto change = d.outliers.on_result(m, good, probe, d.now, d.rng, [&](auto&& see) {
        for (size_t k = 0; k < 8; ++k)
          if (in[k]) see(d.members[k]);
      });
      if (change == Outliers::Change::kEjected && !probe) ASSERT_LE(d.outliers.ejected() * 2, d.outliers.size());
      size_t out = 0, there = 0;
      for (size_t k = 0; k < 8; ++k) {
        there += in[k] ? 1 : 0;
        out += in[k] && d.members[k].ejected() ? 1 : 0;
        if (failing[k] == 0) ASSERT_FALSE(d.members[k].ejected()) << k;
      }
      ASSERT_EQ(out, d.outliers.ejected());
      ASSERT_EQ(there, d.outliers.size());
    }
  }
}

// One of four replicas fails most of its requests: in a minute it answers few of them.
TEST(Outlier, ABadReplicaGetsAlmostNothing) {
  Deployment d(4);
  size_t to_bad = 0, all = 0;
  for (; d.now < TimePoint{1060s}; d.now += 1ms) {
    size_t i = d.rng.below(4);
    while (!d.members[i].admits(d.now)) i = (i + 1) % 4;
    const bool probe = d.outliers.on_sent(d.members[i]);
    d.result(i, i != 2 || d.rng.below(10) == 0, probe);
    ++all;
    to_bad += i == 2 ? 1 : 0;
  }
  EXPECT_LT(to_bad * 50, all);
  EXPECT_GT(to_bad, 5u) << "it is looked at now and then";
}

}  // namespace
}  // namespace colony::policy
