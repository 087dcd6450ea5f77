// Each limit of an HTTP/1.1 connection: what it answers, that it is counted, and what just fits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transport/http/h1_test_support.h"

namespace colony::http {
namespace {

using testing::Bench;
using ::testing::HasSubstr;
using testing::RawPeer;
using testing::take_reply;

uint64_t hits(const Bench& b, Limit limit) { return b.stats.hits[static_cast<size_t>(limit)]; }

void expect_refused(Bench& b, std::string_view text, int status, Limit limit) {
  const uint64_t before = hits(b, limit);
  std::string answer = b.talk(text);
  const auto r = take_reply(answer, true);
  EXPECT_EQ(r.status, status);
  EXPECT_THAT(r.body, HasSubstr("\"reason\":\"" + std::string(limit_name(limit)) + "\""));
  EXPECT_TRUE(b.ended);
  EXPECT_EQ(hits(b, limit), before + 1);
}

std::string get(std::string_view target, std::string_view lines = {}) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n" + std::string(lines) + "\r\n";
}

TEST(H1Limits, size_of_a_head) {
  Bench b(0, {.max_head_bytes = 1000, .max_head_fields = 5, .max_url = 100});
  EXPECT_THAT(b.talk(get("/echo/" + std::string(94, 'x'), "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\n")), HasSubstr(" 200 OK"));
  EXPECT_THAT(b.talk(get("/echo", "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nX-Forwarded-For: 1\r\nX-Request-Id: 1\r\n")),
              HasSubstr(" 200 OK"));
  expect_refused(b, get("/echo/" + std::string(95, 'x')), 414, Limit::kUrl);
  expect_refused(b, "GET /" + std::string(1000, 'x'), 414, Limit::kUrl);
  expect_refused(b, get("/echo", "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n"), 431, Limit::kHeadFields);
  expect_refused(b, get("/echo", "A: " + std::string(970, 'x') + "\r\n"), 431, Limit::kHeadBytes);
  expect_refused(b, "GET /echo HTTP/1.1\r\nA: " + std::string(980, 'x'), 431, Limit::kHeadBytes);
  expect_refused(b, get("/echo", "A: " + std::string(70000, 'x') + "\r\n"), 431, Limit::kHeadBytes);
  EXPECT_TRUE(b.service.calls.size() == 2) << "what is refused reaches nobody";
}

TEST(H1Limits, size_of_a_body) {
  for (const size_t cut : {0, 3}) {
    Bench b(cut, {.max_body = 10});
    const std::string post = "POST /stream HTTP/1.1\r\nHost: a\r\n", chunked = "Transfer-Encoding: chunked\r\n\r\n";
    EXPECT_THAT(b.talk(post + "Content-Length: 10\r\n\r\n0123456789"), HasSubstr(" 200 OK"));
    EXPECT_THAT(b.talk(post + chunked + "5\r\n01234\r\n5\r\n01234\r\n0\r\n\r\n"), HasSubstr("0\r\n\r\n"));
    expect_refused(b, post + "Content-Length: 11\r\n\r\n", 413, Limit::kBody);
    expect_refused(b, "POST /hold HTTP/1.1\r\nHost: a\r\n" + chunked + "5\r\n01234\r\n6\r\n012345\r\n", 413,
                   Limit::kBody);
    EXPECT_TRUE(b.service.last().done && !b.service.last().ok);
  }
}

TEST(H1Limits, time_of_a_head_and_of_silence) {
  Bench b(0, {.idle_timeout = 20s, .head_timeout = 5s});
  RawPeer idle(*b.loop, {"server"}), slow(*b.loop, {"server"});
  for (int i = 0; i < 4; ++i) {
    slow.send("X");
    b.pass(1s);
  }
  EXPECT_EQ(slow.text, "");
  b.pass(2s);
  EXPECT_EQ(take_reply(slow.text, true).status, 408);
  EXPECT_EQ(hits(b, Limit::kHeadTime), 1u);
  b.pass(20s);
  EXPECT_TRUE(idle.ended || idle.closed);
  EXPECT_EQ(hits(b, Limit::kIdle), 1u);
}

TEST(H1Limits, a_body_must_keep_up_with_the_rate_after_its_time) {
  for (const bool chunked : {false, true}) {
    Bench b(0, {.body_timeout = 10s, .body_rate = 100});
    const std::string post = "POST /hold HTTP/1.1\r\nHost: a\r\n";
    RawPeer slow(*b.loop, {"server"}), good(*b.loop, {"server"});
    for (RawPeer* p : {&slow, &good})
      p->send(post + (chunked ? "Transfer-Encoding: chunked\r\n\r\nffff\r\n" : "Content-Length: 65535\r\n\r\n"));
    b.settle();
    auto& slow_call = *b.service.calls[b.service.calls.size() - 2];
    for (int i = 0; i < 30; ++i) {
      b.pass(1s);
      slow.send("x");
      good.send(std::string(120, 'x'));
      b.service.last().take();
      if (!slow_call.done) slow_call.take();
    }
    EXPECT_EQ(take_reply(slow.text, true).status, 408);
    EXPECT_TRUE(slow_call.done && !slow_call.ok);
    EXPECT_FALSE(good.ended || b.service.last().done);
    EXPECT_EQ(hits(b, Limit::kBodyTime), 1u);
  }
}

TEST(H1Limits, a_body_that_we_hold_back_ourselves_is_not_late) {
  Bench b(0, {.relay_continue = true, .idle_timeout = 20s, .body_timeout = 5s, .body_rate = 1000, .body_window = 1000});
  RawPeer held(*b.loop, {"server"}), unasked(*b.loop, {"server"});
  held.send("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n" + std::string(1500, 'x'));
  b.settle();
  auto& call = b.service.last();
  unasked.send("POST /hold HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n");
  b.pass(60s);
  EXPECT_EQ(held.text + unasked.text, "");
  call.take();
  b.pass(4s);
  EXPECT_EQ(held.text, "");
  b.pass(10s);
  EXPECT_EQ(take_reply(held.text, true).status, 408) << "from here on it is the client's time";
  EXPECT_EQ(unasked.text, "");
}

TEST(H1Limits, a_reply_that_has_begun_may_wait_for_the_request) {
  Bench b(0, {.idle_timeout = 20s, .body_timeout = 5s, .body_rate = 1000});
  RawPeer peer(*b.loop, {"server"});
  peer.send("POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
  b.pass(60s);
  EXPECT_FALSE(b.service.last().done) << "a conversation is as slow as it likes";
}

TEST(H1Limits, a_client_that_reads_too_slowly_is_ended_and_one_that_reads_is_not) {
  Bench b(0, {.send_timeout = 10s, .send_rate = 1000});
  RawPeer slow(*b.loop, {"server"}), good(*b.loop, {"server"}), other(*b.loop, {"server"});
  for (RawPeer* p : {&slow, &good}) {
    p->stream->pause();
    p->send(get("/big/50000000"));
  }
  b.settle();
  auto& slow_call = *b.service.calls[0];
  auto& good_call = *b.service.calls[1];
  const auto read_some = [&](RawPeer& p) {
    p.stream->resume();
    b.loop->run_ready();
    if (p.stream) p.stream->pause();
  };
  for (int i = 0; i < 30 && !slow_call.done; ++i) {
    b.pass(1s);
    if (i % 2 == 0) read_some(good);
    other.send(get("/echo"));
    b.settle();
    EXPECT_EQ(take_reply(other.text, false).status, 200);
  }
  EXPECT_TRUE(slow_call.done && !slow_call.ok);
  EXPECT_FALSE(good_call.done && !good_call.ok);
  EXPECT_EQ(hits(b, Limit::kSendTime), 1u);
}

TEST(H1Limits, connections_in_total_and_per_address) {
  SharedConnections shared(3, 2);
  using Seat = SharedConnections::Seat;
  auto a = std::make_unique<Seat>(), b = std::make_unique<Seat>(), c = std::make_unique<Seat>(),
       d = std::make_unique<Seat>();
  EXPECT_EQ(shared.enter("10.0.0.1:1", *a), std::nullopt);
  EXPECT_EQ(shared.enter("10.0.0.1:2", *b), std::nullopt);
  EXPECT_EQ(shared.enter("10.0.0.1:3", *c), Limit::kAddressConnections);
  EXPECT_EQ(shared.open(), 2u);
  EXPECT_EQ(shared.enter("[::1]:3", *c), std::nullopt);
  EXPECT_EQ(shared.enter("unix", *d), Limit::kConnections);
  b.reset();
  const Seat moved = std::move(*a);
  a.reset();
  EXPECT_EQ(shared.open(), 2u);
  EXPECT_EQ(shared.enter("10.0.0.1:4", *d), std::nullopt);
}

}  // namespace
}  // namespace colony::http
