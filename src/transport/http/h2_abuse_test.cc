// What clients of HTTP/2 do wrong, by mistake or on purpose, frame by frame: every case ends its stream or its connection
// with the right code, costs a bounded amount, and leaves the server serving.
#include "transport/http/h2_test_support.h"

namespace colony::http::testing {
namespace {

TEST_F(H2AbuseTest, RapidResetEndsTheConnection) {
  start();
  service.on_end = nullptr;
  for (uint32_t i = 0; i < 2000 && goaway_code() == 0xffffffff; ++i) {
    send(raw_headers(2 * i + 1, true) + raw_frame(kRst, 0, 2 * i + 1, u32(kCancel)));
  }
  EXPECT_LE(service.seen.size(), 501u);
  expect_ended(kEnhanceYourCalm);
}

TEST_F(H2AbuseTest, RapidResetInOneReadIsStoppedInsideIt) {
  start();
  service.on_end = nullptr;
  std::string all;
  for (uint32_t i = 0; i < 3000; ++i) all += raw_headers(2 * i + 1, true) + raw_frame(kRst, 0, 2 * i + 1, u32(kCancel));
  send(all);
  EXPECT_LE(service.seen.size(), 501u);
  expect_ended(kEnhanceYourCalm);
}

TEST_F(H2AbuseTest, MakingUsResetStreamsCountsToo) {
  start();
  service.on_end = nullptr;
  for (uint32_t i = 0; i < 2000 && goaway_code() == 0xffffffff; ++i) {
    send(headers(2 * i + 1, raw_field("content-length", "5"), kEndHeaders) +
         raw_frame(kData, kEndStream, 2 * i + 1, "four"));
  }
  EXPECT_LE(service.seen.size(), 501u);
  expect_ended(kEnhanceYourCalm);
}

TEST_F(H2AbuseTest, ClientsThatCancelNowAndThenAreNotPunished) {
  start();
  service.on_end = nullptr;
  for (uint32_t i = 0; i < 3000; ++i) {
    send(raw_headers(2 * i + 1, true) + raw_frame(kRst, 0, 2 * i + 1, u32(kCancel)));
    loop->run_for(20ms);
  }
  EXPECT_EQ(goaway_code(), 0xffffffff);
  EXPECT_EQ(service.seen.size(), 3000u);
}

TEST_F(H2AbuseTest, FloodsOfControlFramesEndTheConnection) {
  const std::string ping = raw_frame(kPing, 0, 0, "12345678"), settings = raw_frame(kSettings, 0, 0, {}),
                    priority = raw_frame(kPriority, 0, 1, u32(0) + "\x10");
  for (const std::string& frame : {ping, settings, priority}) {
    start();
    for (int i = 0; i < 40 && goaway_code() == 0xffffffff; ++i) {
      std::string many;
      for (int k = 0; k < 100; ++k) many += frame;
      send(many);
    }
    SCOPED_TRACE(static_cast<int>(frame[3]));
    expect_ended(kEnhanceYourCalm);
  }
}

TEST_F(H2AbuseTest, APeerThatDoesNotReadItsPingAnswersIsCutOff) {
  start();
  peer->pause();
  for (int i = 0; i < 400; ++i) {
    std::string many;
    for (int k = 0; k < 100; ++k) many += raw_frame(kPing, 0, 0, "12345678");
    send(many);
  }
  loop->run_for(5s);
  EXPECT_EQ(server->connections(), 0u);
  expect_serving();
}

TEST_F(H2AbuseTest, EmptyDataFramesAreBounded) {
  start();
  send(headers(1, {}, kEndHeaders));
  std::string many;
  for (int k = 0; k < 5000; ++k) many += raw_frame(kData, 0, 1, {});
  send(many);
  expect_ended(kEnhanceYourCalm);
}

TEST_F(H2AbuseTest, AHeaderBlockInTooManyFramesEndsTheConnection) {
  start();
  send(headers(1, {}, kEndStream));
  for (int i = 0; i < 40 && !peer->closed; ++i) send(raw_frame(kContinuation, 0, 1, raw_field("x", "y")));
  EXPECT_TRUE(service.seen.empty());
  loop->run_for(2s);
  EXPECT_EQ(server->connections(), 0u);
  EXPECT_NE(goaway_code(), 0xffffffff);
  expect_serving();
}

TEST_F(H2AbuseTest, AHeaderListOverTheLimitIs431) {
  start();
  std::string fields;
  for (int i = 0; i < 5; ++i) fields += raw_field("x-large", std::string(15'000, 'v'));
  std::string block = raw_field(":method", "GET") + raw_field(":scheme", "http") + raw_field(":path", "/") +
                      raw_field(":authority", "a") + fields;
  std::string bytes = raw_frame(kHeaders, kEndStream, 1, block.substr(0, 16'000));
  for (size_t at = 16'000; at < block.size(); at += 16'000) {
    bytes += raw_frame(kContinuation, at + 16'000 >= block.size() ? kEndHeaders : 0, 1, block.substr(at, 16'000));
  }
  send(bytes);
  EXPECT_TRUE(service.seen.empty());
  ASSERT_NE(peer->first(kData), nullptr);
  EXPECT_NE(peer->first(kData)->payload.find("64 KiB"), std::string::npos);
  EXPECT_EQ(server->stats.bad_requests, 1u);
  expect_serving();
}

TEST_F(H2AbuseTest, TooManyFieldsAre431AndTheConnectionGoesOn) {
  start();
  std::string fields;
  for (int i = 0; i < 120; ++i) fields += raw_field("x-" + std::to_string(i), "v");
  send(headers(1, fields));
  send(raw_headers(3, true));
  EXPECT_EQ(service.seen.size(), 1u);
  EXPECT_EQ(goaway_code(), 0xffffffff);
}

TEST_F(H2AbuseTest, AHeadThatTakesTooLongEndsTheConnection) {
  start({.head_timeout = 5s});
  send(headers(1, {}, kEndStream));
  loop->run_for(4s);
  EXPECT_EQ(goaway_code(), 0xffffffff);
  loop->run_for(2s);
  expect_ended(kEnhanceYourCalm);
}

TEST_F(H2AbuseTest, AMalformedHeadLeavesNoTimerBehind) {
  start({.head_timeout = 5s});
  send(headers(1, raw_field("connection", "close")));
  EXPECT_EQ(reset_code(1), kProtocolError);
  loop->run_for(20s);
  EXPECT_EQ(goaway_code(), 0xffffffff);
}

TEST_F(H2AbuseTest, AConnectionWithoutGreetingIsEnded) {
  start({.head_timeout = 5s}, false);
  send(kHttp2Preface);
  loop->run_for(6s);
  expect_ended(kEnhanceYourCalm);
}

TEST_F(H2AbuseTest, AWrongPrefaceIsAConnectionError) {
  start({}, false);
  send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
  expect_ended(kProtocolError);
}

TEST_F(H2AbuseTest, FieldsThatTheVersionForbidsResetTheStream) {
  const std::string bad[] = {
      raw_field("connection", "keep-alive"),
      raw_field("keep-alive", "1"),
      raw_field("proxy-connection", "x"),
      raw_field("transfer-encoding", "chunked"),
      raw_field("upgrade", "websocket"),
      raw_field("te", "gzip"),
      raw_field("Upper", "x"),
      raw_field("x y", "z"),
      raw_field("x", "a\r\nb: c"),
      raw_field("x", std::string("a\0b", 3)),
      raw_field(":path", "/again"),
      raw_field(":unknown", "x"),
      raw_field("content-length", "-1"),
      raw_field("content-length", "5") + raw_field("content-length", "6"),
      raw_field("", "x"),
      raw_field("x", "a\x7f"),
  };
  start();
  uint32_t id = 1;
  for (const std::string& field : bad) {
    send(headers(id, field));
    EXPECT_EQ(reset_code(id), kProtocolError) << "field " << field.substr(1);
    id += 2;
  }
  EXPECT_TRUE(service.seen.empty());
  send(raw_headers(id, true));
  EXPECT_EQ(service.seen.size(), 1u);
}

TEST_F(H2AbuseTest, PseudoFieldsMustBeThereAndFirst) {
  const auto block = [](uint32_t id, const std::string& fields) {
    return raw_frame(kHeaders, kEndHeaders | kEndStream, id, fields);
  };
  const std::string method = raw_field(":method", "GET"), scheme = raw_field(":scheme", "http"),
                    path = raw_field(":path", "/"), authority = raw_field(":authority", "a");
  start();
  send(block(1, scheme + path + authority));
  send(block(3, method + path + authority));
  send(block(5, method + scheme + authority));
  send(block(7, method + scheme + path + raw_field("x", "y") + authority));
  send(block(9, method + scheme + path));  // neither :authority nor host
  send(block(11, method + scheme + raw_field(":path", "") + authority));
  for (uint32_t id = 1; id <= 11; id += 2) EXPECT_EQ(reset_code(id), kProtocolError) << id;
  EXPECT_TRUE(service.seen.empty());
}

TEST_F(H2AbuseTest, TwoNamesForTheHostAreRefusedAndOneIsEnough) {
  start();
  send(headers(1, raw_field("host", "other.example")));
  EXPECT_TRUE(service.seen.empty());
  ASSERT_NE(peer->first(kData), nullptr);
  EXPECT_NE(peer->first(kData)->payload.find("host differs"), std::string::npos);
  send(headers(3, raw_field("host", "test.example")));
  send(raw_frame(kHeaders, kEndHeaders | kEndStream, 5,
                 raw_field(":method", "GET") + raw_field(":scheme", "http") + raw_field(":path", "/") +
                     raw_field("host", "only.example")));
  ASSERT_EQ(service.seen.size(), 2u);
  EXPECT_EQ(service.seen[0]->head.find("host:"), service.seen[0]->head.rfind("host:"));
  EXPECT_EQ(service.seen[1]->authority, "only.example");
}

TEST_F(H2AbuseTest, ConnectIsNotServed) {
  start();
  send(raw_frame(kHeaders, kEndHeaders, 1, raw_field(":method", "CONNECT") + raw_field(":authority", "a:443")));
  EXPECT_TRUE(service.seen.empty());
  ASSERT_NE(peer->first(kData), nullptr);
  EXPECT_NE(peer->first(kData)->payload.find("CONNECT"), std::string::npos);
  expect_serving();
}

TEST_F(H2AbuseTest, ABodyThatIsNotAsLongAsItSaysResetsItsStream) {
  start();
  send(headers(1, raw_field("content-length", "5"), kEndHeaders) + raw_frame(kData, kEndStream, 1, "four"));
  send(headers(3, raw_field("content-length", "5"), kEndHeaders) + raw_frame(kData, 0, 3, "sixsix"));
  send(headers(5, raw_field("content-length", "5")));
  for (uint32_t id = 1; id <= 5; id += 2) EXPECT_EQ(reset_code(id), kProtocolError) << id;
  for (const auto& s : service.seen) {
    EXPECT_EQ(s->done_calls, 1);
    EXPECT_FALSE(s->ended);
    EXPECT_FALSE(s->ok);
  }
}

TEST_F(H2AbuseTest, ASkippedIdCannotBeUsedLater) {
  start();
  send(raw_headers(1, true) + raw_headers(7, true));
  EXPECT_EQ(goaway_code(), 0xffffffff);
  send(raw_headers(3, true));
  expect_ended(kProtocolError);
}

TEST_F(H2AbuseTest, FramesOnStreamsThatTheClientEndedAreErrors) {
  start();
  send(raw_headers(1, true));
  send(raw_frame(kData, 0, 1, "late"));
  expect_ended(kStreamClosed);
  start();
  send(raw_headers(1, true));
  send(raw_headers(1, true));
  expect_ended(kStreamClosed);
}

TEST_F(H2AbuseTest, FramesOnTheirWayToAStreamThatWeResetAreDropped) {
  start();
  service.on_request_fn = [](H2TestService::Seen& s) { s.exchange->reply("HTTP/1.1 403 No\r\n\r\n", {}, More::kNo); };
  send(headers(1, {}, kEndHeaders));
  loop->run_for(1s);
  EXPECT_EQ(reset_code(1), 0u);
  send(raw_frame(kData, 0, 1, std::string(10'000, 'x')) + raw_frame(kData, kEndStream, 1, "y"));
  send(headers(3, {}, kEndHeaders));
  loop->run_for(1s);
  send(raw_frame(kData, 0, 3, "part") + raw_frame(kHeaders, kEndHeaders | kEndStream, 3, raw_field("x-late", "1")));
  EXPECT_EQ(goaway_code(), 0xffffffff);
  EXPECT_EQ(service.seen.size(), 2u);
}

TEST_F(H2AbuseTest, TooManyStreamsAtOnceAreRefused) {
  start({.max_streams = 10});
  service.on_end = nullptr;
  std::string all;
  for (uint32_t i = 0; i < 50; ++i) all += raw_headers(2 * i + 1, true);
  send(all);  // our SETTINGS are not acknowledged: refused one by one
  EXPECT_EQ(service.seen.size(), 10u);
  EXPECT_EQ(peer->count(kRst), 40u);
  EXPECT_EQ(goaway_code(), 0xffffffff);
}

TEST_F(H2AbuseTest, RefusedStreamsAreBoundedToo) {
  start({.max_streams = 1});
  service.on_end = nullptr;
  for (uint32_t i = 0; i < 3000 && goaway_code() == 0xffffffff; ++i) send(raw_headers(2 * i + 1, true));
  EXPECT_EQ(service.seen.size(), 1u);
  expect_ended(kEnhanceYourCalm);
}

TEST_F(H2AbuseTest, WindowsOverflowingAndOverrunAreErrors) {
  start({.body_window = 20'000});
  service.consume = false;
  send(raw_frame(kWindowUpdate, 0, 0, u32(0x7fffffff)));
  expect_ended(3);  // FLOW_CONTROL_ERROR
  service.consume = false;
  start({.body_window = 20'000});
  service.consume = false;
  send(raw_frame(kSettings, kAck, 0, {}) + headers(1, {}, kEndHeaders) +
       raw_frame(kData, 0, 1, std::string(16'000, 'x')) + raw_frame(kData, 0, 1, std::string(16'000, 'x')));
  EXPECT_EQ(reset_code(1), 3u);
  EXPECT_EQ(service.seen.back()->done_calls, 1);
  expect_serving();
}

TEST_F(H2AbuseTest, AClientThatNeverReadsItsReplyIsCutOffAfterAWhile) {
  start({.idle_timeout = 30s});
  service.on_end = [](H2TestService::Seen& s) {
    s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", std::string(4 << 20, 'x'), More::kNo);
  };
  peer->pause();
  send(raw_frame(kSettings, 0, 0, std::string("\0\4", 2) + u32(0x7fffffff)) +
       raw_frame(kWindowUpdate, 0, 0, u32(0x7fff0000)) + raw_headers(1, true));
  loop->run_for(29s);
  EXPECT_EQ(server->connections(), 1u);
  loop->run_for(35s);
  EXPECT_EQ(server->connections(), 0u);
  EXPECT_EQ(service.seen[0]->done_calls, 1);
}

TEST_F(H2AbuseTest, RandomBytesAfterTheGreetingNeverHarm) {
  Rng rng(99);
  for (int round = 0; round < 200; ++round) {
    start();
    std::string bytes;
    for (int i = 0; i < 20; ++i) {
      std::string payload(rng.below(60), '\0');
      for (char& c : payload) c = static_cast<char>(rng.next());
      bytes += rng.below(3) == 0 ? raw_headers(static_cast<uint32_t>(2 * i + 1), rng.below(2) == 0)
                                 : raw_frame(static_cast<uint8_t>(rng.below(11)), static_cast<uint8_t>(rng.below(64)),
                                             static_cast<uint32_t>(rng.below(20)), payload);
    }
    send(bytes);
    peer->close();
    loop->run_for(3s);
    EXPECT_EQ(server->connections(), 0u) << "round " << round;
    for (const auto& s : service.seen) EXPECT_EQ(s->done_calls, 1);
    service.seen.clear();
    server.reset();
  }
}

}  // namespace
}  // namespace colony::http::testing
