// The limits of docs/limits.md over HTTP/2: sizes and times, each answered on its stream where that is possible.
#include "transport/http/h2_test_support.h"

namespace colony::http::testing {
namespace {

constexpr uint32_t kNotEnded = 0xffffffff;

class H2LimitsTest : public H2AbuseTest {
 protected:
  // The last reply was a refusal with this limit's name, and the connection goes on.
  void expect_refused(std::string_view reason, Limit limit, uint64_t hits = 1) {
    const RawFrame* data = nullptr;
    for (const RawFrame& f : peer->frames)
      if (f.type == kData) data = &f;
    ASSERT_NE(data, nullptr) << reason;
    EXPECT_NE(data->payload.find("\"reason\":\"" + std::string(reason) + "\""), std::string::npos) << data->payload;
    EXPECT_EQ(data->flags, kEndStream);
    EXPECT_EQ(server->stats.hits[static_cast<size_t>(limit)], hits);
    EXPECT_EQ(goaway_code(), kNotEnded);
    EXPECT_EQ(server->stats.open_requests, 0u);
  }
  std::string with_path(uint32_t id, std::string_view path) { return raw_headers(id, true, "GET", path); }
};

TEST_F(H2LimitsTest, LongTargetsAre414) {
  start({.max_url = 100});
  send(with_path(1, "/" + std::string(100, 'u')));
  expect_refused("url_bytes", Limit::kUrl);
  send(with_path(3, "/" + std::string(99, 'u')));
  EXPECT_EQ(service.seen.size(), 1u);
}

TEST_F(H2LimitsTest, HeadsOfTooManyFieldsOrBytesAre431) {
  start({.max_head_bytes = 2000, .max_head_fields = 20});
  std::string fields;
  for (int i = 0; i < 20; ++i) fields += raw_field("x-" + std::to_string(i), "v");
  send(headers(1, fields));
  expect_refused("head_fields", Limit::kHeadFields);
  send(headers(3, raw_field("x", std::string(2000, 'v'))));
  expect_refused("head_bytes", Limit::kHeadBytes);
  EXPECT_TRUE(service.seen.empty());
  send(headers(5, raw_field("x", std::string(1500, 'v'))));
  EXPECT_EQ(service.seen.size(), 1u);
}

TEST_F(H2LimitsTest, FieldsThatAProxyAddsDoNotCount) {
  start();
  std::string fields, added;
  for (size_t i = 0; i < kMaxFields - 1; ++i) fields += raw_field("x-" + std::to_string(i), "v");
  for (const char* name : {"x-forwarded-for", "x-forwarded-host", "x-request-id", "traceparent", "forwarded"})
    added += raw_field(name, "v");
  send(headers(1, fields + added));
  EXPECT_EQ(service.seen.size(), 1u);
  send(headers(3, fields + raw_field("one", "more") + added));
  expect_refused("head_fields", Limit::kHeadFields);
}

TEST_F(H2LimitsTest, ABodyThatSaysThatItIsTooLargeIs413) {
  start({.max_body = 1000});
  send(headers(1, raw_field("content-length", "1001"), kEndHeaders));
  expect_refused("body_bytes", Limit::kBody);
  EXPECT_TRUE(service.seen.empty());
  send(raw_frame(kData, 0, 1, std::string(500, 'x')));
  loop->run_for(1s);
  EXPECT_EQ(reset_code(1), 0u) << "the rest is not wanted";
  EXPECT_EQ(goaway_code(), kNotEnded);
}

TEST_F(H2LimitsTest, ABodyThatBecomesTooLargeIs413AndItsWorkIsCancelled) {
  start({.max_body = 1000});
  send(headers(1, {}, kEndHeaders) + raw_frame(kData, 0, 1, std::string(1000, 'x')));
  ASSERT_EQ(service.seen.size(), 1u);
  EXPECT_EQ(service.seen[0]->done_calls, 0);
  send(raw_frame(kData, 0, 1, "x"));
  expect_refused("body_bytes", Limit::kBody);
  EXPECT_EQ(service.seen[0]->done_calls, 1);
  EXPECT_FALSE(service.seen[0]->ok);
  EXPECT_EQ(service.seen[0]->body.size(), 1000u);
}

TEST_F(H2LimitsTest, ABodyThatBecomesTooLargeAfterItsReplyHasBegunResetsTheStream) {
  start({.max_body = 1000});
  service.on_request_fn = [](H2TestService::Seen& s) {
    s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "begun", More::kYes);
  };
  send(headers(1, {}, kEndHeaders) + raw_frame(kData, 0, 1, std::string(1001, 'x')));
  EXPECT_EQ(reset_code(1), kCancel);
  EXPECT_EQ(service.seen[0]->done_calls, 1);
  EXPECT_FALSE(service.seen[0]->ok);
  EXPECT_EQ(goaway_code(), kNotEnded);
}

TEST_F(H2LimitsTest, AHeadThatIsNotWholeInTimeIsCounted) {
  start({.head_timeout = 5s});
  send(raw_headers(1, true).substr(0, 20));
  loop->run_for(4s);
  EXPECT_EQ(goaway_code(), kNotEnded);
  loop->run_for(2s);
  EXPECT_EQ(server->stats.hits[static_cast<size_t>(Limit::kHeadTime)], 1u);
  expect_ended(kEnhanceYourCalm);
}

TEST_F(H2LimitsTest, ABodyThatDoesNotComeIs408) {
  start({.body_timeout = 10s, .body_rate = 100});
  send(headers(1, {}, kEndHeaders) + headers(3, {}, kEndHeaders));
  // 2000 bytes earn 20 s more.
  send(raw_frame(kData, 0, 3, std::string(2000, 'x')));
  loop->run_for(9s);
  EXPECT_EQ(peer->count(kHeaders), 0u);
  loop->run_for(2s);
  EXPECT_EQ(peer->count(kHeaders), 1u);
  EXPECT_EQ(service.seen[0]->done_calls, 1);
  EXPECT_FALSE(service.seen[0]->ok);
  EXPECT_EQ(service.seen[1]->done_calls, 0);
  loop->run_for(18s);
  EXPECT_EQ(service.seen[1]->done_calls, 0);
  loop->run_for(2s);
  EXPECT_EQ(service.seen[1]->done_calls, 1);
  expect_refused("body_time_s", Limit::kBodyTime, 2);
}

TEST_F(H2LimitsTest, ABodyThatKeepsUpIsNotRefused) {
  start({.body_timeout = 10s, .body_rate = 100});
  send(headers(1, {}, kEndHeaders));
  for (int i = 0; i < 60; ++i) {
    send(raw_frame(kData, 0, 1, std::string(110, 'x')));
    loop->run_for(1s);
  }
  EXPECT_EQ(service.seen[0]->done_calls, 0);
  send(raw_frame(kData, kEndStream, 1, {}));
  EXPECT_TRUE(service.seen[0]->ok);
}

TEST_F(H2LimitsTest, ABodyThatIsHeldBackCostsItsClientNoTime) {
  start({.body_timeout = 10s, .body_rate = 1000, .body_window = 4000});
  service.consume = false;
  send(raw_frame(kSettings, kAck, 0, {}) + headers(1, {}, kEndHeaders) +
       raw_frame(kData, 0, 1, std::string(4000, 'x')));
  loop->run_for(60s);
  EXPECT_EQ(service.seen[0]->done_calls, 0);
  service.seen[0]->exchange->consumed(4000);
  loop->run_for(8s);
  EXPECT_EQ(service.seen[0]->done_calls, 0);
  loop->run_for(10s);
  EXPECT_EQ(service.seen[0]->done_calls, 1) << "its turn again";
  service.consume = true;
}

TEST_F(H2LimitsTest, ABodyThatWasNotAskedForCostsNoTime) {
  start({.relay_continue = true, .body_timeout = 10s, .body_rate = 100});
  send(headers(1, raw_field("expect", "100-continue"), kEndHeaders));
  loop->run_for(60s);
  EXPECT_EQ(peer->count(kHeaders), 0u) << "the Service decides";
  EXPECT_EQ(service.seen[0]->done_calls, 0);
  service.seen[0]->exchange->reply("HTTP/1.1 100 Continue\r\n\r\n", {}, More::kYes);
  loop->run_for(9s);
  EXPECT_EQ(peer->count(kHeaders), 1u);
  EXPECT_EQ(service.seen[0]->done_calls, 0);
  loop->run_for(2s);
  EXPECT_EQ(service.seen[0]->done_calls, 1);
}

TEST_F(H2LimitsTest, AStreamThatTakesTooLittleOfItsReplyIsReset) {
  start({.send_timeout = 20s, .send_rate = 100});
  service.on_end = [](H2TestService::Seen& s) {
    s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", std::string(100'000, 'x'), More::kNo);
  };
  send(raw_frame(kSettings, 0, 0, std::string("\0\4", 2) + u32(0)) + raw_headers(1, true) + raw_headers(3, true));
  for (int i = 0; i < 41; ++i) {
    send(raw_frame(kWindowUpdate, 0, 1, u32(150)) + raw_frame(kWindowUpdate, 0, 3, u32(50)));
    loop->run_for(1s);
  }
  EXPECT_EQ(reset_code(1), kNotEnded);
  EXPECT_EQ(reset_code(3), kCancel);
  EXPECT_EQ(service.seen[1]->done_calls, 1);
  EXPECT_EQ(server->stats.hits[static_cast<size_t>(Limit::kSendTime)], 1u);
  EXPECT_EQ(goaway_code(), kNotEnded);
}

TEST_F(H2LimitsTest, AClientThatReadsTooLittleIsCutOff) {
  start({.idle_timeout = 1000s, .send_timeout = 20s, .send_rate = 100});
  service.on_end = [](H2TestService::Seen& s) {
    s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", std::string(4 << 20, 'x'), More::kNo);
  };
  peer->pause();
  send(raw_frame(kSettings, 0, 0, std::string("\0\4", 2) + u32(0x7fffffff)) +
       raw_frame(kWindowUpdate, 0, 0, u32(0x7fff0000)) + raw_headers(1, true));
  loop->run_for(19s);
  EXPECT_EQ(server->connections(), 1u);
  loop->run_for(5s);
  EXPECT_EQ(server->connections(), 0u);
  EXPECT_EQ(server->stats.hits[static_cast<size_t>(Limit::kSendTime)], 1u);
  EXPECT_EQ(service.seen[0]->done_calls, 1);
}

}  // namespace
}  // namespace colony::http::testing
