// HTTP/2 connections in simulated time: requests and replies in every shape, flow control, cancellation, drain, timers.
// What peers do wrong is in h2_abuse_test.cc.
#include <gtest/gtest.h>

#include "async/sim_loop.h"
#include "transport/http/chunked.h"
#include "transport/http/h2_test_client.h"
#include "transport/http/h2_test_service.h"

namespace colony::http::testing {
namespace {

using Fields = H2TestClient::Fields;
using Seen = H2TestService::Seen;

constexpr uint32_t kNoError = 0, kInternalError = 2, kCancel = 8;

class H2ConnectionTest : public ::testing::Test {
 protected:
  void start(ServerOptions options = {}, async::SimLoop::Options sim = {}) {
    loop = async::SimLoop::create(sim);
    server = std::make_unique<H2TestServer>(*loop, async::Endpoint{"sim:80"}, service, options);
    client = connect();
  }
  std::unique_ptr<H2TestClient> connect(int32_t window = 65535) {
    return std::make_unique<H2TestClient>(*loop, async::Endpoint{"sim:80"}, window);
  }
  template <class F>
  ::testing::AssertionResult until(F f, Duration limit = 10s) {
    return loop->run_until(f, limit) ? ::testing::AssertionSuccess() : ::testing::AssertionFailure() << "not in time";
  }
  void TearDown() override {
    client.reset();
    server.reset();
    for (const auto& s : service.seen) EXPECT_EQ(s->done_calls, 1) << s->head;
  }

  H2TestService service;
  std::unique_ptr<async::SimLoop> loop;
  std::unique_ptr<H2TestServer> server;
  std::unique_ptr<H2TestClient> client;
};

TEST_F(H2ConnectionTest, ARequestLooksLikeHttp1ToTheService) {
  service.echo();
  start();
  auto call =
      client->call("POST", "/v2/models/m?x=1", {{"content-type", "a/b"}, {"content-length", "5"}}, "hello", true);
  ASSERT_TRUE(until([&] { return call->closed; }));
  ASSERT_EQ(service.seen.size(), 1u);
  const Seen& s = *service.seen[0];
  EXPECT_EQ(s.head,
            "POST /v2/models/m?x=1 HTTP/1.1\r\nhost: test.example\r\ncontent-type: a/b\r\ncontent-length: 5\r\n\r\n");
  EXPECT_EQ(s.path, "/v2/models/m");
  EXPECT_EQ(s.authority, "test.example");
  EXPECT_TRUE(s.has_body);
  EXPECT_TRUE(s.ok);
  EXPECT_EQ(call->status, 200);
  EXPECT_EQ(call->body, "hello");
  EXPECT_EQ(call->headers["content-type"], "text/plain");
  EXPECT_EQ(call->headers["content-length"], "5");
  EXPECT_EQ(call->error, kNoError);
  EXPECT_EQ(server->stats.requests, 1u);
  EXPECT_EQ(server->stats.open_requests, 0u);
}

TEST_F(H2ConnectionTest, ABodyOfUnknownLengthIsSaidToBeThere) {
  service.echo();
  start();
  auto with = client->call("POST", "/", {}, "x", true);
  auto without = client->get("/");
  ASSERT_TRUE(until([&] { return with->closed && without->closed; }));
  EXPECT_TRUE(service.seen[0]->has_body);
  EXPECT_FALSE(service.seen[1]->has_body);
}

TEST_F(H2ConnectionTest, CookieCrumbsBecomeOneLine) {
  service.echo();
  start();
  auto call = client->call("GET", "/", {{"cookie", "a=1"}, {"x", "y"}, {"cookie", "b=2"}}, {}, true);
  ASSERT_TRUE(until([&] { return call->closed; }));
  EXPECT_NE(service.seen[0]->head.find("cookie: a=1; b=2\r\n"), std::string::npos);
}

TEST_F(H2ConnectionTest, EverythingHoldsWhenBytesComeInSmallPieces) {
  service.echo();
  start({}, {.seed = 11, .max_chunk = 7, .latency = 1ms});
  std::vector<std::shared_ptr<H2TestCall>> calls;
  for (int i = 0; i < 20; ++i) {
    calls.push_back(
        client->call("POST", "/", {}, std::string(static_cast<size_t>(i) * 97, static_cast<char>('a' + i)), true));
  }
  ASSERT_TRUE(
      until([&] { return std::all_of(calls.begin(), calls.end(), [](const auto& c) { return c->closed; }); }, 600s));
  for (size_t i = 0; i < calls.size(); ++i) {
    EXPECT_EQ(calls[i]->body, std::string(i * 97, static_cast<char>('a' + i)));
    EXPECT_EQ(calls[i]->status, 200);
  }
}

TEST_F(H2ConnectionTest, ManyStreamsShareOneConnection) {
  service.echo();
  start();
  std::vector<std::shared_ptr<H2TestCall>> calls;
  for (int i = 0; i < 2000; ++i) calls.push_back(client->call("POST", "/", {}, std::to_string(i), true));
  ASSERT_TRUE(until([&] { return std::all_of(calls.begin(), calls.end(), [](const auto& c) { return c->closed; }); }));
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(calls[static_cast<size_t>(i)]->body, std::to_string(i));
  EXPECT_EQ(client->max_concurrent, 256u);
  EXPECT_EQ(server->connections(), 1u);
}

TEST_F(H2ConnectionTest, LargeBodiesGoBothWaysWithinTheWindows) {
  service.echo();
  start();
  const std::string big(3 << 20, 'b');
  auto call = client->call("POST", "/", {}, big, true);
  ASSERT_TRUE(until([&] { return call->closed; }));
  EXPECT_EQ(call->body.size(), big.size());
  EXPECT_TRUE(call->body == big);
}

TEST_F(H2ConnectionTest, ARequestThatIsNotConsumedStopsAtTheWindowAndOthersGoOn) {
  service.consume = false;
  service.echo();
  start({.body_window = 100'000});
  auto stalled = client->call("POST", "/stalled", {}, std::string(1 << 20, 's'), true);
  loop->run_ready();
  ASSERT_EQ(service.seen.size(), 1u);
  EXPECT_EQ(service.seen[0]->body.size(), 100'000u);
  for (int i = 0; i < 5; ++i) {
    auto other = client->call("POST", "/other", {}, std::string(90'000, 'o'), true);
    ASSERT_TRUE(until([&] { return other->closed; }));
    EXPECT_EQ(other->body.size(), 90'000u);
  }
  EXPECT_EQ(service.seen[0]->body.size(), 100'000u);
  service.consume = true;
  service.seen[0]->exchange->consumed(100'000);
  ASSERT_TRUE(until([&] { return stalled->closed; }));
  EXPECT_EQ(stalled->body.size(), 1u << 20);
}

TEST_F(H2ConnectionTest, AReplyThatIsNotReadStopsTheProducerUntilThereIsRoom) {
  std::string sent;
  const auto produce = [&sent](Seen& s) {
    while (s.exchange->writable() > 0 && sent.size() < 4'000'000) {
      const std::string piece(10'000, static_cast<char>('a' + sent.size() / 10'000 % 26));
      sent += piece;
      s.exchange->body(piece, sent.size() < 4'000'000 ? More::kYes : More::kNo);
    }
  };
  service.on_end = [&](Seen& s) {
    s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", {}, More::kYes);
    produce(s);
  };
  service.on_writable = produce;
  start();
  client->set_auto_consume(false);
  auto call = client->get("/");
  loop->run_ready();
  EXPECT_EQ(call->body.size(), 65535u);
  EXPECT_LT(sent.size(), 500'000u);
  EXPECT_EQ(service.seen[0]->writable_calls, 0);
  size_t consumed = 0;
  while (!call->closed) {
    ASSERT_GT(call->body.size(), consumed);
    client->consume(*call, call->body.size() - consumed);
    consumed = call->body.size();
    loop->run_ready();
  }
  EXPECT_TRUE(call->body == sent);
  EXPECT_EQ(sent.size(), 4'000'000u);
  EXPECT_GT(service.seen[0]->writable_calls, 3);
}

TEST_F(H2ConnectionTest, TrailersTravelBothWays) {
  service.on_end = [](Seen& s) {
    s.exchange->reply("HTTP/1.1 200 OK\r\nX-Case: Kept\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n", "body", More::kYes);
    s.exchange->end("Grpc-Status: 0\r\ngrpc-message: fine\r\ncontent-length: 9\r\n");
  };
  start();
  auto call = client->call("POST", "/", {}, "abc", false);
  client->send(*call, "def", true, "x-sum: 17\r\n");
  ASSERT_TRUE(until([&] { return call->closed; }));
  EXPECT_EQ(service.seen[0]->body, "abcdef");
  EXPECT_EQ(service.seen[0]->trailers, "x-sum: 17\r\n");
  EXPECT_EQ(call->body, "body");
  EXPECT_EQ(call->trailers, (std::map<std::string, std::string>{{"grpc-status", "0"}, {"grpc-message", "fine"}}));
  EXPECT_EQ(call->headers, (std::map<std::string, std::string>{{"x-case", "Kept"}}));
  EXPECT_EQ(call->error, kNoError);
}

// As those of a chunked body: refused as a whole, never cut.
TEST_F(H2ConnectionTest, TrailersThatMayNotBeOnesOrAreTooLargeAreRefused) {
  service.on_end = [](Seen& s) { s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "fine", More::kNo); };
  start();
  const std::string large = "x: " + std::string(kMaxTrailerBytes - 5, 'x') + "\r\n";
  const std::pair<std::string, bool> kCases[] = {{large, true},
                                                 {"x-a: 1\r\n" + large, false},
                                                 {"x-a: 1\r\nauthorization: me\r\n", false},
                                                 {"content-type: text/plain\r\n", false},
                                                 {"content-length: 6\r\n", false},
                                                 {"x-forwarded-for: 1.2.3.4\r\n", false},
                                                 {"x-a: 1\r\nx-b: 2\r\n", true}};
  for (const auto& [trailers, taken] : kCases) {
    auto call = client->call("POST", "/", {}, "abc", false);
    client->send(*call, "def", true, trailers);
    ASSERT_TRUE(until([&] { return call->closed; })) << trailers;
    EXPECT_EQ(call->status, taken ? 200 : 400) << trailers;
    if (taken) EXPECT_EQ(service.seen.back()->trailers, trailers);
    EXPECT_EQ(call->error, kNoError) << trailers;
  }
}

TEST_F(H2ConnectionTest, TrailersAfterAReplyThatWasAllSent) {
  service.on_end = [](Seen& s) { s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "body", More::kYes); };
  start();
  auto call = client->get("/");
  ASSERT_TRUE(until([&] { return call->body == "body"; }));
  service.seen[0]->exchange->end("x: 1\r\n");
  ASSERT_TRUE(until([&] { return call->closed; }));
  EXPECT_EQ(call->trailers["x"], "1");
  EXPECT_TRUE(service.seen[0]->ok);
}

TEST_F(H2ConnectionTest, TheStatusOfGrpcMayBeAllThereIs) {
  service.on_end = [](Seen& s) {
    s.exchange->reply("HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 5\r\n\r\n", {}, More::kNo);
  };
  start();
  auto call = client->call("POST", "/p.S/M", {{"content-type", "application/grpc"}, {"te", "trailers"}}, "x", true);
  ASSERT_TRUE(until([&] { return call->closed; }));
  EXPECT_EQ(call->headers["grpc-status"], "5");
  EXPECT_FALSE(call->headers.contains("content-length"));
  EXPECT_TRUE(call->trailers.empty());
  EXPECT_NE(service.seen[0]->head.find("te: trailers\r\n"), std::string::npos);
}

TEST_F(H2ConnectionTest, HeadAndBodilessStatusesHaveNoBody) {
  service.on_end = [](Seen& s) {
    const bool none = s.path == "/none";
    s.exchange->reply(none ? "HTTP/1.1 204 No Content\r\n\r\n" : "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n",
                      none ? "" : "ignored", More::kNo);
  };
  start();
  auto head = client->call("HEAD", "/", {}, {}, true);
  auto none = client->get("/none");
  auto empty_get = client->get("/");
  ASSERT_TRUE(until([&] { return head->closed && none->closed && empty_get->closed; }));
  EXPECT_EQ(head->status, 200);
  EXPECT_EQ(head->headers["content-length"], "7");
  EXPECT_EQ(head->body, "");
  EXPECT_EQ(none->status, 204);
  EXPECT_FALSE(none->headers.contains("content-length"));
  EXPECT_EQ(empty_get->body, "ignored");
}

TEST_F(H2ConnectionTest, AReplyBeforeTheEndOfTheRequestLeavesItASecond) {
  service.on_request_fn = [](Seen& s) { s.exchange->reply("HTTP/1.1 403 Forbidden\r\n\r\n", "no", More::kNo); };
  start();
  auto call = client->call("POST", "/", {}, "part", false);
  loop->run_for(900ms);
  EXPECT_TRUE(call->ended);
  EXPECT_FALSE(call->closed);
  EXPECT_EQ(service.seen[0]->done_calls, 1);
  loop->run_for(200ms);
  EXPECT_TRUE(call->closed);
  EXPECT_EQ(call->status, 403);
  EXPECT_EQ(call->body, "no");
  EXPECT_EQ(call->error, kNoError);
  EXPECT_TRUE(service.seen[0]->ok);
  EXPECT_FALSE(service.seen[0]->ended);
}

// More than all windows, so it ends only when what is dropped is credited.
TEST_F(H2ConnectionTest, ARequestThatIsAnsweredEarlyMayComeToItsEnd) {
  service.on_request_fn = [](Seen& s) { s.exchange->reply("HTTP/1.1 403 Forbidden\r\n\r\n", "no", More::kNo); };
  ServerOptions options;
  options.body_window = 100'000;
  options.max_streams = 1;
  start(options);
  for (const char* trailers : {"", "x-sum: 1\r\n"}) {
    auto call = client->call("POST", "/", {}, std::string(3'000'000, 'x'), false);
    loop->run_ready();
    EXPECT_TRUE(call->ended);
    EXPECT_FALSE(call->closed);
    client->send(*call, "the end", true, trailers);
    loop->run_ready();
    EXPECT_TRUE(call->closed);
    EXPECT_EQ(call->status, 403);
  }
  loop->run_for(2s);
  EXPECT_FALSE(client->closed);
  EXPECT_FALSE(client->goaway);
}

TEST_F(H2ConnectionTest, ExpectContinueIsAnswered) {
  service.echo();
  start();
  auto call = client->call("POST", "/", {{"expect", "100-continue"}}, {}, false);
  ASSERT_TRUE(until([&] { return !call->informational.empty(); }));
  EXPECT_EQ(call->informational, std::vector<int>{100});
  client->send(*call, "late", true);
  ASSERT_TRUE(until([&] { return call->closed; }));
  EXPECT_EQ(call->body, "late");
}

TEST_F(H2ConnectionTest, AReplyAtOnceToAWholeRequestResetsNothing) {
  service.on_request_fn = [](Seen& s) {
    if (s.path == "/head") s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "now", More::kNo);
  };
  service.on_body = [](Seen& s, std::string_view) { s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "now", More::kNo); };
  start();
  H2RawPeer peer(*loop, async::Endpoint{"sim:80"});
  peer.send(raw_headers(1, true, "GET", "/head") + raw_headers(3, false, "GET", "/body") + raw_frame(0, 1, 3, "all"));
  loop->run_ready();
  EXPECT_EQ(peer.count(0), 2u);
  EXPECT_EQ(peer.count(3), 0u) << "RST_STREAM";
  ASSERT_EQ(service.seen.size(), 2u);
  EXPECT_TRUE(service.seen[0]->ended);
  EXPECT_TRUE(service.seen[0]->ok);
  EXPECT_TRUE(service.seen[1]->ok);
}

TEST_F(H2ConnectionTest, InterimRepliesGoBeforeTheReply) {
  service.on_end = [](Seen& s) {
    s.exchange->reply("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", {}, More::kYes);
    s.exchange->reply("HTTP/1.1 102 Processing\r\n\r\n", {}, More::kYes);
    s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "at last", More::kNo);
  };
  start();
  auto call = client->get("/");
  ASSERT_TRUE(until([&] { return call->closed; }));
  EXPECT_EQ(call->informational, (std::vector<int>{103, 102}));
  EXPECT_EQ(call->status, 200);
  EXPECT_EQ(call->body, "at last");
  EXPECT_EQ(call->error, kNoError);
}

TEST_F(H2ConnectionTest, AHeadThatIsLongerThanAFrameIsSplit) {
  service.on_end = [](Seen& s) {
    s.exchange->reply("HTTP/1.1 200 OK\r\nx-large: " + std::string(40'000, 'v') + "\r\n\r\n", "body", More::kNo);
  };
  start();
  auto call = client->call("GET", "/", {{"x-long", std::string(40'000, '!')}}, {}, true);
  ASSERT_TRUE(until([&] { return call->closed; }));
  EXPECT_EQ(call->headers["x-large"].size(), 40'000u);
  EXPECT_EQ(call->body, "body");
  EXPECT_NE(service.seen[0]->head.find("x-long: " + std::string(40'000, '!')), std::string::npos);
}

TEST_F(H2ConnectionTest, ACancelledRequestStopsTheWork) {
  start();
  auto call = client->get("/slow");
  loop->run_ready();
  ASSERT_EQ(service.seen.size(), 1u);
  client->reset(*call, kCancel);
  loop->run_ready();
  EXPECT_EQ(service.seen[0]->done_calls, 1);
  EXPECT_FALSE(service.seen[0]->ok);
  EXPECT_EQ(server->stats.open_requests, 0u);
  service.echo();
  auto next = client->get("/");
  EXPECT_TRUE(until([&] { return next->closed && next->status == 200; }));
}

TEST_F(H2ConnectionTest, ALostConnectionStopsAllWork) {
  start();
  for (int i = 0; i < 10; ++i) client->get("/");
  loop->run_ready();
  ASSERT_EQ(service.seen.size(), 10u);
  client.reset();
  loop->run_ready();
  for (const auto& s : service.seen) EXPECT_EQ(s->done_calls, 1);
  EXPECT_EQ(server->connections(), 0u);
}

TEST_F(H2ConnectionTest, AbortAfterTheHeadResetsTheStream) {
  start();
  auto call = client->get("/");
  loop->run_ready();
  service.seen[0]->exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "begun", More::kYes);
  loop->run_ready();
  service.seen[0]->exchange->abort(internal_error("it broke"));
  ASSERT_TRUE(until([&] { return call->closed; }));
  EXPECT_EQ(call->body, "begun");
  EXPECT_FALSE(call->ended);
  EXPECT_EQ(call->error, kInternalError);
  EXPECT_FALSE(service.seen[0]->ok);
}

TEST_F(H2ConnectionTest, AbortBeforeTheHeadAnswersWithTheError) {
  service.on_end = [](Seen& s) { s.exchange->abort(unavailable("no replica", "no_replica")); };
  start();
  auto plain = client->get("/");
  auto grpc = client->call("POST", "/p.S/M", {{"content-type", "application/grpc"}}, {}, true);
  ASSERT_TRUE(until([&] { return plain->closed && grpc->closed; }));
  EXPECT_EQ(plain->status, 503);
  EXPECT_NE(plain->body.find("no replica"), std::string::npos);
  EXPECT_EQ(grpc->status, 200);
  EXPECT_EQ(grpc->headers["grpc-status"], "14");
  for (const auto& s : service.seen) EXPECT_FALSE(s->ok);
}

TEST_F(H2ConnectionTest, OnDoneNeverComesInsideACallOfTheHandler) {
  bool inside = false, wrong = false;
  service.on_end = [&](Seen& s) {
    inside = true;
    s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "x", More::kYes);
    s.exchange->end({});
    wrong |= s.done_calls > 0;
    inside = false;
  };
  start();
  auto call = client->get("/");
  ASSERT_TRUE(until([&] { return call->closed; }));
  EXPECT_FALSE(wrong);
  // The same from outside of the connection, as a proxy's link would.
  service.on_end = nullptr;
  auto later = client->get("/");
  loop->run_ready();
  Seen& s = *service.seen[1];
  s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "x", More::kNo);
  EXPECT_EQ(s.done_calls, 0);
  loop->run_ready();
  EXPECT_EQ(s.done_calls, 1);
  EXPECT_EQ(later->body, "x");
}

TEST_F(H2ConnectionTest, ABrokenReplyHeadIsOurFaultAndNotSent) {
  service.on_end = [](Seen& s) { s.exchange->reply("HTTP/1.1 banana\r\n\r\n", {}, More::kNo); };
  start();
  auto call = client->get("/");
  ASSERT_TRUE(until([&] { return call->closed; }));
  EXPECT_EQ(call->status, 500);
}

TEST_F(H2ConnectionTest, DrainEndsAnIdleConnectionAndLetsABusyOneFinish) {
  start();
  auto busy = connect();
  auto call = busy->get("/");
  loop->run_ready();
  ASSERT_EQ(server->connections(), 2u);
  server->drain();
  loop->run_ready();
  EXPECT_TRUE(client->goaway);
  EXPECT_TRUE(client->closed);
  ASSERT_TRUE(busy->goaway);
  EXPECT_EQ(busy->goaway_ids.front(), (int32_t{1} << 30) - 1 + (int32_t{1} << 30));
  EXPECT_EQ(busy->goaway_ids.back(), 1);
  EXPECT_EQ(busy->goaway_code, kNoError);
  EXPECT_FALSE(busy->closed);
  service.seen[0]->exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "done", More::kNo);
  ASSERT_TRUE(until([&] { return busy->closed; }));
  EXPECT_EQ(call->body, "done");
  ASSERT_TRUE(until([&] { return server->connections() == 0; }));
}

TEST_F(H2ConnectionTest, AnIdleConnectionIsEndedAfterItsTime) {
  service.echo();
  start({.idle_timeout = 30s});
  loop->run_for(29s);
  EXPECT_FALSE(client->goaway);
  auto call = client->get("/");
  ASSERT_TRUE(until([&] { return call->closed; }));
  loop->run_for(29s);
  EXPECT_FALSE(client->goaway);
  loop->run_for(2s);
  EXPECT_TRUE(client->goaway);
  EXPECT_EQ(client->goaway_code, kNoError);
  ASSERT_TRUE(until([&] { return server->connections() == 0; }));
}

TEST_F(H2ConnectionTest, ARunningRequestIsNotIdle) {
  start({.idle_timeout = 30s});
  auto call = client->get("/long");
  loop->run_for(300s);
  EXPECT_FALSE(client->goaway);
  service.seen[0]->exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "at last", More::kNo);
  ASSERT_TRUE(until([&] { return call->closed; }));
  EXPECT_EQ(call->body, "at last");
}

TEST_F(H2ConnectionTest, RepliesOfOneTurnLeaveTogetherAndInAnyOrder) {
  start();
  std::vector<std::shared_ptr<H2TestCall>> calls;
  for (int i = 0; i < 8; ++i) calls.push_back(client->get("/" + std::to_string(i)));
  loop->run_ready();
  for (size_t i = 8; i-- > 0;) {
    service.seen[i]->exchange->reply("HTTP/1.1 200 OK\r\n\r\n", service.seen[i]->path, More::kNo);
  }
  loop->run_ready();
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(calls[i]->body, "/" + std::to_string(i));
}

}  // namespace
}  // namespace colony::http::testing
