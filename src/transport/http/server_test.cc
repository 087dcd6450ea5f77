// The server tells the carriers apart however the first bytes are cut, bounds its connections, and drains.
#include "transport/http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transport/frame/codec.h"
#include "transport/http/http_test_support.h"

namespace colony::http {
namespace {

using testing::RawPeer;
using testing::ScriptService;
using testing::take_reply;

struct Bench {
  explicit Bench(size_t chunk, ServerOptions options = {}) {
    loop = async::SimLoop::create({.seed = 3, .max_chunk = chunk});
    auto s = Server::listen(*loop, {"server"}, service, options);
    EXPECT_TRUE(s.has_value());
    server = std::move(*s);
  }
  ScriptService service;
  std::unique_ptr<async::SimLoop> loop;
  std::unique_ptr<Server> server;
};

class ServerCut : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Cut, ServerCut, ::testing::Values(0, 1, 3));

TEST_P(ServerCut, three_carriers_are_told_apart_by_their_first_bytes) {
  Bench b(GetParam(), {.accept_frames = true});
  RawPeer h1(*b.loop, {"server"}), h2(*b.loop, {"server"}), frames(*b.loop, {"server"}), pri(*b.loop, {"server"});
  h1.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  h2.send(std::string(kHttp2Preface) + std::string("\0\0\0\4\0\0\0\0\0", 9));
  frame::Header hello{};
  hello.type = frame::Type::kHello;
  hello.length = 12;
  std::string opening(frame::kMagic);
  append_frame(opening, hello, std::string_view("\1\0\0\0\0\0\0\0\1\0\0\0", 12));  // version 1, one stream
  frames.send(opening);
  pri.send("PRI * HTTP/1.1\r\nHost: a\r\n\r\n");
  b.loop->run_ready();
  EXPECT_EQ(take_reply(h1.text, false).status, 200);
  ASSERT_GE(h2.text.size(), 9u);
  EXPECT_EQ(h2.text[3], 4) << "a SETTINGS frame";
  ASSERT_EQ(frames.text.size(), sizeof(frame::Header) + 12);
  EXPECT_EQ(frames.text[16], static_cast<char>(frame::Type::kHello));
  EXPECT_EQ(take_reply(pri.text, true).status, 400) << "a method of that name is HTTP/1.1";
  EXPECT_EQ(b.server->stats().open_connections, 4u);
}

TEST_P(ServerCut, frames_are_not_spoken_where_they_are_not_wanted) {
  Bench b(GetParam());
  RawPeer frames(*b.loop, {"server"});
  frames.send(frame::kMagic);
  b.loop->run_ready();
  EXPECT_EQ(take_reply(frames.text, true).status, 400);
}

TEST(Server, a_broken_preface_of_http2_is_not_answered_in_http1) {
  Bench b(0);
  RawPeer broken(*b.loop, {"server"}), typo(*b.loop, {"server"});
  broken.send("INVALID CONNECTION PREFACE\r\n\r\n");
  typo.send("GET / HTTP\\1.1\r\n\r\n");
  b.loop->run_ready();
  EXPECT_TRUE(broken.ended || broken.closed);
  EXPECT_EQ(broken.text, "");
  EXPECT_EQ(take_reply(typo.text, true).status, 400);
  EXPECT_EQ(b.server->stats().bad_requests, 2u);
}

TEST(Server, connections_above_the_bound_are_closed_and_counted) {
  Bench b(0, {.max_connections = 2});
  RawPeer one(*b.loop, {"server"}), two(*b.loop, {"server"}), three(*b.loop, {"server"});
  b.loop->run_ready();
  EXPECT_FALSE(one.ended || two.ended || one.closed || two.closed);
  EXPECT_TRUE(three.ended || three.closed);
  EXPECT_EQ(b.server->stats().refused, 1u);
  EXPECT_EQ(b.server->stats().accepted, 2u);
  one.hang_up();
  b.loop->run_ready();
  RawPeer four(*b.loop, {"server"});
  four.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  b.loop->run_ready();
  EXPECT_EQ(take_reply(four.text, false).status, 200);
}

TEST(Server, a_connection_that_says_nothing_ends_and_so_does_half_a_preface) {
  Bench b(0, {.idle_timeout = 20s, .head_timeout = 5s});
  RawPeer mute(*b.loop, {"server"}), half(*b.loop, {"server"});
  half.send("PRI * HT");
  b.loop->run_for(6s);
  EXPECT_TRUE(half.ended || half.closed);
  EXPECT_FALSE(mute.ended);
  b.loop->run_for(16s);
  EXPECT_TRUE(mute.ended || mute.closed);
  EXPECT_EQ(b.server->stats().open_connections, 0u);
}

TEST(Server, a_drain_ends_idle_connections_and_lets_busy_ones_answer) {
  Bench b(0);
  RawPeer mute(*b.loop, {"server"}), idle(*b.loop, {"server"}), busy(*b.loop, {"server"});
  idle.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  busy.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
  b.loop->run_ready();
  b.server->drain();
  b.loop->run_ready();
  EXPECT_TRUE(mute.ended || mute.closed);
  EXPECT_TRUE(idle.ended || idle.closed);
  EXPECT_FALSE(b.server->drained());
  RawPeer late(*b.loop, {"server"});
  EXPECT_TRUE(late.closed) << "nobody listens";
  for (auto& c : b.service.calls)
    if (!c->done) c->release("at last");
  b.loop->run_for(3s);
  EXPECT_EQ(take_reply(busy.text, true).body, "at last");
  EXPECT_TRUE(b.server->drained());
}

TEST(Server, with_a_grace_an_idle_connection_may_bring_one_more_request) {
  Bench b(0);
  RawPeer fresh(*b.loop, {"server"}), mute(*b.loop, {"server"}), idle(*b.loop, {"server"}), quiet(*b.loop, {"server"});
  idle.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  quiet.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  b.loop->run_ready();
  EXPECT_EQ(take_reply(idle.text, false).status, 200);
  EXPECT_EQ(take_reply(quiet.text, false).status, 200);
  b.server->drain(5s);
  b.loop->run_for(1s);
  EXPECT_FALSE(idle.ended || idle.closed || fresh.ended || fresh.closed);
  for (RawPeer* peer : {&idle, &fresh}) {
    peer->send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    b.loop->run_ready();
    const auto reply = take_reply(peer->text, false);
    EXPECT_EQ(reply.status, 200);
    EXPECT_THAT(reply.head, ::testing::HasSubstr("connection: close\r\n"));
    EXPECT_TRUE(peer->ended);
  }
  EXPECT_FALSE(mute.ended || mute.closed || quiet.ended || quiet.closed);
  b.loop->run_for(5s);
  EXPECT_TRUE((mute.ended || mute.closed) && (quiet.ended || quiet.closed));
  b.loop->run_for(3s);
  EXPECT_TRUE(b.server->drained());
}

TEST(Server, with_a_grace_http2_is_told_before_it_ends) {
  Bench b(0);
  RawPeer idle(*b.loop, {"server"});
  idle.send(std::string(kHttp2Preface) + std::string("\0\0\0\4\0\0\0\0\0", 9));
  b.loop->run_ready();
  idle.text.clear();
  b.server->drain(5s);
  b.loop->run_ready();
  // GOAWAY with the highest id there is: begin nothing new, but what is on its way is served.
  EXPECT_THAT(idle.text, ::testing::HasSubstr(std::string("\x08\7\0\0\0\0\0\x7f\xff\xff\xff", 11)));
  EXPECT_FALSE(idle.ended || idle.closed);
  b.loop->run_for(3s);
  EXPECT_TRUE(idle.ended || idle.closed);
  EXPECT_TRUE(b.server->drained());
}

TEST(Server, its_end_ends_everything) {
  Bench b(0);
  RawPeer busy(*b.loop, {"server"});
  busy.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
  b.loop->run_ready();
  b.server.reset();
  EXPECT_TRUE(b.service.last().done && !b.service.last().ok);
  b.loop->run_ready();
  EXPECT_TRUE(busy.ended || busy.closed);
}

TEST(Server, a_reply_given_in_the_turn_of_the_server_s_end_is_harmless) {
  Bench b(0);
  RawPeer busy(*b.loop, {"server"});
  busy.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
  b.loop->run_ready();
  b.loop->post([&] {
    b.service.last().release("x");
    b.server.reset();
  });
  b.loop->run_ready();
  EXPECT_TRUE(b.service.last().done);
}

TEST(ErrorJson, escapes_what_json_demands_and_replaces_what_is_no_utf8) {
  EXPECT_EQ(
      error_json(invalid_argument("a \"b\" \\ \n\t\x01 \xc3\xa9 \xff \xed\xa0\x80 \xf0\x9f\x98\x80", "r")),
      "{\"error\":\"a \\\"b\\\" \\\\ \\n\\u0009\\u0001 \xc3\xa9 \xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd "
      "\xf0\x9f\x98\x80\",\"code\":\"INVALID_ARGUMENT\",\"reason\":\"r\"}");
}

}  // namespace
}  // namespace colony::http
