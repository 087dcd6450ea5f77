// The adapter by address through restarts and partitions of the discovery, and a model-based test of the whole room:
// whatever happens, subscribers end up with what the publishers last said.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "discovery/test_world.h"

namespace colony::discovery {
namespace {

const RegistryOptions kSettling{.settle = 2s};

TEST(Remote, SaysEverythingAgainToANewDiscovery) {
  World w(Adapter::kRemote, kSettling);
  ASSERT_TRUE(w.publish(app("a", 2, 7)));
  ASSERT_TRUE(w.publish(app("b", 1, 1)));
  ASSERT_TRUE(w.run(w.one().register_proxy({.id = "p", .address = "x"}, 30s)));
  w.stop_host();
  w.pass(500ms);
  w.start_host();
  ASSERT_TRUE(w.until([&] { return w.registry().apps().size() == 2 && w.registry().proxies().size() == 1; }));
  EXPECT_EQ(w.registry().apps().at("a"), app("a", 2, 7));
}

TEST(Remote, WhatFailsWhileItIsSaidAgainIsSaidUntilItIsHeard) {
  World w(Adapter::kRemote, {.settle = 500ms});
  ASSERT_TRUE(w.publish(app("a", 1, 1)));
  ASSERT_TRUE(w.publish(app("b", 1, 1)));
  w.stop_host();
  w.limit_apps(1);
  w.start_host();
  ASSERT_TRUE(w.until([&] { return w.registry().stats().refused > 0; }));
  w.pass(5s);
  EXPECT_LT(w.registry().stats().refused, 20u) << "with back-off";
  const std::string first = w.registry().apps().begin()->first;
  ASSERT_TRUE(w.run(w.registry().withdraw(first, 1)));
  EXPECT_TRUE(w.until([&] { return w.registry().apps().contains(first == "a" ? "b" : "a"); }));
  const uint64_t refused = w.registry().stats().refused;
  w.pass(30s);
  EXPECT_EQ(w.registry().stats().refused, refused);
}

TEST(Remote, WhatIsTakenBackWhileItWaitsToBeSaidAgainStaysAway) {
  World w(Adapter::kRemote, kSettling);
  const auto name = [](int i) { return "n" + std::to_string(i); };
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(w.publish(app(name(i), 1, 1)));
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(w.run(w.one().register_proxy({.id = name(i), .address = "x"}, 60s)));
  w.stop_host();
  w.start_host();
  ASSERT_TRUE(w.until([&] { return w.remote().connects() == 2; }));
  std::array<bool, 120> done{};
  for (size_t i = 0; i < 60; ++i) {
    w.spawn(w.one().withdraw(name(static_cast<int>(i)), 1), done[2 * i]);
    w.spawn(w.one().unregister_proxy(name(static_cast<int>(i))), done[2 * i + 1]);
  }
  w.pass(20s);
  EXPECT_TRUE(std::all_of(done.begin(), done.end(), [](bool b) { return b; }));
  EXPECT_TRUE(w.registry().apps().empty()) << w.registry().apps().size();
  EXPECT_TRUE(w.registry().proxies().empty()) << w.registry().proxies().size();
}

TEST(Remote, ASubscriberKeepsItsTableWhileTheDiscoveryIsAwayAndWhileItSettles) {
  World w(Adapter::kRemote, kSettling);
  ASSERT_TRUE(w.publish(app("a", 1, 1)));
  Remote other(w.loop(), World::endpoint());
  {
    Watcher watcher(other);
    ASSERT_TRUE(w.until([&] { return watcher.view.apps().contains("a") && watcher.view.complete(); }));
    w.stop_host();
    w.pass(3s);
    EXPECT_TRUE(watcher.view.apps().contains("a"));
    // The publisher is cut off: the new discovery does not hear of "a" before it has settled.
    w.loop().run(w.remote().stop());
    w.start_host();
    ASSERT_TRUE(w.until([&] { return other.connected(); }));
    EXPECT_TRUE(watcher.view.apps().contains("a")) << "not complete: absent means unknown";
    ASSERT_TRUE(w.until([&] { return watcher.view.complete(); }));
    EXPECT_FALSE(watcher.view.apps().contains("a")) << "complete: absent means gone";
  }
  w.loop().run(other.stop());
}

TEST(Remote, WhatIsSaidWhileTheDiscoveryIsAwayIsAnErrorNowAndHeardLater) {
  World w(Adapter::kRemote, {.settle = 1s});
  ASSERT_TRUE(w.publish(app("a", 1, 1)));
  w.stop_host();
  auto r = w.publish(app("a", 1, 2));
  ASSERT_FALSE(r);
  EXPECT_TRUE(r.error().code == Code::kUnavailable || r.error().code == Code::kDeadlineExceeded);
  w.start_host();
  ASSERT_TRUE(w.until([&] { return w.registry().apps().contains("a"); }));
  EXPECT_EQ(w.registry().apps().at("a").version, 2u);
}

TEST(Remote, AWithdrawalThatWasNotHeardIsSaidAgainAndReachesWhoKeptTheApp) {
  World w(Adapter::kRemote, kSettling);
  Remote other(w.loop(), World::endpoint());
  {
    Watcher watcher(other);
    ASSERT_TRUE(w.publish(app("a", 1, 1)));
    ASSERT_TRUE(w.until([&] { return watcher.view.apps().contains("a"); }));
    w.stop_host();
    EXPECT_FALSE(w.run(w.one().withdraw("a", 1)));
    w.start_host();
    ASSERT_TRUE(w.until([&] { return !watcher.view.apps().contains("a"); }, 1900ms)) << "before it has settled";
  }
  w.loop().run(other.stop());
}

TEST(Remote, ComesBackAfterAPartition) {
  World w(Adapter::kRemote);
  ASSERT_TRUE(w.publish(app("a", 1, 1)));
  Watcher watcher(w.one());
  ASSERT_TRUE(w.until([&] { return watcher.view.apps().contains("a"); }));
  w.loop().partition(World::endpoint());
  w.pass(30s);
  w.loop().heal(World::endpoint());
  // A change by somebody else gets through again.
  ASSERT_TRUE(w.run(w.registry().publish(app("b", 1, 1))));
  EXPECT_TRUE(w.until([&] { return watcher.view.apps().contains("b"); }));
}

// Publishers and subscribers at random, a discovery that restarts and is cut off. The toy model is a map of what was
// said last; in the end every subscriber holds exactly that.
TEST(Remote, AgainstAModelSubscribersEndWithWhatWasSaidLast) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    World w(Adapter::kRemote, {.settle = 500ms}, seed);
    Rng rng(seed * 131);
    std::map<std::string, AppRecord> said;
    std::map<std::string, uint64_t> epochs;
    Watcher mine(w.one());
    Remote other(w.loop(), World::endpoint());
    {
      Watcher theirs(other);
      bool up = true;
      for (int i = 0; i < 120; ++i) {
        const std::string name(1, static_cast<char>('a' + rng.below(5)));
        switch (rng.below(8)) {
          case 0:
          case 1:
          case 2: {
            AppRecord r = app(name, epochs[name] += rng.below(2), static_cast<uint64_t>(i) + 1);
            if (epochs[name] == 0) r.epoch = epochs[name] = 1;
            said[name] = r;
            bool done = false;
            w.spawn(w.one().publish(r), done);
            w.until([&] { return done; }, 10s);
            break;
          }
          case 3: {
            if (!said.contains(name)) break;
            bool done = false;
            w.spawn(w.one().withdraw(name, said[name].epoch), done);
            w.until([&] { return done; }, 10s);
            said.erase(name);
            ++epochs[name];
            break;
          }
          case 4:
            if (up) w.stop_host();
            up = false;
            break;
          case 5:
            if (!up) w.start_host();
            up = true;
            break;
          case 6: w.loop().reset_all(World::endpoint()); break;
          case 7: w.pass(std::chrono::milliseconds(rng.below(800))); break;
        }
      }
      if (!up) w.start_host();
      const auto settled = [&] { return mine.view.apps() == said && theirs.view.apps() == said; };
      EXPECT_TRUE(w.until(settled, 30s)) << mine.view.apps().size() << " and " << theirs.view.apps().size() << " of "
                                         << said.size();
    }
    w.loop().run(other.stop());
  }
}

}  // namespace
}  // namespace colony::discovery
