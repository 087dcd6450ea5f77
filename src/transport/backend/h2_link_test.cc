// The link to an h2c server, in simulated time: against our own HTTP/2 server, and against bare frames.
#include "transport/backend/backend_test_support.h"
#include "transport/http/h2_test_client.h"

namespace colony::backend {
namespace {

using http::testing::raw_field;
using http::testing::raw_frame;
using testing::Bench;
using testing::Caller;
using testing::RawBackend;
using testing::request;

struct H2LinkTest : ::testing::Test {
  Bench bench{&connect_h2};
};
struct H2LinkRaw : H2LinkTest {
  H2LinkRaw() : raw(*bench.loop) {
    raw.answer = [this](RawBackend::Connection& c) { on_text(c); };
  }
  // Answers the preface; every HEADERS frame is noted.
  void on_text(RawBackend::Connection& c) {
    constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    std::string& t = c.text;
    if (t.starts_with("PRI")) {
      if (t.size() < kPreface.size()) return;
      t.erase(0, kPreface.size());
      c.say(raw_frame(4, 0, 0, settings));
    }
    while (t.size() >= 9) {
      const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(t[i])); };
      const size_t length = byte(0) << 16 | byte(1) << 8 | byte(2);
      if (t.size() < 9 + length) return;
      const uint32_t stream = (byte(5) & 127) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8);
      const uint32_t type = byte(3), flags = byte(4);
      const std::string payload = t.substr(9, length);
      t.erase(0, 9 + length);
      if (type == 1) streams.push_back(stream);
      if (type <= 1 && (flags & 1) != 0) ends.push_back(type);
      if (type == 3) resets.push_back({stream, static_cast<uint32_t>(static_cast<unsigned char>(payload[3]))});
    }
  }
  static std::string head(uint32_t stream, bool end, std::string_view status = "200", std::string_view more = {}) {
    return raw_frame(1, end ? 5 : 4, stream, raw_field(":status", status) + std::string(more));
  }
  RawBackend raw;
  std::string settings;
  std::vector<uint32_t> streams, ends;  // ends: the type of each frame that ended a request
  std::vector<std::pair<uint32_t, uint32_t>> resets;
};

TEST_F(H2LinkTest, ManyCallsShareOneConnection) {
  bench.serve();
  bench.dial();
  ASSERT_EQ(bench.ready, 1);
  std::vector<std::unique_ptr<Caller>> calls;
  for (int i = 0; i < 100; ++i) {
    calls.push_back(std::make_unique<Caller>());
    bench.call(*calls.back(), request("POST", "/echo/" + std::to_string(i), "X-Mine: 1\r\nte: trailers\r\n"), "hello");
  }
  bench.settle();
  for (const auto& c : calls) {
    ASSERT_TRUE(c->ended) << (c->error ? c->error->message : "no end");
    EXPECT_EQ(c->status, 200);
    EXPECT_EQ(c->body, "hello");
  }
  EXPECT_EQ(bench.server->stats().accepted, 1u);
  EXPECT_NE(bench.service.last().head.find("x-mine: 1\r\n"), std::string::npos);
  EXPECT_NE(bench.service.last().head.find("te: trailers\r\n"), std::string::npos);
  EXPECT_EQ(bench.link->outstanding(), 0u);
}

TEST_F(H2LinkTest, FurtherConnectionsComeWhenStreamsRunOut) {
  bench.serve({.max_streams = 10});
  bench.dial();
  std::vector<std::unique_ptr<Caller>> calls;
  for (int i = 0; i < 35; ++i) {
    calls.push_back(std::make_unique<Caller>());
    bench.call(*calls.back(), request("POST", "/hold"));
  }
  bench.settle();
  EXPECT_EQ(bench.server->stats().accepted, 4u);
  ASSERT_EQ(bench.service.calls.size(), 35u);
  for (auto& c : bench.service.calls) c->release("x");
  bench.settle();
  for (const auto& c : calls) EXPECT_TRUE(c->ended);
}

TEST_F(H2LinkTest, CallsBeyondAllStreamsWaitAndAreServed) {
  bench.serve({.max_streams = 1});
  bench.dial();
  std::vector<std::unique_ptr<Caller>> calls;
  for (int i = 0; i < 20; ++i) {
    calls.push_back(std::make_unique<Caller>());
    bench.call(*calls.back(), request("POST", "/hold"));
  }
  bench.settle();
  EXPECT_EQ(bench.service.calls.size(), 16u);
  for (size_t i = 0; i < bench.service.calls.size(); ++i) {
    bench.service.calls[i]->release("x");
    bench.settle();
  }
  for (const auto& c : calls) EXPECT_TRUE(c->ended);
}

TEST_F(H2LinkTest, BodiesStreamUnderCreditBothWaysAndASlowReaderStopsNobodyElse) {
  bench.serve();
  bench.dial();
  Caller up, slow, down;
  up.to_send = std::string(3'000'000, 'u');
  bench.call(up, request("POST", "/stream"), {}, false);
  up.send();
  slow.eager = false;
  bench.call(slow, request("GET", "/big/2000000"));
  bench.call(down, request("GET", "/chunked/2000000"));
  bench.settle(2s);
  EXPECT_TRUE(up.ended);
  EXPECT_EQ(up.body.size(), 3'000'000u);
  EXPECT_TRUE(down.ended);
  EXPECT_EQ(down.body.size(), 2'000'000u);
  EXPECT_LE(slow.body.size(), 256u * 1024);
  for (size_t said = 0; !slow.ended && said < 2'000'000;) {
    const size_t fresh = slow.body.size() - said;
    said += fresh;
    bench.link->consumed(slow.id, fresh);
    bench.settle();
  }
  EXPECT_TRUE(slow.ended);
}

TEST_F(H2LinkTest, TrailersPassBothWays) {
  bench.serve();
  bench.dial();
  Caller c;
  bench.call(c, request("POST", "/stream"), "part ", false);
  bench.link->body(c.id, "two", false);
  bench.settle();
  EXPECT_EQ(c.body, "part two") << "what is there is not held back";
  bench.link->end(c.id, "X-Sum: 7\r\n");
  bench.settle();
  EXPECT_TRUE(c.ended);
  EXPECT_EQ(c.trailers, "x-sum: 7\r\n");
}

TEST_F(H2LinkTest, TheDeadlineTravelsAsWhatIsLeftOfIt) {
  bench.serve();
  bench.dial();
  Caller c;
  bench.call(c, request("POST", "/echo", "grpc-timeout: 9S\r\n"), {}, true, Deadline::after(bench.loop->now(), 1500ms));
  bench.settle();
  EXPECT_NE(bench.service.last().head.find("grpc-timeout: 1500m\r\n"), std::string::npos) << bench.service.last().head;
}

TEST_F(H2LinkTest, ACancelledCallIsCancelledThere) {
  bench.serve();
  bench.dial();
  Caller a, b;
  bench.call(a, request("POST", "/hold"), "x", false);
  bench.call(b, request("POST", "/hold"), "x", true);
  bench.settle();
  bench.link->cancel(a.id);
  bench.settle();
  EXPECT_TRUE(bench.service.calls[0]->done);
  EXPECT_FALSE(bench.service.calls[0]->ok);
  EXPECT_FALSE(bench.service.calls[1]->done);
  bench.service.calls[1]->release("y");
  bench.settle();
  EXPECT_TRUE(b.ended);
  EXPECT_FALSE(a.over());
}

TEST_F(H2LinkTest, AnEarlyReplyEndsTheCall) {
  bench.serve();
  bench.dial();
  Caller c;
  bench.call(c, request("POST", "/early"), "x", false);
  bench.settle();
  EXPECT_TRUE(c.ended);
  EXPECT_EQ(c.status, 413);
  bench.link->body(c.id, "late", false);
  bench.settle();
  EXPECT_EQ(bench.link->outstanding(), 0u);
}

TEST_F(H2LinkTest, ABrokenReplyFailsTheCallAloneAndADrainedServerIsLeftInPeace) {
  bench.serve();
  bench.dial();
  Caller cut, running, next;
  bench.call(cut, request("POST", "/cut"));
  bench.call(running, request("POST", "/hold"));
  bench.settle();
  ASSERT_TRUE(cut.error);
  EXPECT_EQ(cut.error->retry, Retry::kNo);
  bench.server->drain();
  bench.settle(2s);
  EXPECT_FALSE(running.over());
  bench.service.calls[1]->release("z");
  bench.settle(3s);
  EXPECT_TRUE(running.ended);
  EXPECT_TRUE(bench.closed) << "nobody listens any more";
}

TEST_F(H2LinkRaw, TheBackendMustSpeakHttp2) {
  raw.answer = [](RawBackend::Connection& c) { c.say("HTTP/1.1 400 Bad Request\r\n\r\n"); };
  bench.dial();
  bench.settle(3s);
  ASSERT_TRUE(bench.closed);
  EXPECT_NE(bench.closed->message.find("does not speak HTTP/2"), std::string::npos) << bench.closed->message;
  EXPECT_EQ(bench.ready, 0);
}

TEST_F(H2LinkRaw, ABackendThatOnlyListensIsNotReady) {
  raw.answer = nullptr;
  bench.dial();
  bench.settle(10s);
  EXPECT_TRUE(bench.closed);
  EXPECT_EQ(bench.ready, 0);
}

TEST_F(H2LinkRaw, ATrailersOnlyReplyIsWholeWithItsHead) {
  bench.dial();
  Caller c;
  bench.call(c, request("POST", "/s.S/M", "content-type: application/grpc\r\n"), "x");
  bench.settle();
  ASSERT_EQ(streams.size(), 1u);
  raw.at(0).say(head(streams[0], true, "200", raw_field("grpc-status", "5") + raw_field("grpc-message", "no")));
  bench.settle();
  EXPECT_TRUE(c.ended);
  EXPECT_NE(c.head.find("grpc-status: 5\r\n"), std::string::npos);
}

TEST_F(H2LinkRaw, AGrpcCallWithoutAMessageEndsOnAnEmptyDataFrame) {
  bench.dial();
  Caller grpc, plain;
  bench.call(grpc, request("POST", "/s.S/M", "content-type: application/grpc\r\n"));
  bench.settle();
  bench.call(plain, request("GET", "/"));
  bench.settle();
  EXPECT_EQ(ends, (std::vector<uint32_t>{0, 1}));
}

TEST_F(H2LinkRaw, ResetsAreTold) {
  bench.dial();
  const std::pair<uint32_t, Code> kCases[] = {
      {8, Code::kCancelled}, {11, Code::kResourceExhausted}, {2, Code::kInternal}, {7, Code::kUnavailable}};
  for (const auto& [code, expected] : kCases) {
    Caller c;
    bench.call(c, request("POST", "/"), "x", false);
    bench.settle();
    raw.at(0).say(raw_frame(3, 0, streams.back(), std::string("\0\0\0", 3) + static_cast<char>(code)));
    bench.settle();
    ASSERT_TRUE(c.error) << code;
    EXPECT_EQ(c.error->code, expected) << code;
    EXPECT_EQ(c.error->reason, kReset);
    EXPECT_EQ(c.error->retry, code == 7 ? Retry::kYes : Retry::kNo) << "REFUSED_STREAM alone was not begun";
  }
}

TEST_F(H2LinkRaw, AfterAGoawayWhatTheBackendTookFinishesAndTheRestGoesElsewhere) {
  bench.dial();
  Caller taken, left, next;
  bench.call(taken, request("POST", "/a"));
  bench.call(left, request("POST", "/b"));
  bench.settle();
  ASSERT_EQ(streams.size(), 2u);
  raw.at(0).say(raw_frame(7, 0, 0, std::string("\0\0\0\1\0\0\0\0", 8)));
  bench.settle();
  ASSERT_TRUE(left.error);
  EXPECT_EQ(left.error->retry, Retry::kYes);
  EXPECT_FALSE(taken.over());
  EXPECT_TRUE(bench.link->ready());
  EXPECT_EQ(bench.ready, 2) << "it may be sent here again, on a new connection";
  bench.call(next, request("POST", "/c"));
  bench.settle();
  ASSERT_EQ(raw.connections.size(), 2u);
  raw.at(0).say(head(1, true));
  raw.at(1).say(head(streams.back(), true));
  bench.settle();
  EXPECT_TRUE(taken.ended);
  EXPECT_TRUE(next.ended);
  EXPECT_TRUE(raw.at(0).ended) << "nothing runs there any more";
  EXPECT_FALSE(bench.closed);
}

TEST_F(H2LinkRaw, ABrokenConnectionFailsItsCallsAndEndsTheLink) {
  bench.dial();
  Caller c;
  bench.call(c, request("POST", "/a"));
  bench.settle();
  bench.loop->reset_all({"backend"});
  bench.settle();
  ASSERT_TRUE(c.error);
  EXPECT_EQ(c.error->retry, Retry::kIfFresh);
  EXPECT_TRUE(bench.closed);
}

TEST_F(H2LinkRaw, ABackendThatHasGoneSilentIsFoundOut) {
  bench.dial();
  Caller c;
  bench.call(c, request("POST", "/a"));
  bench.settle();
  raw.at(0).on_text = nullptr;  // answers no ping
  bench.settle(70s);
  ASSERT_TRUE(c.error);
  EXPECT_TRUE(bench.closed);
}

TEST_F(H2LinkRaw, MalformedRepliesFailTheCallAlone) {
  bench.dial();
  const std::string kBad[] = {head(0, true, "2000"), head(0, true, "200", raw_field("x", "a\nb")),
                              raw_frame(1, 5, 0, raw_field("no-status", "1"))};
  for (std::string frame : kBad) {
    Caller c;
    bench.call(c, request("POST", "/"));
    bench.settle();
    frame[8] = static_cast<char>(streams.back());
    raw.connections.back()->say(frame);
    bench.settle();
    ASSERT_TRUE(c.error);
    EXPECT_EQ(c.error->reason, "bad_reply") << c.error->message;
    ASSERT_TRUE(bench.link);
    EXPECT_TRUE(bench.link->ready());
  }
}

// nghttp2 refuses these without showing them; the backend has reset nothing.
TEST_F(H2LinkRaw, WhatOurSideRefusesIsAMalformedReplyAndNoReset) {
  bench.dial();
  const std::string five = raw_field("content-length", "5"), data = raw_frame(0, 1, 0, "four");
  const std::vector<std::string> kBad[] = {{raw_frame(1, 4, 0, raw_field("no-status", "1"))},
                                           {head(0, false, "200", raw_field(":path", "/"))},
                                           {head(0, true, "200", five)},
                                           {head(0, false, "200", five), data},
                                           {head(0, false), head(0, false, "200")},
                                           {head(0, false, "200", raw_field("connection", "close"))}};
  for (const auto& frames : kBad) {
    Caller c;
    bench.call(c, request("POST", "/"), "x", false);
    bench.settle();
    for (std::string frame : frames) {
      frame[8] = static_cast<char>(streams.back());
      raw.connections.back()->say(frame);
    }
    bench.settle();
    const auto which = &frames - &kBad[0];
    ASSERT_TRUE(c.error) << which;
    EXPECT_EQ(c.error->reason, "bad_reply") << which << ": " << c.error->message;
    EXPECT_EQ(c.error->code, Code::kUnavailable) << which;
    EXPECT_EQ(c.error->retry, Retry::kNo) << which;
    ASSERT_TRUE(bench.link && bench.link->ready()) << which;
  }
}

TEST_F(H2LinkRaw, InterimRepliesArePassedOnBoundedAndWithoutABody) {
  bench.dial();
  Caller good, flooded, claims, whole;
  bench.call(good, request("GET", "/"));
  bench.settle();
  raw.at(0).say(head(streams.back(), false, "103", raw_field("link", "x")) + head(streams.back(), true));
  bench.settle();
  EXPECT_TRUE(good.ended);
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.interim, "HTTP/1.1 103 \r\nlink: x\r\n\r\n");
  bench.call(flooded, request("GET", "/"));
  bench.settle();
  for (int i = 0; i < 600; ++i)
    raw.at(0).say(head(streams.back(), false, "103", raw_field("link", std::string(100, 'x'))));
  bench.settle();
  ASSERT_TRUE(flooded.error);
  EXPECT_EQ(flooded.error->reason, "bad_reply");
  bench.call(claims, request("GET", "/"));
  bench.settle();
  raw.at(0).say(head(streams.back(), false, "103", raw_field("content-length", "5")));
  bench.settle();
  ASSERT_TRUE(claims.error);
  bench.call(whole, request("GET", "/"));
  bench.settle();
  raw.at(0).say(head(streams.back(), true, "103"));
  bench.settle();
  ASSERT_TRUE(whole.error);
  EXPECT_TRUE(bench.link->ready());
}

TEST_F(H2LinkRaw, ATunnelIsNotAskedForAndTheRequestIsWholeWithoutIt) {
  bench.dial();
  Caller c;
  bench.call(c, request("GET", "/", "connection: upgrade\r\nupgrade: websocket\r\n"), {}, false);
  bench.settle();
  EXPECT_EQ(ends, std::vector<uint32_t>{1});
}

TEST_F(H2LinkRaw, ACancelReachesTheBackendAsAReset) {
  bench.dial();
  Caller c;
  bench.call(c, request("POST", "/"), "x", false);
  bench.settle();
  bench.link->cancel(c.id);
  bench.settle();
  ASSERT_EQ(resets.size(), 1u);
  EXPECT_EQ(resets[0].second, 8u);
}

}  // namespace
}  // namespace colony::backend
