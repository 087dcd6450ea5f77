// What is sent to a second replica, to which one, how often, and what the client is told when it is not.
#include <algorithm>

#include "request/proxy/test_world.h"

namespace colony::proxy::testing {
namespace {

using std::string;

bool has(const string& text, std::string_view what) { return text.find(what) != string::npos; }

// A request that hangs on one of the replicas, which is then killed.
struct Lost {
  Lost(ProxyWorld& w, std::string_view method, std::string_view extra) : client(w.client()) {
    client->send(ProxyWorld::text(method, "/hold/x", "body", extra));
  }
  std::unique_ptr<RawPeer> client;
};

TestReplica* holder(std::initializer_list<TestReplica*> replicas) {
  for (TestReplica* r : replicas)
    if (r->running() && r->ongoing() > 0) return r;
  return nullptr;
}

TEST(ProxyRetry, APostIsSentAgainWhenTheClientOrTheDeploymentCallsItIdempotent) {
  struct Case {
    std::string_view extra;
    bool deployment;
    bool again;
  };
  for (Case c : {Case{"", false, false}, Case{"X-Idempotent: true\r\n", false, true},
                 Case{"x-idempotent: no\r\n", false, false}, Case{"", true, true}}) {
    SCOPED_TRACE(c.extra);
    ProxyWorld w;
    auto &a = w.replica("a"), &b = w.replica("b");
    w.deploy("app", "/", {a.record(), b.record()}, [&](DeploymentRecord& d) { d.idempotent = c.deployment; });
    Lost lost(w, "POST", c.extra);
    ASSERT_TRUE(w.until([&] { return holder({&a, &b}) != nullptr; }));
    TestReplica& first = *holder({&a, &b});
    TestReplica& other = &first == &a ? b : a;
    EXPECT_TRUE(has(first.service.last().head, c.extra)) << "what the client said travels on";
    first.kill();
    if (!c.again) {
      const WireReply reply = w.reply(*lost.client, 1s);
      EXPECT_EQ(reply.status, 503);
      EXPECT_TRUE(has(reply.head, "x-colony-reason: replica_lost")) << reply.head;
      EXPECT_TRUE(other.service.calls.empty());
      continue;
    }
    ASSERT_TRUE(w.until([&] { return other.ongoing() == 1; }, 1s));
    other.service.last().release("second");
    EXPECT_EQ(w.reply(*lost.client).body, "second");
  }
}

TEST(ProxyRetry, NoReplicaIsTriedTwiceAndThreeAreEnough) {
  ProxyWorld w;
  auto &a = w.replica("a"), &b = w.replica("b"), &c = w.replica("c"), &d = w.replica("d");
  w.deploy("app", "/", {a.record(), b.record(), c.record(), d.record()});
  Lost lost(w, "PUT", "");
  for (size_t tries = 1; tries <= 3; ++tries) {
    ASSERT_TRUE(w.until([&] { return holder({&a, &b, &c, &d}) != nullptr; }, 1s)) << tries;
    TestReplica& now = *holder({&a, &b, &c, &d});
    EXPECT_EQ(now.service.calls.size(), 1u);
    // Only the connection breaks: the replica is back in a moment, and must not be asked again.
    w.loop().reset_all({now.address()});
    w.loop().run_ready();
  }
  const WireReply reply = w.reply(*lost.client, 1s);
  EXPECT_EQ(reply.status, 503);
  EXPECT_TRUE(has(reply.head, "x-colony-reason: replica_lost")) << reply.head;
  EXPECT_EQ(w.stats("app/d").retries.get(), 2u);
}

TEST(ProxyRetry, TheOnlyReplicaIsWaitedForUntilItIsBack) {
  ProxyWorld w;
  auto& a = w.replica("a");
  w.deploy("app", "/", {a.record()});
  Lost lost(w, "PUT", "");
  ASSERT_TRUE(w.until([&] { return a.ongoing() == 1; }));
  a.kill();
  w.loop().run_for(300ms);
  a.incarnation = 2;
  a.start();
  w.deploy("app", "/", {a.record()});
  ASSERT_TRUE(w.until([&] { return a.service.calls.size() == 2; }, 5s));
  a.service.last().release("back");
  EXPECT_EQ(w.reply(*lost.client).body, "back");
}

TEST(ProxyRetry, ARefusalGoesToAnotherReplicaWhateverTheMethod) {
  for (string reason : {"replica_full", "replica_ending"}) {
    SCOPED_TRACE(reason);
    ProxyWorld w;
    auto &a = w.replica("a"), &b = w.replica("b"), &c = w.replica("c");
    a.service.refuse = b.service.refuse = reason;
    w.deploy("app", "/", {a.record(), b.record(), c.record()});
    for (int i = 0; i < 10; ++i) EXPECT_EQ(w.ask("POST", "/echo", "x").body, "x");
    EXPECT_EQ(c.service.calls.size(), 10u);
    EXPECT_GT(a.service.calls.size() + b.service.calls.size(), 3u);
    c.service.refuse = reason;
    const size_t before = a.service.calls.size() + b.service.calls.size() + c.service.calls.size();
    const WireReply reply = w.ask("POST", "/echo", "x");
    EXPECT_EQ(reply.status, 503) << "all say no: the last no is the answer";
    EXPECT_TRUE(has(reply.head, "x-colony-reason: " + reason)) << reply.head;
    EXPECT_TRUE(has(reply.head, "retry-after: 1")) << reply.head;
    EXPECT_TRUE(has(reply.body, "\"reason\":\"" + reason + "\"")) << reply.body;
    EXPECT_EQ(a.service.calls.size() + b.service.calls.size() + c.service.calls.size(), before + 3);
  }
}

TEST(ProxyRetry, AnotherReasonIsPassedOn) {
  ProxyWorld w;
  auto &a = w.replica("a"), &b = w.replica("b");
  a.service.refuse = b.service.refuse = "my_own";
  w.deploy("app", "/", {a.record(), b.record()});
  EXPECT_EQ(w.ask("GET", "/echo").status, 503);
  EXPECT_EQ(a.service.calls.size() + b.service.calls.size(), 1u);
}

// 300 requests are lost at once: a hundred and a fifth of them are sent again, the others are told so.
TEST(ProxyRetry, TheBudgetBoundsWhatALostReplicaCosts) {
  observe::Metrics metrics;
  ProxyWorld w({.proxy = {.metrics = &metrics}});
  auto &a = w.replica("a"), &b = w.replica("b");
  const auto many = [](DeploymentRecord& d) { d.max_ongoing_requests = 1000; };
  w.deploy("app", "/", {a.record()}, many);
  std::vector<std::unique_ptr<RawPeer>> clients;
  for (int i = 0; i < 300; ++i) {
    clients.push_back(w.client());
    clients.back()->send(ProxyWorld::text("PUT", "/hold/x", "body"));
  }
  ASSERT_TRUE(w.until([&] { return a.ongoing() == 300; }, 1s));
  w.deploy("app", "/", {a.record(), b.record()}, many);
  a.kill();
  ASSERT_TRUE(w.until([&] { return b.ongoing() == 160; }, 1s)) << b.ongoing();
  int lost = 0;
  for (auto& c : clients) lost += has(c->text, "x-colony-reason: replica_lost") ? 1 : 0;
  EXPECT_EQ(lost, 140);
  EXPECT_EQ(w.stats("app/d").retries_refused.get(), 140u);
  EXPECT_TRUE(has(metrics.text(), "colony_router_retries_refused_total{application=\"app\",deployment=\"d\"} 140"));
  for (auto& call : b.service.calls) call->release("again");
  EXPECT_TRUE(w.until([&] { return w.proxy().ongoing() == 0; }, 1s));
}

// A request has found `a` full and waits, while the only other replica, `b`, is busy.
struct TriedOnA {
  ProxyWorld w;
  TestReplica &a = w.replica("a"), &b = w.replica("b");
  std::unique_ptr<RawPeer> busy = w.client(), first = w.client();

  template <class Bounds>
  void begin(Bounds bounds) {
    w.deploy("app", "/", {b.record()}, bounds);
    busy->send(ProxyWorld::text("PUT", "/hold/busy", "x"));
    ASSERT_TRUE(w.until([&] { return b.ongoing() == 1; }));
    w.deploy("app", "/", {a.record(), b.record()}, bounds);
    a.service.refuse = "replica_full";
    first->send(ProxyWorld::text("POST", "/hold/first", "x"));
    ASSERT_TRUE(w.until([&] { return a.service.calls.size() == 1; }));
    w.loop().run_for(10ms);
    a.service.refuse.clear();
  }
};

// The request that has lost a replica stands first in the queue and cannot use the only free one: who is behind it can.
TEST(ProxyRetry, ARequestThatMayNotUseTheFreeReplicaHoldsUpNobody) {
  TriedOnA t;
  auto& [w, a, b, busy, first] = t;
  ASSERT_NO_FATAL_FAILURE(t.begin([](DeploymentRecord& d) { d.max_ongoing_requests = 1; }));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(w.ask("POST", "/echo", "quick").body, "quick");
  auto& held = b.service.last();
  held.release("done");
  ASSERT_TRUE(w.until([&] { return b.service.calls.size() == 2; }, 1s));
  b.service.last().release("on b");
  EXPECT_EQ(w.reply(*first).body, "on b");
}

// Nor does it take a place in the queue from them.
TEST(ProxyRetry, ARequestThatWaitsForAnotherReplicaCountsAgainstNoBound) {
  for (int most : {0, 1}) {
    SCOPED_TRACE(most);
    TriedOnA t;
    auto& [w, a, b, busy, first] = t;
    ASSERT_NO_FATAL_FAILURE(
        t.begin([&](DeploymentRecord& d) { d.max_ongoing_requests = 1, d.max_queued_requests = most; }));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(w.ask("POST", "/echo", "quick").body, "quick");
    auto on_a = w.client();
    on_a->send(ProxyWorld::text("POST", "/hold/a", "x"));
    ASSERT_TRUE(w.until([&] { return a.ongoing() == 1; }, 1s));
    std::vector<std::unique_ptr<RawPeer>> waiting;
    for (int i = 0; i < most; ++i) {
      waiting.push_back(w.client());
      waiting.back()->send(ProxyWorld::text("POST", "/echo", "waits"));
      w.loop().run_for(10ms);
    }
    EXPECT_TRUE(has(w.ask("POST", "/echo", "x").body, "queue_full")) << "the bound of the others is exact";
    b.service.last().release("done");
    ASSERT_TRUE(w.until([&] { return b.service.calls.size() == 2; }, 1s));
    b.service.last().release("on b");
    EXPECT_EQ(w.reply(*first).body, "on b");
    for (auto& c : waiting) EXPECT_EQ(w.reply(*c).body, "waits");
    a.service.last().release("end");
    EXPECT_EQ(w.reply(*on_a).body, "end");
  }
}

// The whole of it is here, but it is more than is kept for a second try.
TEST(ProxyRetry, ALargeBodyOfUnknownLengthThatHasWaitedIsNotSentTwice) {
  ProxyWorld w;
  auto &a = w.replica("a"), &b = w.replica("b");
  const auto one = [](DeploymentRecord& d) { d.max_ongoing_requests = 1; };
  w.deploy("app", "/", {a.record()}, one);
  auto busy = w.client(), large = w.client();
  busy->send(ProxyWorld::text("PUT", "/hold/busy", "x"));
  ASSERT_TRUE(w.until([&] { return a.ongoing() == 1; }));
  large->send("PUT /hold/large HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  w.loop().run_for(10ms);
  for (int i = 0; i < 2; ++i) large->send("c350\r\n" + string(0xc350, 'x') + "\r\n");
  large->send("0\r\n\r\n");
  w.loop().run_for(10ms);
  a.service.last().release("done");
  ASSERT_TRUE(w.until([&] { return a.service.calls.size() == 2; }, 1s));
  a.service.last().take();
  ASSERT_TRUE(w.until([&] { return a.service.last().body.size() == 100'003; }, 1s)) << a.service.last().body.size();
  w.deploy("app", "/", {a.record(), b.record()}, one);
  a.kill();
  const WireReply reply = w.reply(*large, 1s);
  EXPECT_EQ(reply.status, 503);
  EXPECT_TRUE(has(reply.head, "x-colony-reason: replica_lost")) << reply.head;
  EXPECT_TRUE(b.service.calls.empty());
}

TEST(ProxyRetry, AGrpcCallIsToldTheReasonAndWhenToComeBack) {
  ProxyWorld w;
  auto& a = w.replica("a");
  w.deploy("app", "/", {a.record()},
           [](DeploymentRecord& d) { d.max_ongoing_requests = 1, d.max_queued_requests = 0; });
  auto busy = w.client();
  busy->send(ProxyWorld::text("PUT", "/hold/busy", "x"));
  ASSERT_TRUE(w.until([&] { return a.ongoing() == 1; }));
  const WireReply reply = w.ask("POST", "/my.Service/Call", "x", "Content-Type: application/grpc\r\nTE: trailers\r\n");
  EXPECT_EQ(reply.status, 200);
  for (std::string_view line : {"grpc-status: 14\r\n", "x-colony-reason: queue_full\r\n", "retry-after: 1\r\n",
                                "grpc-retry-pushback-ms: 1000\r\n"})
    EXPECT_TRUE(has(reply.head, line)) << reply.head;
}

}  // namespace
}  // namespace colony::proxy::testing
