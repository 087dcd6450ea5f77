// Servers of the user's own behind a whole proxy, in simulated time: the same queues, bounds, retries and failures as for
// replicas, over HTTP/1.1 and h2c.
#include "request/proxy/test_world.h"

namespace colony::proxy::testing {
namespace {

using std::string;

bool has(const string& text, std::string_view what) { return text.find(what) != string::npos; }

// One server, which speaks both.
class ProxyBackend : public ::testing::TestWithParam<const char*> {
 protected:
  ReplicaRecord record(TestReplica& r) const {
    ReplicaRecord out = r.record();
    out.protocol = GetParam();
    return out;
  }
  static void external(DeploymentRecord& d) {
    d.runtime = "external";
    d.models.clear();
  }
  ProxyWorld w;
};

TEST_P(ProxyBackend, ForwardsRequestsAndReplies) {
  auto& r = w.replica("r1");
  w.deploy("app", "/", {record(r)}, external);
  for (int i = 0; i < 3; ++i) {
    const WireReply reply = w.ask("POST", "/echo/a%20b?x=1", "hello", "X-Mine: 7\r\n");
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, "hello");
    EXPECT_TRUE(has(reply.head, "x-request-id: ")) << reply.head;
  }
  const string& head = r.service.last().head;
  EXPECT_TRUE(head.starts_with("POST /echo/a%20b?x=1 HTTP/1.1\r\n")) << head;
  EXPECT_TRUE(has(head, "x-forwarded-for: ")) << head;
  EXPECT_EQ(w.ask("GET", "/gone").status, 204);
  EXPECT_EQ(w.ask("POST", "/early", "body").status, 413);
  EXPECT_EQ(w.ask("GET", "/big/300000").body.size(), 300'000u);
  EXPECT_EQ(w.ask("GET", "/chunked/300000").body.size(), 300'000u);
}

TEST_P(ProxyBackend, StreamsBothWaysAtOnce) {
  auto& r = w.replica("r1");
  w.deploy("app", "/", {record(r)}, external);
  auto c = w.client();
  c->send("POST /stream HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  // The first 64 KiB of a body may wait for the end of the turn, not longer.
  ASSERT_TRUE(w.until([&] { return has(c->text, "one"); }));
  c->send("3\r\ntwo\r\n");
  ASSERT_TRUE(w.until([&] { return has(c->text, "two"); }));
  c->send("0\r\nx-end: 1\r\n\r\n");
  const WireReply reply = w.reply(*c);
  EXPECT_EQ(reply.body, "onetwo");
  EXPECT_EQ(reply.trailers, "x-end: 1\r\n");
}

TEST_P(ProxyBackend, HoldsItsBoundAndQueues) {
  auto& r = w.replica("r1");
  w.deploy("app", "/", {record(r)}, [](DeploymentRecord& d) {
    external(d);
    d.max_ongoing_requests = 2;
    d.max_queued_requests = 1;
  });
  std::vector<std::unique_ptr<RawPeer>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(w.client());
    clients.back()->send(ProxyWorld::text("GET", "/hold"));
    w.loop().run_ready();
  }
  const WireReply refused = w.reply(*clients[3]);
  EXPECT_EQ(refused.status, 503);
  EXPECT_TRUE(has(refused.body, "queue_full")) << refused.body;
  EXPECT_EQ(r.ongoing(), 2u);
  r.service.calls[0]->release("a");
  EXPECT_EQ(w.reply(*clients[0]).body, "a");
  ASSERT_TRUE(w.until([&] { return r.service.calls.size() == 3; }));
  EXPECT_EQ(r.ongoing(), 2u);
  for (size_t i : {1, 2}) {
    r.service.calls[i]->release("b");
    EXPECT_EQ(w.reply(*clients[i]).body, "b");
  }
}

TEST_P(ProxyBackend, AClientThatLeavesAndADeadlineCancelTheWork) {
  auto& r = w.replica("r1");
  w.deploy("app", "/", {record(r)}, [](DeploymentRecord& d) {
    external(d);
    d.request_timeout = 2s;
  });
  auto c = w.client();
  c->send(ProxyWorld::text("GET", "/hold"));
  ASSERT_TRUE(w.until([&] { return r.service.calls.size() == 1; }));
  c->hang_up();
  EXPECT_TRUE(w.until([&] { return r.service.calls[0]->done; }, 1s));
  EXPECT_EQ(w.ask("GET", "/hold").status, 504);
  EXPECT_TRUE(w.until([&] { return r.service.calls[1]->done; }, 1s));
}

TEST_P(ProxyBackend, IdempotentRequestsOfADeadBackendGoToAnother) {
  auto& a = w.replica("a");
  auto& b = w.replica("b");
  w.deploy("app", "/", {record(a), record(b)}, external);
  auto get = w.client(), post = w.client();
  get->send(ProxyWorld::text("GET", "/hold"));
  ASSERT_TRUE(w.until([&] { return a.ongoing() + b.ongoing() == 1; }));
  TestReplica& first = a.ongoing() ? a : b;
  TestReplica& second = a.ongoing() ? b : a;
  first.kill();
  ASSERT_TRUE(w.until([&] { return second.ongoing() == 1; }));
  post->send(ProxyWorld::text("POST", "/hold", "x"));
  ASSERT_TRUE(w.until([&] { return second.ongoing() == 2; }));
  second.service.calls[0]->release("again");
  EXPECT_EQ(w.reply(*get).body, "again");
  second.kill();
  EXPECT_EQ(w.reply(*post).status, 503) << "it may have run";
}

TEST_P(ProxyBackend, ABackendThatIsStartedAgainServesAtOnce) {
  auto& r = w.replica("r1");
  w.deploy("app", "/", {record(r)}, external);
  EXPECT_EQ(w.ask("GET", "/echo").status, 200);
  for (int i = 0; i < 3; ++i) {
    r.kill();
    auto c = w.client();
    c->send(ProxyWorld::text("GET", "/echo"));
    w.loop().run_for(100ms);
    r.start();
    EXPECT_EQ(w.reply(*c).status, 200);
  }
}

TEST_P(ProxyBackend, AnAddressThatLeavesTheTableFinishesWhatRuns) {
  auto& a = w.replica("a");
  auto& b = w.replica("b");
  w.deploy("app", "/", {record(a)}, external);
  auto c = w.client();
  c->send(ProxyWorld::text("GET", "/hold"));
  ASSERT_TRUE(w.until([&] { return a.ongoing() == 1; }));
  w.deploy("app", "/", {record(b)}, external);
  EXPECT_EQ(w.ask("GET", "/echo").status, 200);
  EXPECT_EQ(b.service.calls.size(), 1u);
  a.service.calls[0]->release("late");
  EXPECT_EQ(w.reply(*c).body, "late");
}

// One connection of several breaks: the address is there still, so that waiting for another would be in vain.
TEST(ProxyBackendHttp1, WhatBreaksOneConnectionIsAnsweredAtOnceAndHoldsUpNobody) {
  for (int addresses : {1, 2}) {
    SCOPED_TRACE(addresses);
    ProxyWorld w;
    std::vector<ReplicaRecord> records;
    for (int i = 0; i < addresses; ++i) {
      records.push_back(w.replica("r" + std::to_string(i)).record());
      records.back().protocol = "http1";
    }
    w.deploy("app", "/", records, [](DeploymentRecord& d) {
      d.runtime = "external";
      d.models.clear();
      d.max_queued_requests = 0;
    });
    for (int round = 0; round < 3; ++round) {
      auto c = w.client();
      c->send(ProxyWorld::text("GET", "/hold"));
      // A connection that has rested may have been ended before: that is worth another one to the same address.
      for (int tries = 0; tries < 2 * addresses && c->text.empty(); ++tries) {
        TestReplica* now = nullptr;
        const auto somewhere = [&] {
          for (int i = 0; i < addresses; ++i)
            if (TestReplica& r = w.replica("r" + std::to_string(i)); r.ongoing() == 1) now = &r;
          return now != nullptr;
        };
        ASSERT_TRUE(w.until([&] { return somewhere() || !c->text.empty(); }, 1s));
        if (now == nullptr) break;
        w.loop().reset_all({now->address()});
        ASSERT_TRUE(w.until([&] { return now->ongoing() == 0; }, 1s));
        w.loop().run_for(10ms);
      }
      const WireReply reply = w.reply(*c, 100ms);
      EXPECT_EQ(reply.status, 503);
      EXPECT_TRUE(has(reply.head, "x-colony-reason: replica_lost")) << reply.head;
      EXPECT_EQ(w.ask("GET", "/echo").status, 200);
    }
  }
}

TEST(ProxyBackendHttp1, AConnectionThatIsNotMadeInTimeIsNoDeadlineOfTheRequests) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  ReplicaRecord record = r.record();
  record.protocol = "http1";
  w.deploy("app", "/", {record}, [](DeploymentRecord& d) {
    d.runtime = "external";
    d.models.clear();
  });
  EXPECT_EQ(w.ask("GET", "/echo").status, 200);
  w.loop().run_for(6s);  // no connection rests so long
  w.loop().partition({r.address()});
  auto c = w.client();
  c->send(ProxyWorld::text("POST", "/echo", string(100'000, 'x')));  // larger than what is sent twice
  const WireReply reply = w.reply(*c, 5s);
  EXPECT_EQ(reply.status, 503) << reply.body;
  EXPECT_TRUE(has(reply.head, "retry-after: ") && has(reply.body, "takes no connection")) << reply.head << reply.body;
}

// Only over HTTP/1.1; a request over h2c arrives without asking.
TEST_P(ProxyBackend, AnUpgradeIsATunnelThatADrainEnds) {
  auto& r = w.replica("r1");
  w.deploy("app", "/", {record(r)}, [](DeploymentRecord& d) {
    external(d);
    d.request_timeout = 5s;
  });
  const string ask = "Connection: upgrade\r\nUpgrade: raw\r\n";
  if (string(GetParam()) == "h2c") {
    EXPECT_EQ(w.ask("GET", "/echo", {}, ask).status, 200);
    EXPECT_FALSE(has(r.service.last().head, "pgrade")) << r.service.last().head;
    return;
  }
  auto c = w.client(), refused = w.client(), left = w.client();
  refused->send(ProxyWorld::text("GET", "/echo", {}, ask));
  EXPECT_EQ(w.reply(*refused).status, 200);
  c->send(ProxyWorld::text("GET", "/tunnel", {}, ask));
  ASSERT_TRUE(w.until([&] { return has(c->text, "hi "); }));
  EXPECT_TRUE(has(c->text, "connection: upgrade\r\nupgrade: raw\r\n") && has(c->text, "x-request-id: ")) << c->text;
  c->take();
  w.loop().run_for(60s);
  const string sent(700'000, 'x');
  c->send(sent);
  ASSERT_TRUE(w.until([&] { return c->text == sent; }));
  c->stream->shutdown_write();
  ASSERT_TRUE(w.until([&] { return c->ended; }));
  EXPECT_TRUE(w.until([&] { return w.proxy().ongoing() == 0; }, 3s));

  left->send(ProxyWorld::text("GET", "/tunnel", {}, ask));
  ASSERT_TRUE(w.until([&] { return has(left->text, "hi "); }));
  w.remove("app");
  EXPECT_TRUE(w.until([&] { return left->ended; }, 5s)) << "the address has left the table";
  left->stream->shutdown_write();
  EXPECT_TRUE(w.until([&] { return r.ongoing() == 0 && w.proxy().ongoing() == 0; }, 5s));
}

TEST_P(ProxyBackend, ABackendsInterimRepliesReachTheClient) {
  auto& r = w.replica("r1");
  w.deploy("app", "/", {record(r)}, external);
  auto c = w.client();
  c->send("POST /hold HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  ASSERT_TRUE(w.until([&] { return r.service.calls.size() == 1; }));
  EXPECT_TRUE(w.until([&] { return has(c->text, "HTTP/1.1 100 "); }, 1s)) << "the server wants it";
  c->take();
  r.service.last().exchange->reply("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", {}, http::More::kYes);
  EXPECT_TRUE(w.until([&] { return has(c->text, "link: x\r\n\r\n"); }, 1s));
  EXPECT_TRUE(c->text.starts_with("HTTP/1.1 103 ")) << c->text;
  c->take();
  c->send("body");
  ASSERT_TRUE(w.until([&] { return r.service.last().body == "body"; }));
  r.service.last().release("done");
  EXPECT_EQ(w.reply(*c).body, "done");
}

INSTANTIATE_TEST_SUITE_P(Protocols, ProxyBackend, ::testing::Values("http1", "h2c"),
                         [](const auto& i) { return string(i.param); });

}  // namespace
}  // namespace colony::proxy::testing
