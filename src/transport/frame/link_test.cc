// Both ends of the framed link against each other on the simulated loop, and each against a peer that breaks the rules.
#include "transport/frame/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transport/frame/flow.h"
#include "transport/http/http_test_support.h"
#include "transport/http/server.h"

namespace colony::frame {
namespace {

using http::testing::RawPeer;
using http::testing::ScriptService;
using ::testing::HasSubstr;
using ::testing::Not;

struct Caller final : CallHandler {
  void on_reply(const http::ReplyHead& h, std::string_view b, bool e) override {
    EXPECT_FALSE(over());
    EXPECT_EQ(h.block.data() + h.block.size(), b.data()) << "the body follows the head in memory";
    status = h.status;
    head = h.block;
    on_body(b, e);
  }
  void on_body(std::string_view data, bool e) override {
    EXPECT_FALSE(over());
    body += data;
    if (link && !e && eager) link->consumed(id, data.size());
    ended = e;
  }
  void on_end(std::string_view t) override {
    EXPECT_FALSE(over());
    trailers = t;
    ended = true;
  }
  void on_writable() override {
    ++writable;
    if (to_send.empty()) return;
    send();
  }
  void on_failed(const Error& e) override {
    EXPECT_FALSE(over());
    error = e;
    if (then) then();
  }
  void send() {
    while (!to_send.empty() && link->writable(id) > 0) {
      const std::string piece = to_send.substr(0, static_cast<size_t>(std::min<int64_t>(link->writable(id), 30000)));
      to_send.erase(0, piece.size());
      link->body(id, piece, to_send.empty());
    }
  }
  bool over() const { return ended || error.has_value(); }

  Link* link = nullptr;
  CallId id = 0;
  int status = 0, writable = 0;
  bool ended = false, eager = true;
  std::string head, body, trailers, to_send;
  std::optional<Error> error;
  std::function<void()> then;
};

struct Bench {
  explicit Bench(size_t chunk = 0, Duration latency = Duration::zero()) {
    loop = async::SimLoop::create({.seed = 5, .max_chunk = chunk, .latency = latency});
    listen();
    dial();
  }
  ~Bench() { link.reset(); }
  void listen() {
    auto s = http::Server::listen(*loop, {"replica"}, service, {.accept_frames = true});
    EXPECT_TRUE(s.has_value());
    server = std::move(*s);
  }
  void dial(Duration limit = 5s) {
    closed.reset();
    ready = goaway = false;
    link = Link::connect(*loop, {"replica"}, Deadline::after(loop->now(), limit),
                         {.on_ready = [this] { ready = true; },
                          .on_goaway = [this] { goaway = true; },
                          .on_closed = [this](const Error& e) { closed = e; }});
    loop->run_for(100ms);
  }
  void call(Caller& c, std::string_view text, std::string_view body = {}, bool end = true,
            Deadline d = Deadline::never()) {
    http::RequestHead head;
    http::ParseError error;
    ASSERT_EQ(parse_request_head(text, head, error), http::ParseState::kComplete) << error.message;
    c.link = link.get();
    c.id = link->call(head, "x-request-id: 7\r\n", body, end, d, c);
  }
  void settle() { loop->run_for(50ms); }

  ScriptService service;
  std::unique_ptr<async::SimLoop> loop;
  std::unique_ptr<http::Server> server;
  std::unique_ptr<Link> link;
  std::optional<Error> closed;
  bool ready = false, goaway = false;
};

std::string request(const std::string& path, const std::string& method = "POST") {
  return method + " " + path + " HTTP/1.1\r\nHost: a\r\n\r\n";
}

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

// ---- a replica, and a proxy, that break the rules ----

Header header(Type type, uint32_t stream, size_t length = 0, uint32_t head_len = 0, uint8_t flags = 0) {
  Header h{};
  h.type = type;
  h.stream = stream;
  h.length = static_cast<uint32_t>(length);
  h.head_len = head_len;
  h.flags = flags;
  return h;
}

std::string frame_text(const Header& h, std::string_view payload = {}) {
  std::string out;
  append_frame(out, h, payload);
  return out;
}

std::string hello(uint32_t version = kVersion, uint32_t max = 100) {
  const HelloPayload p{version, 0, max};
  return frame_text(header(Type::kHello, 0, sizeof p), {reinterpret_cast<const char*>(&p), sizeof p});
}

struct FakeReplica final : async::StreamHandler {
  FakeReplica(async::SimLoop& loop, std::string greeting) : greeting_(std::move(greeting)) {
    listener = *loop.listen({"fake"}, [this](std::unique_ptr<async::Stream> s) {
      stream = std::move(s);
      stream->set_handler(this);
      stream->write(greeting_);
    });
  }
  size_t on_bytes(std::string_view data) override {
    got += data;
    return data.size();
  }
  void on_end() override { ended = true; }
  void on_closed(const Error&) override { ended = true; }
  std::unique_ptr<async::Listener> listener;
  std::unique_ptr<async::Stream> stream;
  std::string greeting_, got;
  bool ended = false;
};

struct BadReplicaCase {
  const char* name;
  std::string bytes;
  bool link_dies;
};

TEST(Link, a_replica_that_breaks_the_protocol_loses_the_link_and_a_bad_head_only_its_call) {
  const uint32_t first = 1 << 16;  // slot 0, generation 1
  const std::string head = "HTTP/1.1 200 OK\r\n\r\n";
  const auto reply = [&](const std::string& text, uint8_t flags) {
    return frame_text(header(Type::kReply, first, text.size(), static_cast<uint32_t>(text.size()), flags), text);
  };
  const BadReplicaCase kCases[] = {
      {"bad frame", std::string(20, '\xff'), true},
      {"body before head", frame_text(header(Type::kBody, first, 1), "x"), true},
      {"end before head", frame_text(header(Type::kEnd, first)), true},
      {"two heads", reply(head, 0) + reply(head, 0), true},
      {"never made", frame_text(header(Type::kBody, first + 7, 1), "x"), true},
      {"a request", frame_text(header(Type::kRequest, first, 1, 1), "x"), true},
      {"a second hello", hello(), true},
      {"bad trailers", reply(head, 0) + frame_text(header(Type::kEnd, first, 3), "x\r\n"), true},
      {"more than credit",
       reply(head, 0) + frame_text(header(Type::kBody, first, kStreamCredit + 1), std::string(kStreamCredit + 1, 'x')),
       true},
      {"injected line", reply("HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\n\r\n", 1), false},
      {"half a head", reply("HTTP/1.1 200 OK\r\nX: a\r\n", 1), false},
      {"head and more", reply(head + "x", 1), false},
      {"interim", reply("HTTP/1.1 103 Early Hints\r\n\r\n", 0), false},
      {"stale generation", frame_text(header(Type::kBody, first + (5 << 16), 1), "x") + reply("nonsense\r\n\r\n", 1),
       false},
  };
  for (const auto& c : kCases) {
    auto loop = async::SimLoop::create({.seed = 2});
    FakeReplica fake(*loop, hello());
    std::optional<Error> closed;
    auto link = Link::connect(*loop, {"fake"}, Deadline::never(), {.on_closed = [&](const Error& e) { closed = e; }});
    loop->run_ready();
    ASSERT_TRUE(link->ready());
    Caller caller;
    const std::string text = request("/x");
    http::RequestHead parsed;
    http::ParseError error;
    parse_request_head(text, parsed, error);
    link->call(parsed, {}, {}, true, Deadline::never(), caller);
    loop->run_ready();
    fake.stream->write(c.bytes);
    loop->run_ready();
    EXPECT_EQ(closed.has_value(), c.link_dies) << c.name << (closed ? closed->message : "");
    ASSERT_TRUE(caller.error.has_value()) << c.name;
    if (c.link_dies)
      EXPECT_THAT(closed->message, HasSubstr("does not keep to the protocol")) << c.name;
    else
      EXPECT_EQ(caller.error->reason, "bad_reply") << c.name;
  }
}

TEST(Link, another_version_is_refused_by_name) {
  auto loop = async::SimLoop::create({.seed = 2});
  FakeReplica fake(*loop, hello(7));
  std::optional<Error> closed;
  auto link = Link::connect(*loop, {"fake"}, Deadline::never(), {.on_closed = [&](const Error& e) { closed = e; }});
  loop->run_ready();
  ASSERT_TRUE(closed.has_value());
  EXPECT_THAT(closed->message, HasSubstr("speaks version 7 of the framed protocol, this proxy 1"));
}

TEST(Link, a_peer_that_says_nothing_is_given_up_at_the_deadline) {
  auto loop = async::SimLoop::create({.seed = 2});
  FakeReplica fake(*loop, "");
  std::optional<Error> closed;
  auto link = Link::connect(*loop, {"fake"}, Deadline::after(loop->now(), 2s),
                            {.on_closed = [&](const Error& e) { closed = e; }});
  loop->run_for(1s);
  EXPECT_FALSE(closed.has_value());
  loop->run_for(2s);
  ASSERT_TRUE(closed.has_value());
  EXPECT_EQ(closed->code, Code::kDeadlineExceeded);
}

TEST(Link, a_replica_is_not_given_more_calls_than_it_takes) {
  auto loop = async::SimLoop::create({.seed = 2});
  FakeReplica fake(*loop, hello(kVersion, 2));
  auto link = Link::connect(*loop, {"fake"}, Deadline::never(), {});
  loop->run_ready();
  const std::string text = request("/x");
  http::RequestHead parsed;
  http::ParseError error;
  parse_request_head(text, parsed, error);
  Caller a, b, c, d;
  a.id = link->call(parsed, {}, {}, true, Deadline::never(), a);
  link->call(parsed, {}, {}, true, Deadline::never(), b);
  link->call(parsed, {}, {}, true, Deadline::never(), c);
  loop->run_ready();
  EXPECT_FALSE(a.over() || b.over());
  ASSERT_TRUE(c.error.has_value());
  EXPECT_EQ(c.error->reason, "link_full");
  link->cancel(a.id);
  link->call(parsed, {}, {}, true, Deadline::never(), d);
  loop->run_ready();
  EXPECT_FALSE(d.over());
}

TEST_P(LinkCut, a_proxy_that_breaks_the_protocol_loses_the_link_and_its_calls) {
  const std::string text = request("/hold");
  const auto call = [&](uint32_t stream, uint8_t flags) {
    return frame_text(header(Type::kRequest, stream, text.size(), static_cast<uint32_t>(text.size()), flags), text);
  };
  const uint32_t first = 1 << 16;
  const std::string kCases[] = {
      "x",
      std::string(20, '\0'),
      call(first, 1) + call(first, 1),
      call(first, 1) + call(first + (1 << 16), 1),
      call(first + 0xffff, 1),
      call(first, 1) + frame_text(header(Type::kBody, first, 1), "x"),
      call(first, 1) + frame_text(header(Type::kEnd, first)),
      call(first, 0) + frame_text(header(Type::kEnd, first, 2), "xx"),
      call(first, 0) + frame_text(header(Type::kBody, first, kStreamCredit + 1), std::string(kStreamCredit + 1, 'x')),
      frame_text(header(Type::kReply, first, 1, 1), "x"),
      frame_text(header(Type::kGoaway, 0)) + call(first, 1),
      hello(),
  };
  for (size_t i = 0; i < std::size(kCases); ++i) {
    Bench b(GetParam());
    RawPeer peer(*b.loop, {"replica"});
    peer.send(std::string(kMagic) + (i < 2 ? "" : hello()) + kCases[i] + std::string(i == 0 ? 30 : 0, 'x'));
    b.loop->run_ready();
    EXPECT_TRUE(peer.ended || peer.closed) << i;
    for (auto& c : b.service.calls) EXPECT_TRUE(c->done && !c->ok) << i;
    EXPECT_EQ(b.server->stats().open_requests, 0u);
    EXPECT_TRUE(b.link->ready()) << "other links are not concerned";
  }
}

TEST(Link, a_request_head_that_the_replica_refuses_is_answered_and_the_link_lives) {
  Bench b;
  RawPeer peer(*b.loop, {"replica"});
  const std::string bad = "GET / HTTP/1.1\r\nbad field: 1\r\n\r\n", good = request("/echo");
  peer.send(
      std::string(kMagic) + hello() +
      frame_text(header(Type::kRequest, 1 << 16, bad.size(), static_cast<uint32_t>(bad.size()), 1), bad) +
      frame_text(header(Type::kRequest, (1 << 16) + 1, good.size(), static_cast<uint32_t>(good.size()), 1), good));
  b.loop->run_ready();
  EXPECT_THAT(peer.text, HasSubstr("HTTP/1.1 400 Bad Request"));
  EXPECT_THAT(peer.text, HasSubstr("HTTP/1.1 200 OK"));
  EXPECT_FALSE(peer.ended);
}

}  // namespace
}  // namespace colony::frame
