// The link to an HTTP/1.1 server, in simulated time: against our own server, and against one that says bytes at the worst
// moment.
#include "transport/backend/backend_test_support.h"

namespace colony::backend {
namespace {

using testing::Bench;
using testing::Caller;
using testing::RawBackend;
using testing::request;

struct Http1LinkTest : ::testing::Test {
  explicit Http1LinkTest(size_t chunk = 0) : bench(&connect_http1, chunk) {}
  Bench bench;
};
struct Http1LinkRaw : Http1LinkTest {
  Http1LinkRaw() : raw(*bench.loop) {}
  RawBackend raw;
};
constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

TEST_F(Http1LinkTest, ARequestAndItsReplyPassAndTheConnectionIsUsedAgain) {
  bench.serve();
  bench.dial();
  ASSERT_EQ(bench.ready, 1);
  for (int i = 0; i < 5; ++i) {
    Caller c;
    bench.call(c, request("POST", "/echo/a?b=c", "x-mine: 1\r\n"), "hello");
    bench.settle();
    ASSERT_TRUE(c.ended) << (c.error ? c.error->message : "no end");
    EXPECT_EQ(c.status, 200);
    EXPECT_EQ(c.body, "hello");
    EXPECT_NE(bench.service.last().head.find("x-mine: 1\r\n"), std::string::npos);
    EXPECT_EQ(bench.link->outstanding(), 0u);
  }
  EXPECT_EQ(bench.server->stats().accepted, 1u);
}

TEST_F(Http1LinkTest, CallsThatRunAtOnceHaveAConnectionEachAndShareNothing) {
  bench.serve();
  bench.dial();
  std::vector<std::unique_ptr<Caller>> calls;
  for (int i = 0; i < 40; ++i) {
    calls.push_back(std::make_unique<Caller>());
    bench.call(*calls.back(), request("POST", "/hold"), {}, true);
  }
  bench.settle();
  ASSERT_EQ(bench.service.calls.size(), 40u);
  for (size_t i = 40; i-- > 0;) bench.service.calls[i]->release(std::to_string(i));
  bench.settle();
  for (const auto& c : calls) EXPECT_TRUE(c->ended);
  EXPECT_EQ(bench.server->stats().accepted, 40u);
}

TEST_F(Http1LinkTest, BodiesOfEitherLengthStreamUnderCreditBothWays) {
  bench.serve();
  bench.dial();
  Caller up, down;
  up.to_send = std::string(3'000'000, 'u');
  bench.call(up, request("POST", "/stream"), {}, false);
  up.send();
  bench.call(down, request("GET", "/chunked/2000000"));
  down.eager = false;  // takes nothing: what may be under way is bounded
  bench.settle(2s);
  EXPECT_TRUE(up.ended);
  EXPECT_EQ(up.body.size(), 3'000'000u);
  EXPECT_FALSE(down.ended);
  EXPECT_LE(down.body.size(), 1'000'000u);
  for (size_t said = 0; !down.ended && said < 2'000'000;) {
    const size_t fresh = down.body.size() - said;
    said += fresh;
    bench.link->consumed(down.id, fresh);
    bench.settle();
  }
  EXPECT_TRUE(down.ended);
  EXPECT_EQ(down.body.size(), 2'000'000u);
}

TEST_F(Http1LinkTest, TrailersPassBothWays) {
  bench.serve();
  bench.dial();
  Caller c;
  bench.call(c, request("POST", "/stream"), "part ", false);
  bench.link->body(c.id, "two", false);
  bench.link->end(c.id, "x-sum: 7\r\n");
  bench.settle();
  EXPECT_TRUE(c.ended);
  EXPECT_EQ(c.body, "part two");
  EXPECT_EQ(c.trailers, "x-sum: 7\r\n");
}

TEST_F(Http1LinkRaw, AHeadReplyAnd204And304HaveNoBodyWhateverTheirFieldsSay) {
  bench.dial();
  const std::pair<const char*, const char*> kCases[] = {
      {"HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n"},
      {"HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"},
      {"GET", "HTTP/1.1 204 No Content\r\n\r\n"},
      {"GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n"},
  };
  for (const auto& [method, reply] : kCases) {
    raw.connections.at(0)->on_text = [reply](RawBackend::Connection& c) { c.say(reply); };
    Caller c;
    bench.call(c, request(method, "/"));
    bench.settle();
    EXPECT_TRUE(c.ended) << reply;
    EXPECT_EQ(c.body, "");
  }
  EXPECT_EQ(raw.connections.size(), 1u);
}

TEST_F(Http1LinkRaw, TheRequestIsWrittenAsAnOriginServerExpectsIt) {
  raw.always(std::string(kOk));
  bench.dial();
  const auto sent = [&](std::string_view head, std::string_view body = {}) {
    Caller c;
    raw.at(0).text.clear();
    raw.at(0).on_text = [](RawBackend::Connection& x) {
      if (x.text.find("\r\n\r\n") != std::string::npos) x.say(kOk);
    };
    bench.call(c, head, body);
    bench.settle();
    EXPECT_TRUE(c.ended);
    return raw.at(0).text;
  };
  EXPECT_EQ(sent("GET /a HTTP/1.1\r\nhost: b\r\n\r\n"), "GET /a HTTP/1.1\r\nhost: b\r\n\r\n");
  EXPECT_EQ(sent("POST /a HTTP/1.1\r\nhost: b\r\n\r\n"), "POST /a HTTP/1.1\r\nhost: b\r\ncontent-length: 0\r\n\r\n");
  EXPECT_EQ(sent("POST /a HTTP/1.1\r\nhost: b\r\n\r\n", "xyz"),
            "POST /a HTTP/1.1\r\nhost: b\r\ncontent-length: 3\r\n\r\nxyz");
  EXPECT_EQ(sent("GET http://b/a?q HTTP/1.1\r\nhost: b\r\n\r\n"), "GET /a?q HTTP/1.1\r\nhost: b\r\n\r\n");
  EXPECT_EQ(sent("GET /a HTTP/1.0\r\nx: 1\r\n\r\n"), "GET /a HTTP/1.1\r\nhost: \r\nx: 1\r\n\r\n");
  EXPECT_EQ(sent("POST /a HTTP/1.1\r\nhost: b\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n", "x"),
            "POST /a HTTP/1.1\r\nhost: b\r\ncontent-length: 1\r\n\r\nx");
}

TEST_F(Http1LinkRaw, AReplyUntilTheEndOfTheConnectionIsWholeThenAndABrokenOneIsNot) {
  bench.dial();
  Caller whole, cut;
  raw.at(0).on_text = [](RawBackend::Connection& c) { c.say("HTTP/1.0 200 OK\r\n\r\nsome text"); };
  bench.call(whole, request("GET", "/"));
  bench.settle();
  EXPECT_EQ(whole.body, "some text");
  EXPECT_FALSE(whole.ended);
  raw.at(0).stream->shutdown_write();
  bench.settle();
  EXPECT_TRUE(whole.ended);
  bench.call(cut, request("GET", "/"));
  bench.settle();
  raw.at(1).say("HTTP/1.1 200 OK\r\n\r\nsome");
  bench.settle();
  bench.loop->reset_all({"backend"});
  bench.settle();
  ASSERT_TRUE(cut.error);
  EXPECT_EQ(cut.error->reason, "reply_cut");
}

TEST_F(Http1LinkRaw, AReplyThatIsShorterThanItsLengthFailsTheCall) {
  bench.dial();
  Caller c;
  raw.at(0).on_text = [](RawBackend::Connection& x) { x.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfour"); };
  bench.call(c, request("GET", "/"));
  bench.settle();
  EXPECT_EQ(c.body, "four");
  raw.at(0).stream->shutdown_write();
  bench.settle();
  ASSERT_TRUE(c.error);
  EXPECT_EQ(c.error->reason, "reply_cut");
  EXPECT_EQ(c.error->retry, Retry::kNo);
}

TEST_F(Http1LinkRaw, AnIdleConnectionThatTheServerEndsIsReplacedAndNobodyNotices) {
  raw.always(std::string(kOk));
  bench.dial();
  for (size_t i = 0; i < 4; ++i) {
    Caller c;
    bench.call(c, request("GET", "/"));
    bench.settle();
    EXPECT_TRUE(c.ended);
    ASSERT_EQ(raw.connections.size(), i + 1);
    raw.connections.back()->hang_up();
    bench.settle();
    EXPECT_TRUE(bench.link->ready());
  }
}

TEST_F(Http1LinkRaw, ARequestThatCrossesTheEndOfItsIdleConnectionMayBeSentAgainWhenItIsSafe) {
  raw.always(std::string(kOk));
  bench.dial();
  for (const auto& [method, retry] : {std::pair{"GET", Retry::kYes}, std::pair{"POST", Retry::kIfFresh}}) {
    Caller first, crossed;
    bench.call(first, request("GET", "/"));
    bench.settle();
    ASSERT_TRUE(first.ended);
    raw.connections.back()->on_text = [](RawBackend::Connection& c) { c.hang_up(); };
    bench.call(crossed, request(method, "/"));
    bench.settle();
    ASSERT_TRUE(crossed.error);
    EXPECT_EQ(crossed.error->retry, retry) << method;
  }
}

TEST_F(Http1LinkRaw, AnAnswerlessEndOfAFreshConnectionMayHaveBeenTheRequestsDoing) {
  raw.answer = [](RawBackend::Connection& c) { c.hang_up(); };
  bench.dial();
  Caller c;
  bench.call(c, request("GET", "/"));
  bench.settle();
  ASSERT_TRUE(c.error);
  EXPECT_EQ(c.error->retry, Retry::kIfFresh);
  EXPECT_TRUE(bench.link->ready()) << "the backend still takes connections";
}

TEST_F(Http1LinkRaw, ConnectionsRestOnlyAWhileAndARequestThatMayNotRunTwiceTakesAYoungOne) {
  raw.always(std::string(kOk));
  bench.dial();
  const auto go = [&](const char* method) {
    Caller c;
    bench.call(c, request(method, "/"));
    bench.settle(10ms);
    EXPECT_TRUE(c.ended);
  };
  go("GET");
  bench.settle(2s);
  go("GET");
  EXPECT_EQ(raw.connections.size(), 1u);
  bench.settle(2s);
  go("POST");
  EXPECT_EQ(raw.connections.size(), 2u);
  bench.settle(10s);
  for (const auto& c : raw.connections) EXPECT_TRUE(c->ended);
}

TEST_F(Http1LinkRaw, TheServersOwnPatienceIsKept) {
  raw.always(
      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=2, max=100\r\nconnection: keep-alive\r\n\r\nok");
  bench.dial();
  Caller a, b;
  bench.call(a, request("GET", "/"));
  bench.settle(10ms);
  bench.settle(1200ms);
  bench.call(b, request("GET", "/"));
  bench.settle(10ms);
  EXPECT_TRUE(b.ended);
  EXPECT_EQ(raw.connections.size(), 2u);
}

TEST_F(Http1LinkRaw, TheServersOwnPatienceIsKeptAfterAReplyWithoutABody) {
  raw.always("HTTP/1.1 204 No Content\r\nkeep-alive: timeout=1\r\nconnection: keep-alive\r\n\r\n");
  bench.dial();
  for (size_t n = 1; n <= 3; ++n) {
    Caller c;
    bench.call(c, request("GET", "/"));
    bench.settle(10ms);
    EXPECT_TRUE(c.ended);
    EXPECT_EQ(raw.connections.size(), n);
  }
}

TEST_F(Http1LinkRaw, UnaskedBytesEndAConnection) {
  raw.answer = [](RawBackend::Connection& c) {
    c.say(std::string(kOk) + "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad");
  };
  bench.dial();
  Caller a, b;
  bench.call(a, request("GET", "/"));
  bench.settle();
  EXPECT_EQ(a.body, "ok");
  raw.answer = nullptr;
  raw.always(std::string(kOk));
  bench.call(b, request("GET", "/"));
  bench.settle();
  EXPECT_EQ(b.body, "ok");
  EXPECT_EQ(raw.connections.size(), 2u);
  raw.at(1).say("HTTP/1.1 408 Request Timeout\r\n\r\n");  // as some servers do before they hang up
  bench.settle();
  EXPECT_TRUE(raw.at(1).ended);
}

TEST_F(Http1LinkRaw, AnEarlyReplyEndsTheCallAndTheConnectionIsNotUsedAgain) {
  bench.dial();
  Caller c;
  raw.at(0).on_text = [](RawBackend::Connection& x) {
    x.on_text = nullptr;
    x.say("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
  };
  bench.call(c, request("POST", "/", "content-length: 1000000\r\n"), "first", false);
  bench.settle();
  EXPECT_TRUE(c.ended);
  EXPECT_EQ(c.status, 413);
  bench.link->body(c.id, "late", false);  // nobody is there
  bench.settle();
  EXPECT_TRUE(raw.at(0).ended);
}

// More would be the server's next request, less would wait for the next one's bytes.
TEST_F(Http1LinkRaw, ABodyOfAnotherLengthThanItsHeadSaysIsNeverSent) {
  bench.dial();
  const std::string head = request("POST", "/", "content-length: 5\r\n");
  const std::vector<std::function<void(Caller&)>> ways = {
      [&](Caller& c) { bench.call(c, head, "123456"); },
      [&](Caller& c) { bench.call(c, head, "1234"); },
      [&](Caller& c) { bench.call(c, head, "123456", false); },
      [&](Caller& c) { bench.call(c, head, "123", false), bench.link->body(c.id, "456", false); },
      [&](Caller& c) { bench.call(c, head, "123", false), bench.link->body(c.id, "4", true); },
      [&](Caller& c) { bench.call(c, head, "123", false), bench.link->end(c.id, {}); },
  };
  for (size_t i = 0; i < ways.size(); ++i) {
    SCOPED_TRACE(i);
    Caller c;
    ways[i](c);
    bench.settle();
    ASSERT_TRUE(c.error);
    EXPECT_EQ(c.error->reason, kBadRequest);
    EXPECT_EQ(c.error->code, Code::kInvalidArgument);
  }
  for (const auto& c : raw.connections) {
    EXPECT_EQ(c->text.find('6'), std::string::npos) << c->text;
    EXPECT_TRUE(c->text.empty() || c->ended);
  }
}

TEST_F(Http1LinkRaw, AHeadThatNobodyCouldReadFailsItsCallAlone) {
  raw.always(std::string(kOk));
  bench.dial();
  Caller bad, good;
  bench.call(bad, request("GET", "/", "no field\r\n"));
  bench.call(good, request("GET", "/"));
  bench.settle();
  ASSERT_TRUE(bad.error);
  EXPECT_EQ(bad.error->reason, kBadRequest);
  EXPECT_EQ(good.status, 200);
}

TEST_F(Http1LinkRaw, MalformedRepliesFailTheCall) {
  bench.dial();
  for (const char* reply :
       {"nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nx: 1\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 101 Switching\r\n\r\n"}) {
    raw.always(reply);
    for (auto& x : raw.connections) x->on_text = raw.answer;
    Caller c;
    bench.call(c, request("GET", "/"));
    bench.settle();
    ASSERT_TRUE(c.error) << reply;
    EXPECT_EQ(c.error->reason, "bad_reply") << reply;
    EXPECT_EQ(c.error->retry, Retry::kNo);
  }
}

TEST_F(Http1LinkRaw, ACancelledCallEndsItsConnectionAndNoOther) {
  bench.dial();
  Caller a, b;
  bench.call(a, request("GET", "/a"));
  bench.call(b, request("GET", "/b"));
  bench.settle();
  ASSERT_EQ(raw.connections.size(), 2u);
  bench.link->cancel(a.id);
  bench.settle();
  EXPECT_EQ(raw.at(0).ended + raw.at(1).ended, 1);
  EXPECT_FALSE(a.over());
  for (auto& x : raw.connections)
    if (!x->ended) x->say(kOk);
  bench.settle();
  EXPECT_TRUE(b.ended);
  EXPECT_EQ(bench.link->outstanding(), 0u);
}

TEST_F(Http1LinkRaw, NobodyListensAndTheLinkSaysSo) {
  raw.stop_listening();
  bench.dial();
  bench.settle(6s);
  ASSERT_TRUE(bench.closed);
  EXPECT_EQ(bench.closed->reason, "connect_failed");
  EXPECT_EQ(bench.ready, 0);
}

TEST_F(Http1LinkRaw, ABackendThatStopsListeningFinishesWhatRunsAndIsReadyAgainWhenItListensAgain) {
  bench.dial();
  Caller running, refused, later;
  bench.call(running, request("GET", "/a"));
  bench.settle();
  raw.stop_listening();
  bench.call(refused, request("GET", "/b"));
  bench.settle(3s);
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->retry, Retry::kYes) << "nothing of it was sent";
  EXPECT_FALSE(bench.link->ready());
  EXPECT_FALSE(running.over());
  raw.listen();
  bench.settle(3s);
  EXPECT_TRUE(bench.link->ready());
  EXPECT_EQ(bench.ready, 2);
  raw.always(std::string(kOk));
  raw.at(0).say(kOk);
  bench.settle();
  EXPECT_TRUE(running.ended);
  for (auto& x : raw.connections) x->on_text = raw.answer;
  bench.call(later, request("GET", "/c"));
  bench.settle();
  EXPECT_TRUE(later.ended);
}

TEST_F(Http1LinkRaw, AllConnectionsBreakAndTheLinkEndsOnceNobodyListens) {
  bench.dial();
  Caller a;
  bench.call(a, request("GET", "/a"));
  bench.settle();
  raw.stop_listening();
  bench.loop->reset_all({"backend"});
  bench.settle();
  ASSERT_TRUE(a.error);
  EXPECT_EQ(a.error->retry, Retry::kIfFresh);
  Caller b;
  if (bench.link) bench.call(b, request("GET", "/b"));
  bench.settle(3s);
  EXPECT_TRUE(bench.closed);
}

struct Http1LinkPieces : ::testing::TestWithParam<size_t> {};
TEST_P(Http1LinkPieces, BytesMayComeInAnyPieces) {
  Bench bench(&connect_http1, GetParam());
  RawBackend raw(*bench.loop);
  raw.always(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-end: 1\r\n\r\n");
  bench.dial();
  for (int i = 0; i < 3; ++i) {
    Caller c;
    bench.call(c, request("GET", "/"));
    bench.settle();
    EXPECT_TRUE(c.ended);
    EXPECT_EQ(c.body, "hello world");
    EXPECT_EQ(c.trailers, "x-end: 1\r\n");
  }
  EXPECT_EQ(raw.connections.size(), 1u);
}
INSTANTIATE_TEST_SUITE_P(Sizes, Http1LinkPieces, ::testing::Values(1, 2, 3, 7, 50));

}  // namespace
}  // namespace colony::backend
