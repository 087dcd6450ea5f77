// HTTP/1.1 connections that one of the two sides leaves while a request is in service.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transport/http/h1_test_support.h"

namespace colony::http {
namespace {

using testing::Bench;
using testing::RawPeer;
using testing::take_reply;

class H1Leaving : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Cut, H1Leaving, ::testing::Values(0, 1, 3, 7));

constexpr std::string_view kHold = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";

TEST_P(H1Leaving, a_client_that_goes_away_cancels_its_request_whatever_follows_it) {
  const std::string next = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" + std::string(3000, 'x');
  for (const std::string& behind : {std::string(), std::string("\n"), next, next + next + "GET"}) {
    for (const bool half : {false, true}) {
      Bench b(GetParam());
      RawPeer peer(*b.loop, {"server"});
      peer.send(std::string(kHold) + behind);
      b.settle();
      ASSERT_EQ(b.service.calls.size(), 1u);
      EXPECT_FALSE(b.service.last().done);
      if (half)
        peer.stream->shutdown_write();
      else
        peer.hang_up();
      b.settle();
      EXPECT_TRUE(b.service.last().done && !b.service.last().ok) << behind.size() << " bytes behind it";
      EXPECT_EQ(b.service.calls.size(), 1u);
      EXPECT_TRUE(b.connections.empty());
      EXPECT_EQ(b.stats.open_requests, 0u);
    }
  }
}

enum class Leaves : uint8_t { kByHalf, kWhole, kByReset };

void leave(RawPeer& peer, Leaves how) {
  if (how == Leaves::kByHalf) return peer.stream->shutdown_write();
  if (how == Leaves::kByReset) peer.stream->reset_when_closed();
  peer.hang_up();
}

TEST_P(H1Leaving, a_client_that_goes_away_cancels_its_request_whatever_is_left_unread) {
  const std::string body = "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n";
  const std::string chunked = "POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nc350\r\n";
  const std::string texts[] = {
      body + std::string(30'000, 'x'),                // held back, and not whole
      body + std::string(50'000, 'x'),                // held back, and whole
      chunked + std::string(50'000, 'x'),             // the same without a length
      std::string(kHold) + std::string(40'000, '\n')  // more behind it than is read
  };
  for (const std::string& text : texts) {
    for (const auto how : {Leaves::kByHalf, Leaves::kWhole, Leaves::kByReset}) {
      Bench b(GetParam(), {.body_window = 10'000});
      RawPeer peer(*b.loop, {"server"});
      peer.send(text);
      b.settle();
      ASSERT_EQ(b.service.calls.size(), 1u);
      EXPECT_FALSE(b.service.last().done);
      EXPECT_LE(b.service.last().body.size(), 10'000u);
      EXPECT_EQ(peer.stream->pending(), 0u) << "all of it is on its way";
      leave(peer, how);
      b.settle();
      EXPECT_TRUE(b.service.last().done && !b.service.last().ok) << text.substr(0, 60);
      EXPECT_TRUE(b.connections.empty());
      EXPECT_EQ(b.stats.open_requests, 0u);
    }
  }
}

TEST(H1LeavingTunnel, half_of_a_tunnel_may_end_behind_what_is_held_back) {
  Bench b(0, {.body_window = 10'000});
  RawPeer peer(*b.loop, {"server"});
  peer.send("GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n");
  b.settle();
  ASSERT_TRUE(peer.take().ends_with("\r\n\r\nhi "));
  peer.stream->pause();
  // What the client does not take fills its connection and the reply's window; then a little is held back.
  for (int i = 0; i < 50 && b.service.last().held == 0; ++i) {
    peer.send(std::string(10'000, 't'));
    b.settle();
  }
  ASSERT_GT(b.service.last().held, 0u);
  peer.send(std::string(20'000, 't'));
  peer.stream->shutdown_write();
  b.settle();
  EXPECT_FALSE(b.service.last().done);
  peer.stream->resume();
  b.settle();
  EXPECT_TRUE(peer.ended);
  EXPECT_TRUE(b.service.last().done && b.service.last().ok);
  EXPECT_EQ(peer.text.size(), b.service.last().body.size());
}

TEST_P(H1Leaving, what_comes_during_a_request_is_read_as_far_as_it_is_kept_and_answered_in_order) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  peer.send(kHold);
  b.settle();
  for (int i = 0; i < 50; ++i) {
    peer.send("POST /echo/" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n" +
              std::string(5000, 'x'));
    if (i % 10 == 0) b.settle();
  }
  b.settle();
  EXPECT_EQ(b.service.calls.size(), 1u);
  EXPECT_GT(peer.stream->pending(), 50'000u) << "what is not read stays with the client";
  b.service.last().release("first");
  b.settle();
  EXPECT_EQ(take_reply(peer.text, false).body, "first");
  for (int i = 0; i < 50; ++i) {
    const auto r = take_reply(peer.text, false);
    ASSERT_TRUE(r.whole) << i;
    EXPECT_THAT(r.head, ::testing::HasSubstr("x-path: /echo/" + std::to_string(i) + "\r\n"));
  }
}

TEST(H1LeavingReply, a_reply_that_is_cut_never_looks_whole) {
  for (const char* version : {"1.0", "1.1"}) {
    for (const int how : {0, 1, 2}) {
      Bench b(0);
      RawPeer peer(*b.loop, {"server"});
      peer.send("GET /chunked/30000000 HTTP/" + std::string(version) + "\r\nHost: a\r\n\r\n");
      peer.stream->pause();
      b.settle();
      if (how == 0) b.service.last().exchange->abort(unavailable("broke"));
      if (how == 1) b.connections.clear();
      if (how == 2) b.pass(200s);  // it takes nothing, and is given up
      peer.stream->resume();
      b.settle();
      EXPECT_TRUE(b.connections.empty() || how == 0);
      EXPECT_FALSE(take_reply(peer.text, peer.ended).whole) << version << ", " << how;
      EXPECT_TRUE(peer.ended || peer.closed) << version << ", " << how;
    }
  }
}

TEST_P(H1Leaving, an_old_client_sees_by_a_reset_that_its_reply_broke_off) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"}), whole(*b.loop, {"server"});
  peer.send("POST /stream HTTP/1.0\r\nContent-Length: 5\r\n\r\nabc");
  b.settle();
  whole.send("GET /chunked/3 HTTP/1.0\r\n\r\n");
  b.settle();
  EXPECT_TRUE(whole.ended && !whole.closed);
  EXPECT_THAT(peer.text, ::testing::EndsWith("abc"));
  b.service.calls.front()->exchange->abort(unavailable("broke"));
  b.settle();
  EXPECT_TRUE(peer.closed && !peer.ended);
}

TEST_P(H1Leaving, the_end_of_the_server_ends_requests) {
  auto b = std::make_unique<Bench>(GetParam());
  RawPeer peer(*b->loop, {"server"});
  peer.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
  b->settle();
  b->connections.clear();
  EXPECT_TRUE(b->service.last().done && !b->service.last().ok);
  peer.stream.reset();
}

}  // namespace
}  // namespace colony::http
