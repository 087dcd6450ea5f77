// Client to replica through a whole proxy, in simulated time: what is forwarded, what is answered here, queues, deadlines
// and cancellation. Broken links and changes of the table: proxy_fault_test.cc.
#include "request/proxy/test_world.h"

namespace colony::proxy::testing {
namespace {

using std::string;

bool has(const string& text, std::string_view what) { return text.find(what) != string::npos; }

TEST(ProxyFlow, ForwardsMethodPathQueryFieldsAndBodyUntouched) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()});
  const WireReply reply =
      w.ask("POST", "/echo/a%20b?x=1&y=%2F", "hello", "X-Mine: 7\r\nConnection: close, X-Drop\r\nX-Drop: 1\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "hello");
  EXPECT_TRUE(has(reply.head, "x-path: /echo/a%20b")) << reply.head;
  EXPECT_TRUE(has(reply.head, "x-request-id: ")) << reply.head;
  ASSERT_EQ(r.service.calls.size(), 1u);
  const string& head = r.service.last().head;
  EXPECT_TRUE(head.starts_with("POST /echo/a%20b?x=1&y=%2F HTTP/1.1\r\n")) << head;
  EXPECT_TRUE(has(head, "X-Mine: 7\r\n")) << head;
  EXPECT_FALSE(has(head, "X-Drop")) << head;
  EXPECT_TRUE(has(head, "x-request-id: ")) << head;
  EXPECT_TRUE(has(head, "traceparent: 00-")) << head;
  EXPECT_TRUE(has(head, "x-forwarded-for: ")) << head;
  EXPECT_TRUE(has(head, "x-forwarded-proto: http\r\n")) << head;
}

TEST(ProxyFlow, KeepsTheIdsThatTheClientBrought) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/app", {r.record()});
  const string trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const WireReply reply = w.ask("GET", "/app/echo", {}, "X-Request-Id: mine\r\ntraceparent: " + trace + "\r\n");
  EXPECT_TRUE(has(reply.head, "x-request-id: mine\r\n")) << reply.head;
  const string& head = r.service.last().head;
  EXPECT_EQ(head.find("equest-"), head.rfind("equest-")) << "one id only: " << head;
  EXPECT_TRUE(has(head, "traceparent: " + trace)) << head;
}

TEST(ProxyFlow, ReplacesIdsThatAreNotWhatTheyShouldBe) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()});
  const WireReply reply = w.ask("GET", "/echo", {}, "X-Request-Id: a b\r\ntraceparent: 00-0-0-01\r\nX-Last: 1\r\n");
  const string& head = r.service.last().head;
  EXPECT_FALSE(has(head, "a b")) << head;
  EXPECT_FALSE(has(head, "00-0-0-01")) << head;
  EXPECT_TRUE(has(head, "X-Last: 1\r\n")) << head;
  EXPECT_TRUE(has(head, "x-request-id: ")) << head;
  EXPECT_TRUE(has(head, "traceparent: 00-")) << head;
  EXPECT_EQ(reply.status, 200);
}

TEST(ProxyFlow, CountsUnderTheNamesOfTheOutside) {
  observe::Metrics metrics;
  ProxyWorld w({.proxy = {.metrics = &metrics}});
  w.deploy("app", "/", {w.replica("r1").record()});
  w.ask("POST", "/echo", "x");
  w.ask("GET", "/early");
  const string text = metrics.text();
  const auto line = [&](std::string_view what) { EXPECT_TRUE(has(text, what)) << what << "\n" << text; };
  line("colony_http_requests_total{application=\"app\",route=\"/\",method=\"POST\",code=\"200\"} 1");
  line("colony_http_error_requests_total{application=\"app\",route=\"/\",method=\"GET\",code=\"413\"} 1");
  line("colony_router_requests_total{application=\"app\",deployment=\"d\"} 2");
  line("colony_router_queue_duration_seconds_count{application=\"app\",deployment=\"d\"} 2");
  line("colony_router_upstream_duration_seconds_count{application=\"app\",deployment=\"d\"} 2");
  w.ask("GET", "/-/nothing");
  EXPECT_TRUE(has(metrics.text(), "application=\"\",route=\"\",method=\"GET\",code=\"404\"} 1"));
  w.remove("app");
  EXPECT_FALSE(has(metrics.text(), "application=\"app\"")) << "an app that is gone leaves no series";
}

TEST(ProxyFlow, AnswersByItselfWhatNamesNoModel) {
  ProxyWorld w;
  EXPECT_EQ(w.ask("GET", "/-/healthz").status, 200);
  EXPECT_EQ(w.ask("GET", "/v2/health/live").status, 200);
  w.deploy("app", "/app", {w.replica("r1").record()});
  EXPECT_EQ(w.ask("GET", "/v2/health/ready").status, 200);
  EXPECT_EQ(w.ask("GET", "/-/routes").body, "{\"/app\":\"app\"}");
  EXPECT_EQ(w.ask("GET", "/v2/models").body, "{\"models\":[\"app\"]}");
  EXPECT_TRUE(has(w.ask("GET", "/v2").body, "\"name\":\"colony\""));
  EXPECT_EQ(w.ask("POST", "/v2/health/live", "x").status, 405);
  EXPECT_EQ(w.ask("GET", "/-/nothing").status, 404);
  EXPECT_TRUE(w.replica("r1").service.calls.empty());
}

TEST(ProxyFlow, WhetherAModelIsReadyIsAnsweredAtOnce) {
  ProxyWorld w;
  w.deploy("app", "/app", {});
  const TimePoint before = w.loop().now();
  for (const char* path : {"/v2/models/app/ready", "/v2/models/app/versions/1/ready", "/v1/models/app"}) {
    const WireReply r = w.ask("GET", path);
    EXPECT_EQ(r.status, 503) << path;
    EXPECT_TRUE(has(r.head, "x-colony-reason: no_replica_ready")) << r.head;
    EXPECT_TRUE(has(r.head, "retry-after: ")) << r.head;
  }
  const WireReply grpc = w.ask("POST", "/inference.GRPCInferenceService/ModelReady",
                               string("\0\0\0\0\x05\x0a\x03"
                                      "app",
                                      10),
                               "Content-Type: application/grpc\r\n");
  EXPECT_EQ(grpc.status, 200);
  EXPECT_TRUE(has(grpc.body, string(5, '\0'))) << "not ready: an empty message";
  EXPECT_LT(w.loop().now() - before, 1s);
  EXPECT_TRUE(has(w.ask("POST", "/v2/repository/index").body, "\"state\":\"UNAVAILABLE\""));
  w.deploy("app", "/app", {w.replica("r1").record()});
  EXPECT_TRUE(has(w.ask("POST", "/v2/repository/index").body, "\"state\":\"READY\""));
  w.ask("GET", "/v2/models/app/ready");
  EXPECT_EQ(w.replica("r1").service.calls.size(), 1u) << "a replica that is there answers for itself";
}

TEST(ProxyFlow, A404NamesWhatExists) {
  ProxyWorld w;
  EXPECT_TRUE(has(w.ask("GET", "/x").body, "no app is deployed"));
  w.deploy("app", "/app", {w.replica("r1").record()});
  const WireReply route = w.ask("POST", "/nowhere", "body");
  EXPECT_EQ(route.status, 404);
  EXPECT_TRUE(has(route.body, "routes: /app")) << route.body;
  EXPECT_TRUE(has(route.head, "x-colony-reason: unknown_route")) << route.head;
  const WireReply model = w.ask("POST", "/v2/models/other/infer", "{}");
  EXPECT_EQ(model.status, 404);
  EXPECT_TRUE(has(model.body, "models: app")) << model.body;
}

TEST(ProxyFlow, LargeBodiesPassBothWaysInPartsOfAnySize) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    ProxyWorld w({.sim = {.seed = seed, .max_chunk = 20'000, .stream_buffer = 50'000}});
    auto& r = w.replica("r1");
    w.deploy("app", "/", {r.record()});
    string body;
    for (size_t i = 0; body.size() < 1'000'000; ++i) body += std::to_string(i * seed) + ",";
    const WireReply echo = w.ask("POST", "/stream/x", body);
    EXPECT_EQ(echo.status, 200);
    EXPECT_TRUE(echo.whole);
    EXPECT_EQ(echo.body.size(), body.size());
    EXPECT_TRUE(echo.body == body);
    const WireReply big = w.ask("GET", "/big/3000000");
    EXPECT_EQ(big.body.size(), 3'000'000u);
    EXPECT_LE(r.service.most_pending, 256 * 1024 + 10'000) << "a slow reader stops the replica";
  }
}

TEST(ProxyFlow, ASlowClientStopsOnlyItsOwnStream) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()});
  auto slow = w.client();
  slow->stream->pause();
  slow->send(ProxyWorld::text("GET", "/big/50000000"));
  w.loop().run_for(1s);
  EXPECT_GT(r.service.last().left, 48'000'000u) << "credit bounds what is under way";
  EXPECT_EQ(w.ask("POST", "/echo", "quick").body, "quick");
  slow->stream->resume();
  EXPECT_EQ(w.reply(*slow).body.size(), 50'000'000u);
}

TEST(ProxyFlow, TheReplicaSaysWhetherABodyIsWanted) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()});
  auto c = w.client();
  const string expect = "Expect: 100-continue\r\n";
  c->send("POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n" + expect + "\r\n");
  ASSERT_TRUE(w.until([&] { return c->take() == "HTTP/1.1 100 Continue\r\n\r\n"; }));
  EXPECT_EQ(r.service.calls.size(), 1u) << "it comes from behind";
  c->send("abc");
  ASSERT_TRUE(w.until([&] { return r.service.last().ended; }));
  r.service.last().release("done");
  EXPECT_EQ(w.reply(*c).body, "done");

  c->send("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n" + expect + "\r\n");
  const WireReply early = w.reply(*c);
  EXPECT_EQ(early.status, 413) << "the final answer instead of the interim one";
  EXPECT_TRUE(has(early.head, "connection: close")) << early.head;
  EXPECT_EQ(w.ask("POST", "/echo", "x", "Expect: gold\r\n").status, 417);
  EXPECT_EQ(w.ask("POST", "/-/nothing", "x", expect).status, 405);
}

TEST(ProxyFlow, InterimRepliesPassToTheClient) {
  ProxyWorld w;
  w.deploy("app", "/", {w.replica("r1").record()});
  auto c = w.client();
  c->send(ProxyWorld::text("GET", "/interim"));
  ASSERT_TRUE(w.until([&] { return has(c->text, "late"); }));
  EXPECT_TRUE(c->text.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n")) << c->text;
}

TEST(ProxyFlow, OptionsOfTheServerAsAWholeAreAnsweredHere) {
  ProxyWorld w;
  w.deploy("app", "/", {w.replica("r1").record()});
  for (const char* target : {"*", "http://h"}) {
    const WireReply reply = w.ask("OPTIONS", target);
    EXPECT_EQ(reply.status, 204);
    EXPECT_TRUE(has(reply.head, "allow: GET, ")) << reply.head;
  }
  EXPECT_EQ(w.ask("OPTIONS", "/echo").status, 200);
  EXPECT_EQ(w.replica("r1").service.calls.size(), 1u);
}

TEST(ProxyFlow, WhatTravelsOnIsInOriginFormAndOurVersion) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()});
  EXPECT_EQ(w.ask("GET", "http://other:81/echo?q").status, 200);
  EXPECT_TRUE(r.service.last().head.starts_with("GET /echo?q HTTP/1.1\r\nHost: other:81\r\n")) << r.service.last().head;
  EXPECT_FALSE(has(r.service.last().head, "Host: h\r\n"));
  auto c = w.client();
  c->send("GET /echo HTTP/1.0\r\n\r\n");
  EXPECT_EQ(w.reply(*c).status, 200);
  EXPECT_TRUE(r.service.last().head.starts_with("GET /echo HTTP/1.1\r\nHost: \r\n")) << r.service.last().head;
}

TEST(ProxyFlow, AStreamedReplyFlowsAsItComes) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()});
  auto c = w.client();
  c->send("POST /stream/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
  ASSERT_TRUE(w.until([&] { return has(c->text, "first"); }, 1s)) << c->text;
  c->send("6\r\nsecond\r\n");
  ASSERT_TRUE(w.until([&] { return has(c->text, "second"); }, 1s)) << c->text;
  c->send("0\r\nx-sum: 11\r\n\r\n");
  const WireReply reply = w.reply(*c);
  EXPECT_EQ(reply.body, "firstsecond");
  EXPECT_EQ(reply.trailers, "x-sum: 11\r\n");
}

TEST(ProxyFlow, ManyRequestsOnOneConnectionAllocateNoNewObjects) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()});
  auto c = w.client();
  for (int i = 0; i < 200; ++i) {
    c->send(ProxyWorld::text("POST", "/echo", std::to_string(i)));
    EXPECT_EQ(w.reply(*c).body, std::to_string(i));
  }
  string pipelined;
  for (int i = 0; i < 50; ++i) pipelined += ProxyWorld::text("POST", "/echo", std::to_string(i));
  c->send(pipelined);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(w.reply(*c).body, std::to_string(i));
  EXPECT_EQ(w.proxy().ongoing(), 0u);
  EXPECT_EQ(w.stats("app/d").answers.get(), 250u);
}

class Queues : public ::testing::TestWithParam<size_t> {};

TEST_P(Queues, BoundsAreExactAndTheOrderIsKept) {
  ProxyWorld w({.loops = GetParam()});
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()}, [](DeploymentRecord& d) {
    d.max_ongoing_requests = 2;
    d.max_queued_requests = 3;
  });
  std::vector<std::unique_ptr<RawPeer>> clients;
  for (int i = 0; i < 9; ++i) {
    clients.push_back(w.client());
    clients.back()->send(ProxyWorld::text("POST", "/hold/" + std::to_string(i)));
    w.loop().run_ready();
  }
  EXPECT_EQ(r.service.calls.size(), 2u);
  for (size_t i = 5; i < 9; ++i) {
    const WireReply full = w.reply(*clients[i]);
    EXPECT_EQ(full.status, 503);
    EXPECT_TRUE(has(full.head, "x-colony-reason: queue_full")) << full.head;
    EXPECT_TRUE(has(full.head, "retry-after: ")) << full.head;
    EXPECT_TRUE(has(full.body, "\"reason\":\"queue_full\"")) << full.body;
  }
  for (size_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(w.until([&] { return r.service.calls.size() > i; }));
    EXPECT_LE(r.ongoing(), 2u);
    r.service.calls[i]->release("done");
    w.loop().run_ready();
  }
  size_t answered = 0;
  for (size_t i = 0; i < 5; ++i) answered += w.reply(*clients[i]).status == 200 ? 1 : 0;
  EXPECT_EQ(answered, 5u);
  if (GetParam() == 1)
    for (size_t i = 0; i < 5; ++i) EXPECT_EQ(r.service.calls[i]->path, "/hold/" + std::to_string(i));
}

INSTANTIATE_TEST_SUITE_P(Loops, Queues, ::testing::Values(1, 3));

TEST(ProxyFlow, RequestsWaitForADeploymentThatIsStarting) {
  ProxyWorld w;
  w.deploy("app", "/", {});
  auto c = w.client();
  c->send(ProxyWorld::text("POST", "/echo", "patient"));
  w.loop().run_for(5s);
  EXPECT_TRUE(c->text.empty());
  w.deploy("app", "/", {w.replica("r1").record()});
  EXPECT_EQ(w.reply(*c).body, "patient");
}

TEST(ProxyFlow, NoReplicaWithinTheDeadlineIs504AndSaysWhy) {
  ProxyWorld w;
  w.deploy("app", "/", {}, [](DeploymentRecord& d) { d.request_timeout = 3s; });
  const TimePoint before = w.loop().now();
  const WireReply reply = w.ask("POST", "/echo", "x");
  EXPECT_EQ(reply.status, 504);
  EXPECT_TRUE(has(reply.head, "x-colony-reason: no_replica_ready")) << reply.head;
  EXPECT_GE(w.loop().now() - before, 3s);
  EXPECT_LT(w.loop().now() - before, 3100ms);
}

TEST(ProxyFlow, TheSoonestDeadlineWinsAndCancelsTheWork) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()}, [](DeploymentRecord& d) { d.request_timeout = 10s; });
  const auto timed = [&](std::string_view extra) {
    const TimePoint before = w.loop().now();
    const WireReply reply = w.ask("POST", "/hold", "x", extra);
    EXPECT_TRUE(reply.status == 504 || has(reply.head, "grpc-status: 4")) << reply.head;
    EXPECT_TRUE(w.until([&] { return r.ongoing() == 0; }, 1s));
    return w.loop().now() - before;
  };
  EXPECT_NEAR(to_seconds(timed("")), 10, 0.1);
  EXPECT_NEAR(to_seconds(timed("X-Request-Timeout-Ms: 250\r\n")), 0.25, 0.05);
  EXPECT_NEAR(to_seconds(timed("X-Request-Timeout-Ms: 99000\r\n")), 10, 0.1);
  EXPECT_NEAR(to_seconds(timed("Content-Type: application/grpc\r\ngrpc-timeout: 1500m\r\n")), 1.5, 0.05);
  EXPECT_EQ(w.ask("POST", "/hold", "x", "X-Request-Timeout-Ms: soon\r\n").status, 400);
  EXPECT_EQ(w.ask("POST", "/echo", "x").status, 200) << "the slot is free again";
}

TEST(ProxyFlow, AClientThatGoesAwayCancelsTheWorkOrLeavesTheQueue) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()}, [](DeploymentRecord& d) { d.max_ongoing_requests = 1; });
  auto first = w.client(), second = w.client();
  first->send(ProxyWorld::text("POST", "/hold", "x"));
  w.loop().run_ready();
  second->send(ProxyWorld::text("POST", "/hold", "x"));
  w.loop().run_ready();
  ASSERT_EQ(r.service.calls.size(), 1u);
  second->hang_up();
  w.loop().run_ready();
  first->hang_up();
  ASSERT_TRUE(w.until([&] { return r.service.calls[0]->done; }, 1s));
  EXPECT_FALSE(r.service.calls[0]->ok);
  w.loop().run_for(100ms);
  EXPECT_EQ(r.service.calls.size(), 1u) << "the one that waited never started";
  EXPECT_EQ(w.stats("app/d").client_gone.get(), 2u);
  EXPECT_EQ(w.ask("POST", "/echo", "x").status, 200);
}

TEST(ProxyFlow, AnEarlyAnswerEndsTheRequestAlthoughItsBodyGoesOn) {
  ProxyWorld w;
  w.deploy("app", "/", {w.replica("r1").record()});
  auto c = w.client();
  c->send("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc");
  EXPECT_EQ(w.reply(*c).status, 413);
  EXPECT_TRUE(w.until([&] { return w.proxy().ongoing() == 0; }, 1s));
}

TEST(ProxyFlow, GrpcGoesByTheModelsNameInTheFirstMessage) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("iris", "/iris", {r.record()});
  w.deploy("other", "/other", {w.replica("r2").record()});
  const string message = string("\0\0\0\0\x06", 5) + "\x0a\x04iris";
  const string grpc = "Content-Type: application/grpc\r\nTE: trailers\r\n";
  auto c = w.client();
  c->send("POST /inference.GRPCInferenceService/ModelInfer HTTP/1.1\r\nHost: h\r\n" + grpc +
          "Transfer-Encoding: chunked\r\n\r\n3\r\n" + message.substr(0, 3) + "\r\n");
  w.loop().run_for(10ms);
  EXPECT_TRUE(r.service.calls.empty());
  c->send("8\r\n" + message.substr(3) + "\r\n0\r\n\r\n");
  ASSERT_TRUE(w.until([&] { return r.service.calls.size() == 1; }));
  ASSERT_TRUE(w.until([&] { return r.service.last().ended; }));
  EXPECT_EQ(r.service.last().body, message);
  EXPECT_TRUE(has(r.service.last().head, "TE: trailers")) << r.service.last().head;

  const auto infer = [&](const string& body) {
    return w.ask("POST", "/inference.GRPCInferenceService/ModelInfer", body, grpc);
  };
  EXPECT_TRUE(has(infer(string("\0\0\0\0\x04", 5) + "\x0a\x02xx").head, "grpc-status: 5"));
  EXPECT_TRUE(has(infer(string("\0\0\0\0\0", 5)).head, "grpc-status: 3"));
  EXPECT_TRUE(has(infer("{\"json\":1}").head, "grpc-status: 3"));
  EXPECT_TRUE(has(infer(string("\0\0", 2)).head, "grpc-status: 3"));
  EXPECT_TRUE(w.replica("r2").service.calls.empty());
}

TEST(ProxyFlow, GrpcServerMethodsAndAllStatisticsAreItsOwn) {
  ProxyWorld w;
  w.deploy("iris", "/iris", {w.replica("r1").record()});
  const string grpc = "Content-Type: application/grpc\r\n", empty("\0\0\0\0\0", 5);
  const auto call = [&](const string& path) { return w.ask("POST", path, empty, grpc); };
  EXPECT_EQ(call("/inference.GRPCInferenceService/ServerLive").body, string("\0\0\0\0\2\x08\1", 7));
  EXPECT_EQ(call("/inference.GRPCInferenceService/ServerReady").body, string("\0\0\0\0\2\x08\1", 7));
  EXPECT_EQ(call("/grpc.health.v1.Health/Check").body, string("\0\0\0\0\2\x08\1", 7));
  const string index = call("/inference.GRPCInferenceService/RepositoryIndex").body;
  EXPECT_TRUE(has(index, "iris") && has(index, "READY") && !has(index, "UNAVAILABLE"));
  const WireReply statistics = call("/inference.GRPCInferenceService/ModelStatistics");
  EXPECT_TRUE(has(statistics.body, "iris"));
  EXPECT_TRUE(has(statistics.trailers, "grpc-status: 0"));
  EXPECT_TRUE(has(w.ask("GET", "/v2/models/stats").body, R"("name":"iris")"));
  EXPECT_TRUE(w.replica("r1").service.calls.empty());
}

TEST(ProxyFlow, TheIndexTellsVersionsAndOnWishWhatIsReadyAlone) {
  ProxyWorld w;
  w.deploy("iris", "/iris", {w.replica("r1").record()});
  w.deploy("lost", "/lost", {});
  w.deploy("two", "/two", {w.replica("r2").record()}, [](DeploymentRecord& d) {
    d.models = {"a", "b"};
    d.model_versions = {"7", "2.1"};
  });
  EXPECT_EQ(w.ask("POST", "/v2/repository/index").body,
            R"([{"name":"a","reason":"","state":"READY","version":"7"},)"
            R"({"name":"b","reason":"","state":"READY","version":"2.1"},)"
            R"({"name":"iris","reason":"","state":"READY","version":"1"},)"
            R"({"name":"lost","reason":"no replica is ready","state":"UNAVAILABLE","version":"1"}])");
  const auto index = [&](const string& message) {
    return w
        .ask("POST", "/inference.GRPCInferenceService/RepositoryIndex", message, "Content-Type: application/grpc\r\n")
        .body;
  };
  const string all = index(string("\0\0\0\0\0", 5)), ready = index(string("\0\0\0\0\2\x10\1", 7));
  EXPECT_TRUE(has(all, "lost") && has(all, "2.1"));
  EXPECT_TRUE(!has(ready, "lost") && has(ready, "iris"));
}

TEST(ProxyFlow, ReadyOnlyOnceATableHasArrivedAndNotWhileDraining) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()});
  auto running = w.client();
  running->send(ProxyWorld::text("POST", "/hold", "x"));
  w.loop().run_ready();
  bool drained = false;
  async::Scope scope(w.loop());
  struct Drain {
    static async::Task<void> run(Proxy& p, bool& done) { done = co_await p.drain(Deadline::never()); }
  };
  scope.spawn(Drain::run(w.proxy(), drained));
  w.loop().run_for(500ms);
  EXPECT_FALSE(drained);
  EXPECT_TRUE(w.registry().proxies().empty()) << "it has left the discovery";
  EXPECT_TRUE(w.client()->closed) << "nobody new gets in";
  ASSERT_FALSE(r.service.calls.empty());
  r.service.last().release("finished");
  EXPECT_EQ(w.reply(*running).body, "finished");
  running->hang_up();
  EXPECT_TRUE(w.until([&] { return drained; }, 1s));
}

}  // namespace
}  // namespace colony::proxy::testing
