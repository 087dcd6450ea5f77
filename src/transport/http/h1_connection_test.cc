// HTTP/1.1 connections on the simulated loop, with bytes that arrive whole and in pieces of 1 to 7.
#include "transport/http/h1_connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transport/http/h1_test_support.h"

namespace colony::http {
namespace {

using testing::Bench;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawPeer;
using testing::take_reply;
using testing::WireReply;

class H1 : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Cut, H1, ::testing::Values(0, 1, 2, 3, 5, 7));

TEST_P(H1, a_request_gets_its_reply_and_the_connection_stays) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  for (int i = 0; i < 3; ++i) {
    peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    b.settle();
    const WireReply r = take_reply(peer.text, false);
    EXPECT_TRUE(r.whole);
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, "hello");
    EXPECT_THAT(r.head, HasSubstr("x-method: POST\r\nx-path: /echo\r\n"));
    EXPECT_THAT(r.head, Not(HasSubstr("onnection")));
  }
  EXPECT_FALSE(peer.ended);
  EXPECT_EQ(b.stats.requests, 3u);
  EXPECT_EQ(b.stats.open_requests, 0u);
  EXPECT_TRUE(b.service.last().done && b.service.last().ok);
}

TEST_P(H1, pipelined_requests_are_answered_in_order) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  std::string all;
  for (int i = 0; i < 20; ++i)
    all += i % 2 ? "GET /echo/" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n"
                 : "POST /echo/" + std::to_string(i) +
                       " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  peer.send(all);
  b.settle();
  for (int i = 0; i < 20; ++i) {
    const WireReply r = take_reply(peer.text, false);
    ASSERT_TRUE(r.whole) << i;
    EXPECT_THAT(r.head, HasSubstr("x-path: /echo/" + std::to_string(i) + "\r\n"));
    EXPECT_EQ(r.body, i % 2 ? "" : "abc");
  }
  EXPECT_EQ(peer.text, "");
}

TEST_P(H1, a_pipelined_request_waits_for_the_one_in_service) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  peer.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  b.settle();
  EXPECT_EQ(b.service.calls.size(), 1u);
  EXPECT_EQ(peer.text, "");
  b.service.last().release("first");
  b.settle();
  EXPECT_EQ(take_reply(peer.text, false).body, "first");
  EXPECT_EQ(take_reply(peer.text, false).status, 200);
  EXPECT_EQ(b.service.calls.size(), 2u);
}

TEST_P(H1, chunked_bodies_and_trailers_travel_both_ways) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  peer.send("POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5;x=1\r\npedia\r\n");
  b.settle();
  EXPECT_EQ(b.service.last().body, "wikipedia");
  EXPECT_THAT(peer.text, HasSubstr("a\r\n"));  // the reply does not wait for the end of the request
  peer.send("0\r\nx-sum: 9\r\n\r\n");
  b.settle();
  const WireReply r = take_reply(peer.text, false);
  ASSERT_TRUE(r.whole);
  EXPECT_THAT(r.head, HasSubstr("transfer-encoding: chunked"));
  EXPECT_EQ(r.body, "wikipedia");
  EXPECT_EQ(r.trailers, "x-sum: 9\r\n");
  EXPECT_EQ(b.service.last().trailers, "x-sum: 9\r\n");
  EXPECT_FALSE(peer.ended);
}

TEST_P(H1, head_gets_the_head_alone) {
  Bench b(GetParam());
  for (const char* path : {"/echo", "/big/100000", "/chunked/5", "/gone"}) {
    RawPeer peer(*b.loop, {"server"});
    peer.send(std::string("HEAD ") + path + " HTTP/1.1\r\nHost: a\r\n\r\nGET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
    b.settle();
    const WireReply r = take_reply(peer.text, false, true);
    EXPECT_TRUE(r.whole) << path;
    EXPECT_EQ(take_reply(peer.text, false).status, 204) << path;
    EXPECT_EQ(peer.text, "") << path;
  }
}

TEST_P(H1, what_can_have_no_body_says_no_length) {
  Bench b(GetParam());
  for (const char* line : {"204 No Content", "103 Early Hints"}) {
    RawPeer peer(*b.loop, {"server"});
    peer.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    b.settle();
    const std::string head = "HTTP/1.1 " + std::string(line) + "\r\nx-a: 1\r\n";
    b.service.last().exchange->reply(head + "content-length: 0\r\n\r\n", {}, More::kNo);
    b.settle();
    EXPECT_EQ(peer.text, head + "\r\n");
  }
  RawPeer peer(*b.loop, {"server"});
  peer.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
  b.settle();
  b.service.last().exchange->reply("HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", {}, More::kNo);
  b.settle();
  EXPECT_EQ(peer.text, "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n") << "of the body that it stands for";
}

TEST_P(H1, an_old_client_gets_a_reply_that_it_can_read) {
  Bench b(GetParam());
  std::string text = b.talk("GET /echo HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(b.ended);
  WireReply r = take_reply(text, true);
  EXPECT_TRUE(r.whole);
  EXPECT_THAT(r.head, HasSubstr("connection: close"));

  text = b.talk("GET /chunked/30 HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(b.ended);
  r = take_reply(text, true);
  EXPECT_EQ(r.body.size(), 30u);
  EXPECT_THAT(r.head, Not(HasSubstr("transfer-encoding")));

  text = b.talk("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_FALSE(b.ended);
  EXPECT_THAT(take_reply(text, false).head, HasSubstr("connection: keep-alive"));
}

TEST_P(H1, a_client_that_asks_is_told_to_continue_once) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  b.settle();
  EXPECT_EQ(peer.text, "HTTP/1.1 100 Continue\r\n\r\n");
  peer.text.clear();
  peer.send("abc");
  b.settle();
  EXPECT_EQ(take_reply(peer.text, false).body, "abc");
  EXPECT_EQ(peer.text, "");
}

TEST_P(H1, an_early_refusal_ends_the_connection_only_when_much_is_left_of_the_body) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  peer.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
  b.settle();
  EXPECT_EQ(take_reply(peer.text, false).status, 413);
  peer.send("56789GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  b.settle();
  EXPECT_EQ(take_reply(peer.text, false).status, 200);

  RawPeer large(*b.loop, {"server"});
  large.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + std::string(5000, 'x'));
  b.settle();
  const WireReply r = take_reply(large.text, false);
  EXPECT_EQ(r.status, 413);
  EXPECT_THAT(r.head, HasSubstr("connection: close"));
  EXPECT_TRUE(large.ended);
  large.send(std::string(400 * 1024, 'x'));  // more than it is willing to read
  b.pass(3s);
  EXPECT_TRUE(b.connections.size() == 1u) << "only the first one is left";
}

TEST_P(H1, a_refusal_instead_of_continue_ends_the_connection) {
  Bench b(GetParam());
  std::string text = b.talk("POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n");
  EXPECT_THAT(take_reply(text, true).head, HasSubstr("413"));
  EXPECT_EQ(text, "");
}

TEST_P(H1, a_service_that_relays_says_itself_when_to_continue) {
  Bench b(GetParam(), {.relay_continue = true});
  RawPeer peer(*b.loop, {"server"});
  peer.send("POST /hold HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  b.settle();
  EXPECT_EQ(peer.text, "");
  for (int i = 0; i < 2; ++i) b.service.last().exchange->reply("HTTP/1.1 100 Continue\r\n\r\n", {}, More::kYes);
  b.settle();
  EXPECT_EQ(peer.take(), "HTTP/1.1 100 Continue\r\n\r\n");
  peer.send("abc");
  b.settle();
  b.service.last().release("ok");
  b.settle();
  EXPECT_THAT(take_reply(peer.text, false).head, Not(HasSubstr("connection: close")));

  peer.send("POST /hold HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  b.settle();
  b.service.last().release("no");
  b.settle();
  EXPECT_THAT(take_reply(peer.text, true).head, HasSubstr("connection: close"));
  EXPECT_TRUE(peer.ended) << "whether the body comes cannot be known";
}

TEST_P(H1, interim_replies_come_before_the_reply_and_not_to_old_clients) {
  Bench b(GetParam());
  std::string text = b.talk("GET /interim HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(text.substr(0, text.find("HTTP/1.1 200")), "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
  text = b.talk("GET /interim HTTP/1.0\r\n\r\n");
  EXPECT_EQ(take_reply(text, true).status, 200);
}

TEST_P(H1, bad_heads_are_answered_in_json_and_end_the_connection) {
  const std::pair<const char*, int> kCases[] = {
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 417},
      {"POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
  };
  for (const auto& [text, status] : kCases) {
    Bench b(GetParam());
    std::string answer = b.talk(text);
    const WireReply r = take_reply(answer, true);
    EXPECT_EQ(r.status, status) << text;
    EXPECT_TRUE(r.whole);
    EXPECT_THAT(r.body, HasSubstr("{\"error\":\"bad request: ")) << text;
    EXPECT_THAT(r.body, HasSubstr("\"reason\":\"bad_request\"}")) << text;
    EXPECT_TRUE(b.ended) << text;
    EXPECT_EQ(b.stats.bad_requests, 1u) << text;
    EXPECT_EQ(b.stats.open_requests, 0u);
    for (auto& c : b.service.calls) EXPECT_TRUE(c->done && !c->ok);
    b.pass(3s);
    EXPECT_TRUE(b.connections.empty()) << text;
  }
}

TEST_P(H1, a_head_request_that_is_refused_gets_the_head_alone) {
  Bench b(GetParam());
  const std::string answer = b.talk("HEAD /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
  EXPECT_THAT(answer, ::testing::StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(answer, HasSubstr("x-colony-reason: bad_request\r\n"));
  EXPECT_THAT(answer, ::testing::EndsWith("\r\n\r\n"));
}

TEST_P(H1, a_smuggled_request_never_reaches_the_service) {
  Bench b(GetParam());
  b.talk(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 44\r\n\r\nabcdGET /admin "
      "HTTP/1.1\r\nHost: a\r\n\r\n");
  b.talk(
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\r\nGET /admin HTTP/1.1\r\nHost: "
      "a\r\n\r\n");
  b.talk(
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: "
      "a\r\n\r\n");
  for (auto& c : b.service.calls) EXPECT_NE(c->path, "/admin");
}

TEST_P(H1, a_service_that_aborts_is_answered_for_or_cut) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  peer.send("GET /abort HTTP/1.1\r\nHost: a\r\n\r\n");
  b.settle();
  WireReply r = take_reply(peer.text, false);
  EXPECT_EQ(r.status, 404);
  EXPECT_EQ(r.body, "{\"error\":\"no such thing: \\\"x\\\"\\n\",\"code\":\"NOT_FOUND\",\"reason\":\"not_found\"}");
  EXPECT_TRUE(b.service.last().done && !b.service.last().ok);
  EXPECT_FALSE(peer.ended);

  peer.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
  b.settle();
  r = take_reply(peer.text, true);
  EXPECT_EQ(r.body, "abc");
  EXPECT_FALSE(r.whole);
  EXPECT_TRUE(peer.ended);
  EXPECT_FALSE(b.service.last().ok);
}

TEST_P(H1, a_service_whose_reply_contradicts_itself_is_answered_for) {
  Bench b(GetParam());
  for (const char* path : {"/malformed", "/lie"}) {
    std::string text = b.talk(std::string("GET ") + path + " HTTP/1.1\r\nHost: a\r\n\r\n");
    const WireReply r = take_reply(text, false);
    EXPECT_EQ(r.status, 500) << path;
    EXPECT_THAT(r.body, HasSubstr("bad_reply"));
  }
}

TEST_P(H1, a_reply_loses_what_belongs_to_another_connection) {
  Bench b(GetParam());
  EXPECT_EQ(b.talk("GET /hop HTTP/1.1\r\nHost: a\r\n\r\n"),
            "HTTP/1.1 200 Fine\r\nx-b: 2\r\ncontent-length: 1\r\n\r\nx");
}

TEST_P(H1, body_bytes_stop_at_the_window_until_they_are_consumed) {
  Bench b(GetParam(), {.body_window = 1000});
  for (const bool chunked : {false, true}) {
    RawPeer peer(*b.loop, {"server"});
    const std::string body(5000, 'x');
    if (chunked) {
      peer.send("POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + body +
                "\r\n0\r\n\r\n");
    } else {
      peer.send("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n" + body);
    }
    b.settle();
    auto& call = b.service.last();
    EXPECT_EQ(call.body.size(), 1000u);
    EXPECT_FALSE(call.ended);
    for (int i = 0; i < 10 && !call.ended; ++i) {
      call.take();
      b.settle();
    }
    EXPECT_TRUE(call.ended);
    EXPECT_EQ(call.body, body);
    call.release("ok");
    b.settle();
    EXPECT_EQ(take_reply(peer.text, false).body, "ok");
  }
}

TEST_P(H1, a_slow_client_holds_its_own_reply_back_and_no_more_than_a_window_is_buffered) {
  Bench b(GetParam());
  const size_t size = GetParam() == 0 ? 5'000'000 : 400'000;
  for (const char* mode : {"/big/", "/chunked/"}) {
    RawPeer slow(*b.loop, {"server"});
    slow.stream->pause();
    slow.send(std::string("GET ") + mode + std::to_string(size) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    b.settle();
    EXPECT_FALSE(b.service.last().done);
    EXPECT_LT(b.service.most_pending, 300 * 1024);
    slow.stream->resume();
    b.settle();
    EXPECT_TRUE(b.service.last().done && b.service.last().ok);
    EXPECT_TRUE(b.service.last().writable_seen);
    const WireReply r = take_reply(slow.text, false);
    EXPECT_TRUE(r.whole);
    EXPECT_EQ(r.body.size(), size);
  }
}

TEST_P(H1, silence_ends_a_connection_and_a_slow_head_is_answered) {
  Bench b(GetParam(), {.idle_timeout = 20s, .head_timeout = 5s});
  RawPeer idle(*b.loop, {"server"}), slow(*b.loop, {"server"}), body(*b.loop, {"server"}), busy(*b.loop, {"server"});
  slow.send("GET / HT");
  body.send("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  busy.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
  b.pass(4s);
  EXPECT_EQ(slow.text, "");
  slow.send("TP/1.1\r\nX: ");
  b.pass(2s);
  EXPECT_EQ(take_reply(slow.text, true).status, 408);
  EXPECT_FALSE(idle.ended);
  EXPECT_FALSE(body.ended);
  b.pass(16s);
  EXPECT_TRUE(idle.ended || idle.closed);
  EXPECT_EQ(idle.text, "");
  EXPECT_EQ(take_reply(body.text, true).status, 408);
  b.pass(100s);
  EXPECT_FALSE(busy.ended || busy.closed) << "a service may take its time";
  ASSERT_EQ(b.connections.size(), 1u);
}

TEST_P(H1, a_drained_connection_answers_what_it_began) {
  Bench b(GetParam());
  RawPeer idle(*b.loop, {"server"}), busy(*b.loop, {"server"}), begun(*b.loop, {"server"});
  busy.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
  begun.send("GET /ec");
  b.settle();
  for (auto& c : b.connections) c->drain();
  b.settle();
  EXPECT_TRUE(idle.ended || idle.closed);
  EXPECT_FALSE(busy.ended || begun.ended);
  b.service.last().release("late");
  begun.send("ho HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  b.settle();
  WireReply r = take_reply(busy.text, true);
  EXPECT_EQ(r.body, "late");
  EXPECT_THAT(r.head, HasSubstr("connection: close"));
  EXPECT_EQ(take_reply(begun.text, true).status, 200);
  EXPECT_EQ(begun.text, "");
  EXPECT_TRUE(busy.ended && begun.ended);
  b.pass(3s);
  EXPECT_TRUE(b.connections.empty());
}

TEST_P(H1, an_empty_line_between_requests_is_forgiven_once) {
  Bench b(GetParam());
  std::string text = b.talk("\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(take_reply(text, false).status, 200);
  text = b.talk("\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(take_reply(text, true).status, 400);
}

}  // namespace
}  // namespace colony::http
