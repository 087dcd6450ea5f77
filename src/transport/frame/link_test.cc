// Both ends of the framed link against each other on the simulated loop.
#include "transport/frame/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transport/frame/flow.h"
#include "transport/frame/link_test_support.h"

namespace colony::frame {
namespace {

using testing::Bench;
using testing::Caller;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::request;

class LinkCut : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Cut, LinkCut, ::testing::Values(0, 1, 2, 5, 7));

TEST_P(LinkCut, calls_are_multiplexed_and_each_gets_its_own_reply) {
  Bench b(GetParam());
  ASSERT_TRUE(b.ready && b.link->ready());
  std::vector<Caller> callers(50);
  for (size_t i = 0; i < callers.size(); ++i)
    b.call(callers[i], request("/echo/" + std::to_string(i)), std::to_string(i * i));
  EXPECT_EQ(b.link->outstanding(), 50u);
  b.settle();
  for (size_t i = 0; i < callers.size(); ++i) {
    EXPECT_TRUE(callers[i].ended) << i;
    EXPECT_EQ(callers[i].body, std::to_string(i * i));
    EXPECT_THAT(callers[i].head, HasSubstr("x-path: /echo/" + std::to_string(i) + "\r\n"));
    EXPECT_THAT(b.service.calls[i]->head, HasSubstr("x-request-id: 7\r\n\r\n"));
    EXPECT_TRUE(b.service.calls[i]->done && b.service.calls[i]->ok);
  }
  EXPECT_EQ(b.link->outstanding(), 0u);
  Caller again;
  b.call(again, request("/echo/again"), "x");
  b.settle();
  EXPECT_EQ(again.body, "x");
  EXPECT_EQ(b.server->stats().open_requests, 0u);
}

TEST_P(LinkCut, hop_by_hop_fields_stay_behind_and_a_length_is_added) {
  Bench b(GetParam());
  Caller c;
  b.call(c, "POST /hop HTTP/1.1\r\nConnection: close\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n");
  b.settle();
  EXPECT_EQ(b.service.last().head, "POST /hop HTTP/1.1\r\nHost: a\r\nX: 1\r\nx-request-id: 7\r\n\r\n");
  EXPECT_EQ(c.head, "HTTP/1.0 200 Fine\r\nx-b: 2\r\ncontent-length: 1\r\n\r\n");
  EXPECT_EQ(c.body, "x");
}

TEST_P(LinkCut, bodies_and_trailers_stream_both_ways) {
  Bench b(GetParam());
  Caller c;
  b.call(c, request("/stream"), "one,", false);
  b.settle();
  EXPECT_EQ(c.status, 200);
  EXPECT_EQ(c.body, "one,");
  b.link->body(c.id, "two", false);
  b.link->end(c.id, "x-sum: 3\r\n");
  b.settle();
  EXPECT_TRUE(c.ended);
  EXPECT_EQ(c.body, "one,two");
  EXPECT_EQ(c.trailers, "x-sum: 3\r\n");
  EXPECT_EQ(b.service.last().trailers, "x-sum: 3\r\n");
}

TEST_P(LinkCut, interim_replies_come_before_the_reply) {
  Bench b(GetParam());
  Caller hints, waits, eager;
  b.call(hints, request("/interim"));
  b.call(waits, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", {}, false);
  b.call(eager, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", "a", false);
  b.settle();
  EXPECT_EQ(hints.interim, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
  EXPECT_EQ(hints.body, "late");
  EXPECT_EQ(waits.interim, "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(eager.interim, "") << "its body comes anyway";
  b.link->body(waits.id, "ok", true);
  b.settle();
  EXPECT_EQ(waits.body, "ok");
}

const std::string kTunnel = " HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n";

TEST_P(LinkCut, a_tunnel_ends_when_both_halves_have_ended) {
  for (const bool replica_first : {false, true}) {
    Bench b(GetParam());
    Caller c;
    c.link = b.link.get();
    c.id = b.link->call_block((replica_first ? "GET /tunnel/first" : "GET /tunnel") + kTunnel, {}, false,
                              Deadline::never(), c);
    b.settle();
    EXPECT_EQ(c.status, 101);
    EXPECT_THAT(c.head, HasSubstr("connection: upgrade\r\nupgrade: raw\r\n\r\n"));
    EXPECT_EQ(c.body, "hi ");
    EXPECT_EQ(c.ended, replica_first);
    const size_t sent = GetParam() == 0 ? 600'000 : 20'000;  // more than the credit, where that does not take minutes
    b.link->body(c.id, std::string(sent, 'x'), false);
    b.link->end(c.id, {});
    if (GetParam() == 0) EXPECT_FALSE(c.tunnel_over);
    b.loop->run_for(1s);
    EXPECT_TRUE(c.ended && c.tunnel_over);
    EXPECT_EQ(b.service.last().body.size(), sent);
    if (!replica_first) EXPECT_EQ(c.body.size(), sent + 3);
    EXPECT_TRUE(b.service.last().done && b.service.last().ok);
    EXPECT_EQ(b.link->outstanding(), 0u);
    EXPECT_EQ(b.server->stats().open_requests, 0u);
  }
}

TEST(Link, a_tunnel_that_is_asked_to_end_is_ended_by_its_service) {
  for (const bool by_proxy : {true, false}) {
    Bench b;
    Caller c;
    c.link = b.link.get();
    c.id = b.link->call_block("GET /tunnel" + kTunnel, {}, false, Deadline::never(), c);
    b.settle();
    if (by_proxy)
      b.link->drain(c.id);
    else
      b.server->drain();
    b.settle();
    EXPECT_EQ(c.body, "hi bye");
    EXPECT_TRUE(c.ended && !c.tunnel_over);
    b.link->end(c.id, {});
    b.settle();
    EXPECT_TRUE(c.tunnel_over);
    EXPECT_TRUE(b.service.last().done && b.service.last().ok);
  }
}

TEST(Link, a_tunnel_is_cancelled_like_any_call) {
  Bench b;
  Caller c;
  c.link = b.link.get();
  c.id = b.link->call_block("GET /tunnel" + kTunnel, {}, false, Deadline::never(), c);
  b.settle();
  b.link->cancel(c.id);
  b.settle();
  EXPECT_TRUE(b.service.last().done && !b.service.last().ok);
  Caller lost;
  lost.link = b.link.get();
  lost.id = b.link->call_block("GET /tunnel" + kTunnel, {}, false, Deadline::never(), lost);
  b.settle();
  b.loop->reset_all({"replica"});
  b.settle();
  EXPECT_TRUE(lost.error.has_value());
}

TEST(Link, a_tunnel_whose_service_has_ended_its_half_may_be_broken_off) {
  Bench b;
  Caller c, next;
  c.link = b.link.get();
  c.id = b.link->call_block("GET /tunnel/first" + kTunnel, {}, false, Deadline::never(), c);
  b.settle();
  ASSERT_TRUE(c.ended && !c.tunnel_over);
  b.service.last().exchange->abort(unavailable("the client does not end"));
  EXPECT_FALSE(b.service.last().done) << "not from inside the call";
  b.settle();
  ASSERT_TRUE(c.error.has_value());
  EXPECT_EQ(c.error->code, Code::kUnavailable);
  EXPECT_THAT(c.error->message, HasSubstr("the client does not end"));
  EXPECT_TRUE(b.service.last().done && !b.service.last().ok);
  EXPECT_EQ(b.link->outstanding(), 0u);
  EXPECT_EQ(b.server->stats().open_requests, 0u);
  b.link->body(c.id, "late", true);
  b.call(next, request("/echo"), "fine");
  b.settle();
  EXPECT_EQ(next.body, "fine");
}

TEST(Link, the_head_of_a_head_request_comes_without_body) {
  Bench b;
  Caller echo, big, gone;
  b.call(echo, request("/hop", "HEAD"));
  b.call(big, request("/big/1000", "HEAD"));
  b.call(gone, request("/gone"));
  b.settle();
  EXPECT_TRUE(echo.ended && big.ended && gone.ended);
  EXPECT_EQ(echo.body + big.body + gone.body, "");
  EXPECT_THAT(big.head, HasSubstr("content-length: 1000"));
  EXPECT_EQ(gone.status, 204);
}

TEST(Link, a_large_request_waits_for_the_service_and_a_large_reply_for_the_caller) {
  for (size_t chunk : {0, 700}) {
    Bench b(chunk);
    Caller up;
    const std::string body(900'000, 'u');
    b.call(up, request("/hold"), {}, false);
    up.to_send = body;
    up.send();
    b.settle();
    auto& call = b.service.last();
    EXPECT_EQ(call.body.size(), static_cast<size_t>(kStreamCredit));
    EXPECT_LE(b.link->writable(up.id), 0);
    for (int i = 0; i < 20 && !call.ended; ++i) {
      call.take();
      b.settle();
    }
    EXPECT_EQ(call.body, body);
    EXPECT_GT(up.writable, 0);
    call.release("got it");
    b.settle();
    EXPECT_EQ(up.body, "got it");

    Caller down;
    down.eager = false;
    b.call(down, request("/chunked/2000000"));
    b.settle();
    EXPECT_EQ(down.body.size(), static_cast<size_t>(kStreamCredit)) << "not more than the credit";
    EXPECT_FALSE(b.service.last().done);
    Caller other;
    b.call(other, request("/echo"), "not held up");
    b.settle();
    EXPECT_EQ(other.body, "not held up");
    for (int i = 0; i < 50 && !down.ended; ++i) {
      b.link->consumed(down.id, 200'000);
      b.settle();
    }
    EXPECT_TRUE(down.ended);
    EXPECT_EQ(down.body.size(), 2'000'000u);
  }
}

TEST(Link, what_exceeds_the_credit_is_kept_by_its_sender) {
  Bench b;
  Caller c;
  const std::string body(1'500'000, 'x');
  b.call(c, request("/echo"), body, true);  // all at once
  b.settle();
  ASSERT_TRUE(c.ended);
  EXPECT_EQ(c.body, body);
  EXPECT_TRUE(b.service.last().done && b.service.last().ok);
}

TEST(Link, a_deadline_travels_as_the_time_that_is_left) {
  Bench b;
  Caller c, none;
  b.call(c, request("/hold"), {}, true, Deadline::after(b.loop->now(), 1500ms));
  b.call(none, request("/hold"));
  b.loop->run_ready();
  ASSERT_EQ(b.service.calls.size(), 2u);
  EXPECT_EQ(b.service.calls[0]->exchange->deadline().left(b.loop->now()), 1500ms);
  EXPECT_TRUE(b.service.calls[1]->exchange->deadline().is_never());
  b.link->cancel(c.id);
  b.link->cancel(none.id);
}

TEST_P(LinkCut, a_cancelled_call_ends_its_work_and_hears_no_more) {
  Bench b(GetParam());
  Caller c, next;
  b.call(c, request("/hold"), "abc", false);
  b.settle();
  const CallId old = c.id;
  b.link->cancel(old);
  b.call(next, request("/echo"), "next");  // takes the same slot
  b.link->body(old, "stale", true);
  b.link->cancel(old);
  b.settle();
  EXPECT_TRUE(b.service.calls[0]->done && !b.service.calls[0]->ok);
  EXPECT_FALSE(c.over());
  EXPECT_EQ(next.body, "next");
  EXPECT_EQ(b.link->writable(old), 0);
}

TEST(Link, a_late_reply_to_a_cancelled_call_is_dropped) {
  Bench b(0, 5ms);
  Caller c, next;
  b.call(c, request("/hold"));
  b.loop->run_for(6ms);
  ASSERT_EQ(b.service.calls.size(), 1u);
  b.service.last().release("too late");  // on its way when the cancel leaves
  b.link->cancel(c.id);
  b.call(next, request("/echo"), "next");
  b.settle();
  EXPECT_FALSE(c.over());
  EXPECT_EQ(next.body, "next");
  EXPECT_FALSE(b.closed);
}

TEST_P(LinkCut, a_service_that_aborts_answers_or_breaks_off) {
  Bench b(GetParam());
  Caller before, after, wrong;
  b.call(before, request("/abort"));
  b.call(after, request("/cut"));
  b.call(wrong, request("/malformed"));
  b.settle();
  EXPECT_EQ(before.status, 404);
  EXPECT_THAT(before.body, HasSubstr("NOT_FOUND"));
  ASSERT_TRUE(after.error.has_value());
  EXPECT_EQ(after.body, "abc");
  EXPECT_EQ(after.error->code, Code::kInternal);
  EXPECT_EQ(after.error->message, "the replica broke the call off: broke");
  EXPECT_EQ(wrong.status, 500);
  for (auto& c : b.service.calls) EXPECT_TRUE(c->done && !c->ok);
}

TEST(Link, an_error_to_a_grpc_call_has_grpc_s_form) {
  Bench b;
  Caller c;
  b.call(c, "POST /abort HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n\r\n");
  b.settle();
  EXPECT_EQ(c.status, 200);
  EXPECT_THAT(c.head, HasSubstr("grpc-status: 5\r\ngrpc-message: no such thing: \"x\"%0A\r\n"));
  EXPECT_THAT(c.head, Not(HasSubstr("content-length")));
}

TEST(Link, an_early_reply_ends_the_call_and_the_rest_of_the_body_is_ignored) {
  Bench b;
  Caller c, next;
  b.call(c, request("/early"), "abc", false);
  b.link->body(c.id, std::string(100'000, 'x'), false);
  b.settle();
  EXPECT_EQ(c.status, 413);
  EXPECT_TRUE(c.ended);
  b.link->body(c.id, "more", true);
  b.call(next, request("/echo"), "next");
  b.settle();
  EXPECT_EQ(next.body, "next");
}

TEST(Link, a_broken_link_fails_all_its_calls_once) {
  Bench b;
  std::vector<Caller> callers(10);
  for (Caller& c : callers) b.call(c, request("/hold"));
  b.settle();
  b.loop->reset_all({"replica"});
  b.settle();
  for (Caller& c : callers) {
    ASSERT_TRUE(c.error.has_value());
    EXPECT_EQ(c.error->code, Code::kUnavailable);
    EXPECT_EQ(c.error->reason, "link_broken");
    EXPECT_EQ(c.error->retry, Retry::kIfFresh);
  }
  ASSERT_TRUE(b.closed.has_value());
  EXPECT_FALSE(b.link->ready());
  for (auto& c : b.service.calls) EXPECT_TRUE(c->done && !c->ok);

  Caller late;
  b.call(late, request("/echo"));
  EXPECT_FALSE(late.error.has_value()) << "never from inside call()";
  b.settle();
  ASSERT_TRUE(late.error.has_value());
  EXPECT_EQ(late.error->retry, Retry::kYes);
}

TEST(Link, it_may_be_destroyed_in_any_of_its_callbacks) {
  {
    Bench b;
    Caller c;
    c.then = [&] { b.link.reset(); };
    Caller other;
    b.call(c, request("/hold"));
    b.call(other, request("/hold"));
    b.settle();
    b.loop->reset_all({"replica"});
    b.settle();
    EXPECT_TRUE(c.error.has_value() || other.error.has_value());
  }
  Bench b;
  b.link.reset();
  std::unique_ptr<Link> link;
  link = Link::connect(*b.loop, {"replica"}, Deadline::never(), {.on_ready = [&] { link.reset(); }});
  b.settle();
  EXPECT_EQ(link, nullptr);
  link = Link::connect(*b.loop, {"nobody"}, Deadline::never(), {.on_closed = [&](const Error&) { link.reset(); }});
  b.settle();
  EXPECT_EQ(link, nullptr);
  link = Link::connect(*b.loop, {"replica"}, Deadline::never(), {});
  link.reset();  // before it is connected
  b.settle();
}

TEST_P(LinkCut, a_replica_that_leaves_answers_what_it_has) {
  Bench b(GetParam());
  Caller held, late;
  b.call(held, request("/hold"));
  b.settle();
  b.server->drain();
  b.settle();
  EXPECT_TRUE(b.goaway);
  EXPECT_FALSE(b.link->ready());
  EXPECT_FALSE(b.closed);
  b.call(late, request("/echo"));
  b.settle();
  ASSERT_TRUE(late.error.has_value());
  EXPECT_EQ(late.error->retry, Retry::kYes);
  b.service.last().release("done");
  b.loop->run_for(1s);
  EXPECT_EQ(held.body, "done");
  EXPECT_TRUE(b.closed.has_value());
  b.link.reset();
  b.loop->run_for(10s);
  EXPECT_TRUE(b.server->drained());
}

TEST(Link, a_call_that_crosses_the_goaway_is_served) {
  Bench b(0, 5ms);
  b.server->drain();
  Caller c;
  b.call(c, request("/echo"), "crossing");  // the goaway is still on its way
  b.settle();
  EXPECT_EQ(c.body, "crossing");
}

TEST(Link, nobody_there_is_unavailable) {
  Bench b;
  b.server.reset();
  b.dial();
  ASSERT_TRUE(b.closed.has_value());
  EXPECT_EQ(b.closed->code, Code::kUnavailable);
  EXPECT_EQ(b.closed->retry, Retry::kYes);
}

TEST(Link, a_replica_that_answers_no_ping_is_dead) {
  Bench b;
  Caller c;
  b.call(c, request("/hold"));
  b.loop->run_for(65s);
  EXPECT_FALSE(b.closed) << "silence alone is no fault";
  b.loop->partition({"replica"});
  b.loop->run_for(65s);
  ASSERT_TRUE(b.closed.has_value());
  EXPECT_THAT(b.closed->message, HasSubstr("ping"));
  EXPECT_TRUE(c.error.has_value());
  b.loop->heal({"replica"});
}

}  // namespace
}  // namespace colony::frame
