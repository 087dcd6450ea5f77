// What an HTTP/1.1 backend says before its reply, and instead of one: interim replies, and the switch to another protocol.
#include "transport/backend/backend_test_support.h"

namespace colony::backend {
namespace {

using testing::Bench;
using testing::Caller;
using testing::RawBackend;
using testing::request;

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
constexpr std::string_view kAsk = "connection: upgrade\r\nupgrade: raw\r\n";
constexpr std::string_view kSwitch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n";

// A granted tunnel, with `first` behind the 101.
void open(Bench& bench, RawBackend& raw, Caller& c, std::string_view first = {}) {
  bench.call(c, request("GET", "/chat", kAsk), {}, false);
  bench.settle();
  raw.connections.back()->text.clear();
  raw.connections.back()->say(std::string(kSwitch) + std::string(first));
  bench.settle();
  ASSERT_EQ(c.status, 101) << (c.error ? c.error->message : "no answer");
}

struct Http1Tunnel : ::testing::TestWithParam<size_t> {
  Http1Tunnel() : bench(&connect_http1, GetParam()), raw(*bench.loop) {}
  void open(Caller& c, std::string_view first = {}) { backend::open(bench, raw, c, first); }
  Bench bench;
  RawBackend raw;
};
INSTANTIATE_TEST_SUITE_P(Sizes, Http1Tunnel, ::testing::Values(0, 1, 3, 7));

TEST_P(Http1Tunnel, TheAskingTravelsAndBytesPassBothWaysUntilBothHalvesHaveEnded) {
  bench.dial();
  Caller c;
  bench.call(c, request("GET", "/chat", kAsk), {}, false);
  bench.settle();
  EXPECT_EQ(raw.at(0).text, request("GET", "/chat", kAsk));
  raw.at(0).text.clear();
  raw.at(0).say(std::string(kSwitch) + "hi ");
  bench.settle();
  ASSERT_EQ(c.status, 101);
  EXPECT_EQ(c.head, kSwitch);
  EXPECT_EQ(c.body, "hi ");
  bench.link->body(c.id, "GET / HTTP/1.1\r\n\r\n", false);
  raw.at(0).say(kOk);  // no reply any more
  bench.settle();
  EXPECT_EQ(raw.at(0).text, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(c.body, "hi " + std::string(kOk));
  bench.link->end(c.id, {});
  bench.settle();
  EXPECT_TRUE(raw.at(0).ended);
  EXPECT_FALSE(c.ended);
  raw.at(0).say("bye");
  raw.at(0).stream->shutdown_write();
  bench.settle();
  EXPECT_TRUE(c.ended && c.tunnel_over);
  EXPECT_TRUE(c.body.ends_with("bye"));
  EXPECT_EQ(bench.link->outstanding(), 0u);
}

TEST_P(Http1Tunnel, TheBackendMayEndItsHalfFirstAndStillHears) {
  bench.dial();
  Caller c;
  open(c);
  raw.at(0).stream->shutdown_write();
  bench.settle();
  EXPECT_TRUE(c.ended);
  EXPECT_FALSE(c.tunnel_over);
  bench.link->body(c.id, "still heard", true);
  bench.settle();
  EXPECT_EQ(raw.at(0).text, "still heard");
  EXPECT_TRUE(raw.at(0).ended);
  EXPECT_TRUE(c.tunnel_over);
}

TEST_P(Http1Tunnel, ABackendThatClosesBothHalvesAtOnceEndsTheTunnelInOrderUnlessMoreComesForIt) {
  bench.dial();
  for (const bool more : {false, true}) {
    Caller c;
    open(c, "last words");
    raw.connections.back()->stream->shutdown_write();
    bench.settle();
    raw.connections.back()->hang_up();
    bench.settle();
    EXPECT_EQ(c.body, "last words");
    EXPECT_TRUE(c.ended && !c.error && !c.tunnel_over);
    if (more) bench.link->body(c.id, "anybody there?", false);
    bench.settle();
    EXPECT_EQ(bench.link->outstanding(), 1u)
        << "to a half that is open, bytes are written as long as nobody refuses them";
    if (more) {
      bench.loop->reset_all({"backend"});
      bench.settle();
      bench.link->body(c.id, "anybody?", false);
      bench.settle();
      ASSERT_TRUE(c.error);
      EXPECT_EQ(c.error->reason, "reply_cut");
    } else {
      bench.link->end(c.id, {});
      bench.settle();
      EXPECT_TRUE(c.tunnel_over && !c.error);
    }
    EXPECT_EQ(bench.link->outstanding(), 0u);
  }
}

TEST_P(Http1Tunnel, ABrokenTunnelFailsAndACancelledOneEndsItsConnection) {
  bench.dial();
  Caller broken, cancelled;
  open(broken);
  bench.loop->reset_all({"backend"});
  bench.settle();
  ASSERT_TRUE(broken.error);
  EXPECT_EQ(broken.error->reason, "reply_cut");
  EXPECT_EQ(broken.error->retry, Retry::kNo);
  open(cancelled);
  bench.link->cancel(cancelled.id);
  bench.settle();
  EXPECT_TRUE(raw.connections.back()->ended);
  EXPECT_EQ(bench.link->outstanding(), 0u);
}

TEST(Http1TunnelCredit, WhatIsNotTakenIsBoundedInBothDirections) {
  Bench bench(&connect_http1);
  RawBackend raw(*bench.loop);
  bench.dial();
  Caller c;
  open(bench, raw, c);
  c.eager = false;
  for (int i = 0; i < 400; ++i) {
    raw.at(0).say(std::string(10'000, 'd'));
    bench.settle(1ms);
  }
  bench.settle(1s);
  EXPECT_GT(c.body.size(), 200'000u);
  EXPECT_LE(c.body.size(), 800'000u);
  for (size_t said = 0; c.body.size() < 4'000'000;) {
    const size_t fresh = c.body.size() - said;
    ASSERT_GT(fresh, 0u) << "it stands still at " << said;
    said += fresh;
    bench.link->consumed(c.id, fresh);
    bench.settle();
  }
  raw.at(0).stream->pause();
  size_t sent = 0;
  while (bench.link->writable(c.id) > 0) {
    ASSERT_LT(sent += 50'000, 20'000'000u) << "writable() says yes for ever";
    bench.link->body(c.id, std::string(50'000, 'u'), false);
    bench.settle(1ms);
  }
  const int before = c.writable;
  raw.at(0).stream->resume();
  bench.settle(1s);
  EXPECT_GT(c.writable, before);
  EXPECT_EQ(raw.at(0).text.size(), sent);
}

TEST_P(Http1Tunnel, ARefusedOneIsAnOrdinaryReplyAndItsConnectionIsUsedAgain) {
  raw.always(std::string(kOk));
  bench.dial();
  for (int i = 0; i < 3; ++i) {
    Caller c;
    bench.call(c, request("GET", "/chat", kAsk), {}, false);
    bench.settle();
    EXPECT_TRUE(c.ended);
    EXPECT_EQ(c.status, 200);
  }
  EXPECT_EQ(raw.connections.size(), 1u);
}

TEST_P(Http1Tunnel, OneThatWasNotAskedForOrNamesNoProtocolFailsTheCall) {
  bench.dial();
  for (const auto& [ask, reply] :
       {std::pair{"", std::string(kSwitch)}, std::pair{"upgrade: raw\r\n", std::string(kSwitch)},
        std::pair{"connection: upgrade\r\nupgrade: raw\r\n", std::string("HTTP/1.1 101 Switching\r\n\r\n")},
        std::pair{"connection: upgrade\r\nupgrade: raw\r\n",
                  std::string("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")},
        std::pair{"connection: upgrade\r\nupgrade: websocket\r\n", std::string(kSwitch)},
        std::pair{"connection: upgrade\r\nupgrade: raw\r\n",
                  std::string("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: raw, own\r\n\r\n")}}) {
    raw.always(reply);
    for (auto& x : raw.connections) x->on_text = raw.answer;
    Caller c;
    bench.call(c, request("GET", "/", ask), {}, *ask == 0);
    bench.settle();
    ASSERT_TRUE(c.error) << reply;
    EXPECT_EQ(c.error->reason, "bad_reply");
  }
}

TEST_P(Http1Tunnel, OneOfSeveralProtocolsMayBeChosenInAnyCase) {
  bench.dial();
  for (const char* ask : {"raw", "own, RAW", "raw/2 ,Raw", "x,raw,y"}) {
    Caller c;
    bench.call(c, request("GET", "/chat", "connection: upgrade\r\nupgrade: " + std::string(ask) + "\r\n"), {}, false);
    bench.settle();
    raw.connections.back()->say(std::string(kSwitch));
    bench.settle();
    EXPECT_EQ(c.status, 101) << ask;
    bench.link->cancel(c.id);
    bench.settle();
  }
}

TEST_P(Http1Tunnel, ADrainEndsOurHalfAlsoOfTheOneThatIsGrantedLater) {
  bench.dial();
  Caller c, late;
  open(c);
  bench.call(late, request("GET", "/chat", kAsk), {}, false);
  bench.settle();
  bench.link->drain_tunnels();
  bench.settle();
  EXPECT_TRUE(raw.at(0).ended);
  EXPECT_FALSE(raw.at(1).ended);
  raw.at(1).say(kSwitch);
  bench.settle();
  EXPECT_TRUE(raw.at(1).ended);
  for (auto& x : raw.connections) {
    x->say("goodbye");
    x->stream->shutdown_write();
  }
  bench.settle();
  for (const Caller* x : {&c, &late}) {
    EXPECT_TRUE(x->ended && x->tunnel_over);
    EXPECT_EQ(x->body, "goodbye");
  }
}

TEST_P(Http1Tunnel, InterimRepliesArePassedOnBeforeTheReply) {
  raw.always("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + std::string(kOk));
  bench.dial();
  Caller c;
  bench.call(c, request("GET", "/"));
  bench.settle();
  EXPECT_TRUE(c.ended);
  EXPECT_EQ(c.status, 200);
  EXPECT_EQ(c.interim, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n");
}

TEST_P(Http1Tunnel, InterimRepliesAreBoundedAndSpeakOfNoBody) {
  bench.dial();
  std::string flood;
  for (int i = 0; i < 9; ++i) flood += "HTTP/1.1 103 Early Hints\r\nlink: " + std::string(8000, 'x') + "\r\n\r\n";
  for (const std::string& reply : {flood, std::string("HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\n\r\n"),
                                   std::string("HTTP/1.1 102 Processing\r\ntransfer-encoding: chunked\r\n\r\n")}) {
    raw.always(reply);
    for (auto& x : raw.connections) x->on_text = raw.answer;
    Caller c;
    bench.call(c, request("GET", "/"));
    bench.settle();
    ASSERT_TRUE(c.error) << reply.substr(0, 100);
    EXPECT_EQ(c.error->reason, "bad_reply");
  }
}

TEST_P(Http1Tunnel, WhetherABodyIsWantedIsTheBackendsToSay) {
  bench.dial();
  Caller c;
  const std::string head = request("POST", "/", "expect: 100-continue\r\ncontent-length: 4\r\n");
  bench.call(c, head, {}, false);
  bench.settle();
  EXPECT_EQ(raw.at(0).text, head);
  raw.at(0).say("HTTP/1.1 100 Continue\r\n\r\n");
  bench.settle();
  EXPECT_EQ(c.interim, "HTTP/1.1 100 Continue\r\n\r\n");
  bench.link->body(c.id, "body", true);
  bench.settle();
  EXPECT_EQ(raw.at(0).text, head + "body");
  raw.at(0).say(kOk);
  bench.settle();
  EXPECT_TRUE(c.ended);
}

}  // namespace
}  // namespace colony::backend
