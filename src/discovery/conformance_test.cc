// What every Discovery must do, run on each adapter: the registry itself, the registry by address, and the registry of
// another loop. One simulated loop, no real time.
#include <gtest/gtest.h>

#include "async/sim_loop.h"
#include "discovery/registry.h"
#include "discovery/test_world.h"
#include "discovery/wire.h"

namespace colony::discovery {
namespace {

class Conformance : public testing::TestWithParam<Adapter> {
 protected:
  World world{GetParam()};
};

TEST_P(Conformance, ASubscriberGetsTheWholeTableFirstAndThenOnlyChanges) {
  ASSERT_TRUE(world.publish(app("a", 1, 1)));
  Watcher w(world.one());
  ASSERT_TRUE(world.until([&] { return w.updates.size() == 1; }));
  EXPECT_TRUE(w.updates[0].full);
  ASSERT_EQ(w.updates[0].apps.size(), 1u);
  ASSERT_TRUE(world.publish(app("b", 1, 1)));
  ASSERT_TRUE(world.until([&] { return w.view.apps().contains("b"); }));
  EXPECT_FALSE(w.updates.back().full);
  EXPECT_EQ(w.updates.back().apps.size(), 1u);
  EXPECT_GT(w.updates.back().revision, w.updates.front().revision);
}

TEST_P(Conformance, TheCallbackNeverRunsInsideSubscribe) {
  ASSERT_TRUE(world.publish(app("a", 1, 1)));
  bool inside = true, called = false;
  auto subscription = world.one().subscribe([&](const TableUpdate&) {
    EXPECT_FALSE(inside);
    called = true;
  });
  inside = false;
  EXPECT_TRUE(world.until([&] { return called; }));
}

TEST_P(Conformance, ASubscriptionThatHasEndedStaysSilent) {
  auto w = std::make_unique<Watcher>(world.one());
  Watcher other(world.one());
  w.reset();
  ASSERT_TRUE(world.publish(app("a", 1, 1)));
  EXPECT_TRUE(world.until([&] { return other.view.apps().contains("a"); }));
}

TEST_P(Conformance, OlderEpochsAndVersionsAreRefusedAndTheSameOneChangesNothing) {
  ASSERT_TRUE(world.publish(app("a", 2, 5)));
  EXPECT_TRUE(world.publish(app("a", 2, 5)));
  for (auto [epoch, version] : {std::pair{1, 9}, std::pair{2, 4}}) {
    auto r = world.publish(app("a", epoch, version));
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().reason, "stale_epoch");
    EXPECT_EQ(r.error().code, Code::kFailedPrecondition);
  }
  EXPECT_TRUE(world.publish(app("a", 3, 1)));
  EXPECT_EQ(world.registry().apps().at("a").epoch, 3u);
}

TEST_P(Conformance, WithdrawRemovesAndAnOlderEpochCannotUndoIt) {
  ASSERT_TRUE(world.publish(app("a", 3, 1)));
  Watcher w(world.one());
  ASSERT_TRUE(world.until([&] { return w.view.apps().contains("a"); }));
  auto stale = world.run(world.one().withdraw("a", 2));
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().reason, "stale_epoch");
  EXPECT_TRUE(world.run(world.one().withdraw("a", 3)));
  EXPECT_TRUE(world.run(world.one().withdraw("a", 3))) << "twice is fine";
  ASSERT_TRUE(world.until([&] { return !w.view.apps().contains("a"); }));
  EXPECT_FALSE(world.publish(app("a", 2, 9)));
  EXPECT_TRUE(world.publish(app("a", 4, 1)));
}

TEST_P(Conformance, ARecordThatComesAfterItsWithdrawalIsRefused) {
  ASSERT_TRUE(world.publish(app("a", 3, 7)));
  ASSERT_TRUE(world.run(world.one().withdraw("a", 3)));
  ASSERT_TRUE(world.run(world.one().withdraw("a", 3)));
  auto late = world.run(world.registry().publish(app("a", 3, 7)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().reason, "stale_epoch");
  EXPECT_TRUE(world.publish(app("a", 3, 8))) << "was said after it";
  ASSERT_TRUE(world.run(world.one().withdraw("never heard of", 5)));
  EXPECT_FALSE(world.publish(app("never heard of", 5, 9)));
  EXPECT_TRUE(world.publish(app("never heard of", 6, 1)));
}

TEST_P(Conformance, ATableIsAsLargeAsOneUpdateCanBe) {
  const auto heavy = [](const std::string& name, size_t bytes) {
    AppRecord r = app(name, 1, 1);
    r.deployments[0].transform.assign(bytes, 'x');
    return r;
  };
  for (char c = 'a'; c < 'a' + 13; ++c) ASSERT_TRUE(world.publish(heavy(std::string(1, c), 1024 * 1024)));
  size_t holds = 0;
  for (const auto& [name, record] : world.registry().apps()) holds += wire::encode(record).size();
  AppRecord last = heavy("z", kMaxTableBytes - holds - 1000);
  last.deployments[0].transform.append(kMaxTableBytes - holds - wire::encode(last).size(), 'x');
  AppRecord beyond = last;
  beyond.deployments[0].transform += 'x';
  auto refused = world.publish(beyond);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_EQ(refused.error().reason, "table_full");
  ASSERT_TRUE(world.publish(last));
  EXPECT_FALSE(world.run(world.one().register_proxy({.id = "p"}, 5s)));
  Watcher w(world.one());
  EXPECT_TRUE(world.until([&] { return w.view.apps().size() == 14; }));
  EXPECT_TRUE(world.run(world.one().withdraw("a", 1)));
  EXPECT_TRUE(world.publish(heavy("b", 2 * 1024 * 1024 - 1000))) << "room that was left is room again";
}

TEST_P(Conformance, PublishWaitsForEveryLiveProxyToAcknowledge) {
  Watcher w(world.one());
  ASSERT_TRUE(world.run(world.one().register_proxy({.id = "p", .address = "x"}, 5s)));
  ASSERT_TRUE(world.until([&] { return w.view.proxies().contains("p"); }));
  ASSERT_TRUE(world.run(world.one().acknowledge("p", w.view.revision())));
  bool done = false;
  world.spawn(world.one().publish(app("a", 1, 1)), done);
  ASSERT_TRUE(world.until([&] { return w.view.apps().contains("a"); }));
  world.pass(200ms);
  EXPECT_FALSE(done);
  ASSERT_TRUE(world.run(world.one().acknowledge("p", w.view.revision())));
  EXPECT_TRUE(world.until([&] { return done; }, 100ms));
}

TEST_P(Conformance, PublishGivesUpWaitingAfterASecond) {
  ASSERT_TRUE(world.run(world.one().register_proxy({.id = "deaf", .address = "x"}, 5s)));
  const TimePoint before = world.now();
  ASSERT_TRUE(world.publish(app("a", 1, 1)));
  EXPECT_GE(world.now() - before, 1s);
  EXPECT_LT(world.now() - before, 1200ms);
  EXPECT_EQ(world.registry().stats().unacknowledged, 1u);
}

TEST_P(Conformance, ALeaseThatIsNotRenewedLapsesAndFreesWhoWaits) {
  Watcher w(world.one());
  ASSERT_TRUE(world.run(world.one().register_proxy({.id = "p", .address = "x"}, 300ms)));
  ASSERT_TRUE(world.until([&] { return w.view.proxies().contains("p"); }));
  const TimePoint before = world.now();
  ASSERT_TRUE(world.publish(app("a", 1, 1)));
  EXPECT_LT(world.now() - before, 500ms);
  ASSERT_TRUE(world.until([&] { return !w.view.proxies().contains("p"); }));
  EXPECT_EQ(world.registry().stats().expired_leases, 1u);
}

TEST_P(Conformance, RenewingKeepsAProxyAndShowsItsLoad) {
  Watcher w(world.one());
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(world.run(
        world.one().register_proxy({.id = "p", .address = "x", .ongoing = static_cast<uint64_t>(i * 100)}, 300ms)));
    world.pass(200ms);
  }
  ASSERT_TRUE(world.until([&] { return w.view.proxies().contains("p") && w.view.proxies().at("p").ongoing == 900; }));
  ASSERT_TRUE(world.run(world.one().unregister_proxy("p")));
  EXPECT_TRUE(world.until([&] { return w.view.proxies().empty(); }));
}

TEST_P(Conformance, BadCallsSayWhatIsWrong) {
  EXPECT_EQ(world.run(world.one().register_proxy({.id = ""}, 1s)).error().code, Code::kInvalidArgument);
  EXPECT_EQ(world.run(world.one().register_proxy({.id = "p"}, 0s)).error().code, Code::kInvalidArgument);
  EXPECT_EQ(world.run(world.one().acknowledge("nobody", 1)).error().reason, "unknown_proxy");
  EXPECT_EQ(world.publish(app("", 1, 1)).error().code, Code::kInvalidArgument);
  const std::string endless(5000, 'n');
  EXPECT_EQ(world.publish(app(endless, 1, 1)).error().code, Code::kInvalidArgument);
  EXPECT_EQ(world.run(world.one().withdraw(endless, 1)).error().code, Code::kInvalidArgument);
  EXPECT_EQ(world.run(world.one().register_proxy({.id = endless}, 1s)).error().code, Code::kInvalidArgument);
  EXPECT_EQ(world.run(world.one().unregister_proxy(endless)).error().code, Code::kInvalidArgument);
}

TEST(Registry, WhoDoesNotReadWhileManyNamesGoIsToldEverything) {
  World world(Adapter::kRegistry, {.settle = 60s});
  ASSERT_TRUE(world.publish(app("a", 1, 1)));
  {
    Feed feed(world.registry(), {});
    ASSERT_TRUE(feed.take());
    for (int i = 0; i < 300; ++i)
      ASSERT_TRUE(world.run(world.registry().withdraw(std::to_string(i) + std::string(4000, 'n'), 1)));
    auto update = feed.take();
    ASSERT_TRUE(update);
    EXPECT_TRUE(update->full);
    EXPECT_EQ(update->apps.size(), 1u);
    EXPECT_LT(update->removed_apps.size(), 200u);
  }
}

TEST(Wire, ALeaseIsBoundedBeforeItIsCounted) {
  const auto decode = [](Duration lease) {
    return wire::decode_register(wire::encode(wire::Register{{.id = "p"}, lease}));
  };
  EXPECT_TRUE(decode(1ms));
  EXPECT_TRUE(decode(24h));
  EXPECT_FALSE(decode(24h + 1ms));
  EXPECT_FALSE(decode(0ms));
  EXPECT_FALSE(decode(-1ms));
}

INSTANTIATE_TEST_SUITE_P(Adapters, Conformance, testing::ValuesIn(all_adapters()),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace colony::discovery
