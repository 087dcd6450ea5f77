// Bounds that honest clients must not meet and others must: budgets that replies earn, header blocks that explode, streams
// whose window is never opened.
#include "transport/http/h2_test_support.h"

namespace colony::http::testing {
namespace {

using H2BoundsTest = H2AbuseTest;

constexpr uint32_t kNotEnded = 0xffffffff;

std::string times(size_t n, std::string_view piece) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += piece;
  return out;
}

TEST_F(H2BoundsTest, AFloodOfWindowUpdatesEndsTheConnection) {
  start();
  send(headers(1, {}, kEndHeaders));
  for (const uint32_t stream : {0u, 1u}) {
    SCOPED_TRACE(stream);
    start();
    send(headers(1, {}, kEndHeaders));
    for (int i = 0; i < 40 && goaway_code() == kNotEnded; ++i) {
      send(times(100, raw_frame(kWindowUpdate, 0, stream, u32(1))));
    }
    expect_ended(kEnhanceYourCalm);
  }
}

TEST_F(H2BoundsTest, AClientThatOpensItsWindowForEveryFrameItGetsIsServed) {
  start();
  service.on_end = [](H2TestService::Seen& s) {
    s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", std::string(100'000, 'x'), More::kNo);
  };
  for (uint32_t i = 0; i < 500; ++i) {
    const uint32_t id = 2 * i + 1;
    send(raw_headers(id, true));
    send(times(7, raw_frame(kWindowUpdate, 0, 0, u32(16'384)) + raw_frame(kWindowUpdate, 0, id, u32(16'384))));
  }
  EXPECT_EQ(goaway_code(), kNotEnded);
  EXPECT_EQ(service.seen.size(), 500u);
  EXPECT_TRUE(service.seen.back()->ok);
}

TEST_F(H2BoundsTest, AClientThatMeasuresItsRoundTripWithEveryReplyIsServed) {
  start();
  for (uint32_t i = 0; i < 5000; ++i) send(raw_headers(2 * i + 1, true) + raw_frame(kPing, 0, 0, "12345678"));
  EXPECT_EQ(goaway_code(), kNotEnded);
  EXPECT_EQ(peer->count(kPing), 5000u);
}

TEST_F(H2BoundsTest, AClientThatCancelsSomeOfManyCallsIsServed) {
  start();
  uint32_t id = 1;
  for (int i = 0; i < 3000; ++i) {
    service.echo();
    send(raw_headers(id, true));
    service.on_end = nullptr;
    send(raw_headers(id + 2, true) + raw_frame(kRst, 0, id + 2, u32(kCancel)));
    id += 4;
  }
  EXPECT_EQ(goaway_code(), kNotEnded);
  EXPECT_EQ(service.seen.size(), 6000u);
}

// One field of 3 KiB goes into the dynamic table, and then one byte each names it again.
std::string bomb(size_t references) {
  const std::string value(3000, 'v');
  std::string field{0x40, 1, 'x'};  // literal, incremental indexing, name "x"
  field +=
      std::string{0x7f, static_cast<char>((3000 - 127) % 128 + 128), (3000 - 127) / 128};  // 3000 as HPACK writes it
  return field + value + std::string(references, static_cast<char>(0x80 | 62));
}

TEST_F(H2BoundsTest, AHeaderBlockThatExplodesEndsTheConnection) {
  start();
  send(headers(1, bomb(10'000)));
  EXPECT_TRUE(service.seen.empty());
  expect_ended(kEnhanceYourCalm);
}

// Of a block that is refused already nothing is unpacked any more.
TEST_F(H2BoundsTest, ABlockThatExplodesAfterABadFieldResetsItsStream) {
  start();
  send(headers(1, raw_field("connection", "close") + bomb(10'000)));
  EXPECT_EQ(reset_code(1), kProtocolError);
  EXPECT_EQ(goaway_code(), kNotEnded);
  send(raw_headers(3, true));
  EXPECT_EQ(service.seen.size(), 1u);
}

TEST_F(H2BoundsTest, ABlockThatIsOnlyTooLargeIsAnswered) {
  start();
  send(headers(1, bomb(30)));  // 93,000 bytes
  EXPECT_EQ(goaway_code(), kNotEnded);
  ASSERT_NE(peer->first(kData), nullptr);
  EXPECT_NE(peer->first(kData)->payload.find("64 KiB"), std::string::npos);
  send(raw_headers(3, true));
  EXPECT_EQ(service.seen.size(), 1u);
}

TEST_F(H2BoundsTest, TrailersThatExplodeEndTheConnection) {
  start();
  send(headers(1, {}, kEndHeaders) + raw_frame(kHeaders, kEndHeaders | kEndStream, 1, bomb(10'000)));
  expect_ended(kEnhanceYourCalm);
  ASSERT_FALSE(service.seen.empty());
}

TEST_F(H2BoundsTest, AStreamWhoseWindowStaysShutIsGivenUpAndTheOthersAreServed) {
  start({.idle_timeout = 100s, .send_timeout = 30s});
  service.on_end = [](H2TestService::Seen& s) {
    s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", s.path == "/" ? std::string(200'000, 'x') : "small", More::kNo);
  };
  send(raw_frame(kSettings, 0, 0, std::string("\0\4", 2) + u32(0)));  // no window for new streams
  send(raw_headers(1, true));
  for (uint32_t id = 3; id < 20; id += 2) {
    send(raw_headers(id, true) + raw_frame(kWindowUpdate, 0, id, u32(200'000)) +
         raw_frame(kWindowUpdate, 0, 0, u32(200'000)));
    EXPECT_EQ(service.seen.back()->done_calls, 1);
    loop->run_for(2s);
  }
  EXPECT_EQ(service.seen[0]->done_calls, 0);
  loop->run_for(60s);
  EXPECT_EQ(reset_code(1), kCancel);
  EXPECT_EQ(service.seen[0]->done_calls, 1);
  EXPECT_FALSE(service.seen[0]->ok);
  EXPECT_EQ(goaway_code(), kNotEnded);
}

TEST_F(H2BoundsTest, AStreamWhoseWindowOpensSlowlyIsNotGivenUp) {
  start({.idle_timeout = 30s, .send_rate = 0});
  service.on_end = [](H2TestService::Seen& s) {
    s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", std::string(100, 'x'), More::kNo);
  };
  send(raw_frame(kSettings, 0, 0, std::string("\0\4", 2) + u32(0)) + raw_headers(1, true));
  for (int i = 0; i < 100; ++i) {
    loop->run_for(20s);
    send(raw_frame(kWindowUpdate, 0, 1, u32(1)));
  }
  EXPECT_EQ(reset_code(1), kNotEnded);
  EXPECT_TRUE(service.seen[0]->ok);
}

TEST_F(H2BoundsTest, AReplyThatPausesIsNotTakenForOneThatIsStuck) {
  start({.idle_timeout = 30s, .send_timeout = 30s});
  service.on_end = [](H2TestService::Seen& s) { s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "x", More::kYes); };
  send(raw_headers(1, true) + raw_frame(kSettings, 0, 0, std::string("\0\4", 2) + u32(0)) +
       raw_frame(kWindowUpdate, 0, 1, u32(1000)) + raw_headers(3, true));
  for (int i = 0; i < 10; ++i) {
    loop->run_for(29'900ms);
    service.seen[0]->exchange->body("y", More::kYes);
    loop->run_for(200ms);
  }
  EXPECT_EQ(reset_code(1), kNotEnded);
  EXPECT_EQ(service.seen[0]->done_calls, 0);
}

TEST_F(H2BoundsTest, OnlySoManyAnsweredRequestsMayGoOn) {
  start();
  service.on_request_fn = [](H2TestService::Seen& s) {
    s.exchange->reply("HTTP/1.1 403 Forbidden\r\n\r\n", "no", More::kNo);
  };
  for (uint32_t i = 0; i < 64; ++i) send(raw_headers(2 * i + 1, false, "POST"));
  EXPECT_EQ(peer->count(kRst), 0u);
  send(raw_headers(129, false, "POST"));
  EXPECT_EQ(reset_code(1), 0u);
  EXPECT_EQ(peer->count(kRst), 1u);
  send(raw_frame(kRst, 0, 3, u32(kCancel)) + raw_frame(kData, kEndStream, 5, "x"));  // two have ended
  send(raw_headers(131, false, "POST") + raw_headers(133, false, "POST"));
  EXPECT_EQ(peer->count(kRst), 1u);
  loop->run_for(2s);
  EXPECT_EQ(peer->count(kRst), 65u);
  EXPECT_EQ(reset_code(3), kNotEnded);
  EXPECT_EQ(reset_code(5), kNotEnded);
  EXPECT_EQ(goaway_code(), kNotEnded);
}

}  // namespace
}  // namespace colony::http::testing
