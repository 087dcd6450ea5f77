// Replicas that answer badly, and replicas of other nodes: who gets the requests.
#include <algorithm>

#include "request/proxy/test_world.h"

namespace colony::proxy::testing {
namespace {

using std::string;

bool has(const string& text, std::string_view what) { return text.find(what) != string::npos; }

struct Three {
  explicit Three(WorldOptions options = {})
      : w(std::move(options)), a(w.replica("a")), b(w.replica("b")), c(w.replica("c")) {
    w.deploy("app", "/", {a.record(), b.record(), c.record()});
  }
  size_t ask(int n) {
    size_t good = 0;
    for (int i = 0; i < n; ++i) good += w.ask("POST", "/echo", "x").status == 200 ? 1 : 0;
    return good;
  }
  ProxyWorld w;
  TestReplica &a, &b, &c;
};

TEST(ProxyOutlier, AReplicaThatAnswersWithErrorsIsLeftOutProbedAndTakenBack) {
  observe::Metrics metrics;
  Three t({.proxy = {.metrics = &metrics}});
  t.b.service.refuse = "its_own_trouble";
  EXPECT_GE(t.ask(100), 95u);
  EXPECT_EQ(t.b.service.calls.size(), 5u) << "five in a row are enough";
  EXPECT_EQ(t.w.stats("app/d").ejections.get(), 1u);
  EXPECT_TRUE(has(metrics.text(), "colony_router_ejections_total{application=\"app\",deployment=\"d\"} 1"));
  EXPECT_TRUE(has(metrics.text(), "colony_router_ejected_replicas{application=\"app\",deployment=\"d\"} 1"));

  t.w.loop().run_for(1300ms);
  EXPECT_GE(t.ask(100), 99u);
  EXPECT_EQ(t.b.service.calls.size(), 6u) << "one probe";

  t.b.service.refuse.clear();
  t.w.loop().run_for(2600ms);
  EXPECT_EQ(t.ask(100), 100u);
  EXPECT_GT(t.b.service.calls.size(), 20u) << "back in full";
  EXPECT_TRUE(has(metrics.text(), "colony_router_ejected_replicas{application=\"app\",deployment=\"d\"} 0"));
}

TEST(ProxyOutlier, WhenAllAnswerWithErrorsAllAreAskedAndWhatTheySayIsPassedOn) {
  Three t;
  for (TestReplica* r : {&t.a, &t.b, &t.c}) r->service.refuse = "the_request_is_to_blame";
  for (int i = 0; i < 90; ++i) {
    const WireReply reply = t.w.ask("POST", "/echo", "x");
    EXPECT_EQ(reply.status, 503);
    EXPECT_TRUE(has(reply.head, "the_request_is_to_blame"));
  }
  for (TestReplica* r : {&t.a, &t.b, &t.c}) EXPECT_GT(r->service.calls.size(), 15u);
}

TEST(ProxyOutlier, ReplicasThatAreFullAreNotBad) {
  Three t;
  t.b.service.refuse = "replica_full";
  EXPECT_EQ(t.ask(60), 60u) << "sent on to another one";
  EXPECT_GT(t.b.service.calls.size(), 10u);
  EXPECT_EQ(t.w.stats("app/d").ejections.get(), 0u);
}

TEST(ProxyOutlier, AnEjectedReplicaServesWhenTheOthersAreGone) {
  Three t;
  t.b.service.refuse = "its_own_trouble";
  t.ask(60);
  ASSERT_EQ(t.w.stats("app/d").ejections.get(), 1u);
  t.b.service.refuse.clear();
  t.a.kill();
  t.c.kill();
  t.w.loop().run_for(1ms);
  EXPECT_EQ(t.w.ask("POST", "/echo", "x").status, 200) << "less than half of the replicas would be left";
}

// A connection that breaks under many calls is one failure; one that breaks again and again is an outlier.
TEST(ProxyOutlier, ConnectionsThatBreakCountOnceEach) {
  Three t;
  std::vector<std::unique_ptr<RawPeer>> clients;
  for (int round = 1; round <= 6; ++round) {
    while (t.b.ongoing() < 3 && t.w.stats("app/d").ejections.get() == 0) {
      clients.push_back(t.w.client());
      clients.back()->send(ProxyWorld::text("POST", "/hold/x", "x"));
      t.w.loop().run_ready();
    }
    if (t.w.stats("app/d").ejections.get() > 0) break;
    EXPECT_LT(round, 6);
    t.w.loop().reset_all({t.b.address()});
    t.w.loop().run_ready();
    EXPECT_EQ(t.w.stats("app/d").ejections.get(), round >= 5 ? 1u : 0u) << round;
    t.w.loop().run_for(300ms);  // connected again
    for (TestReplica* r : {&t.a, &t.c})
      for (auto& call : r->service.calls)
        if (!call->done) call->release("x");
    t.w.loop().run_for(1ms);
  }
  EXPECT_EQ(t.w.stats("app/d").ejections.get(), 1u);
}

TEST(ProxyOutlier, RequestsStayOnTheNodeUntilItsReplicasAreFull) {
  ProxyWorld w;
  auto &near = w.replica("near"), &far = w.replica("far"), &further = w.replica("further");
  auto elsewhere = [](ReplicaRecord r) {
    r.node = "n2";
    return r;
  };
  w.deploy("app", "/", {elsewhere(far.record()), near.record(), elsewhere(further.record())},
           [](DeploymentRecord& d) { d.max_ongoing_requests = 2; });
  for (int i = 0; i < 50; ++i) EXPECT_EQ(w.ask("POST", "/echo", "x").status, 200);
  EXPECT_EQ(near.service.calls.size(), 50u);
  std::vector<std::unique_ptr<RawPeer>> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(w.client());
    clients.back()->send(ProxyWorld::text("PUT", "/hold/x", "x"));
    w.loop().run_ready();
    EXPECT_EQ(near.ongoing(), std::min<size_t>(i + 1, 2)) << i;
  }
  EXPECT_EQ(far.ongoing() + further.ongoing(), 4u) << "spilled over";
  near.service.last().release("x");
  ASSERT_TRUE(w.until([&] { return near.ongoing() == 1; }));
  EXPECT_EQ(w.ask("POST", "/echo", "home").status, 200);
  EXPECT_EQ(near.service.last().body, "home");
}

}  // namespace
}  // namespace colony::proxy::testing
