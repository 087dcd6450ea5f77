// Each end of the framed link against a peer that breaks the rules: what it does wrong costs it the link, a bad head only
// the call.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transport/frame/flow.h"
#include "transport/frame/link_test_support.h"

namespace colony::frame {
namespace {

using http::testing::RawPeer;
using testing::Bench;
using testing::Caller;
using ::testing::HasSubstr;
using testing::request;

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

TEST(LinkRules, a_replica_that_breaks_the_protocol_loses_the_link_and_a_bad_head_only_its_call) {
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
      {"interim that ends", reply("HTTP/1.1 103 Early Hints\r\n\r\n", 1), false},
      {"a tunnel that was not asked for", reply("HTTP/1.1 101 X\r\n\r\n", 0), false},
      {"tunnel that ends at once", reply("HTTP/1.1 101 X\r\n\r\n", 1), false},
      {"tunnel that ends twice",
       reply("HTTP/1.1 101 X\r\n\r\n", 0) + frame_text(header(Type::kEnd, first)) +
           frame_text(header(Type::kEnd, first)),
       true},
      {"tunnel that goes on after its end",
       reply("HTTP/1.1 101 X\r\n\r\n", 0) + frame_text(header(Type::kBody, first, 1, 0, kFlagEnd), "x") +
           frame_text(header(Type::kBody, first, 1), "x"),
       true},
      {"a drain", frame_text(header(Type::kDrain, first)), true},
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
    const bool tunnel = std::string_view(c.name).starts_with("tunnel");
    link->call(parsed, {}, {}, !tunnel, Deadline::never(), caller);
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

TEST(LinkRules, another_version_is_refused_by_name) {
  auto loop = async::SimLoop::create({.seed = 2});
  FakeReplica fake(*loop, hello(7));
  std::optional<Error> closed;
  auto link = Link::connect(*loop, {"fake"}, Deadline::never(), {.on_closed = [&](const Error& e) { closed = e; }});
  loop->run_ready();
  ASSERT_TRUE(closed.has_value());
  EXPECT_THAT(closed->message, HasSubstr("speaks version 7 of the framed protocol, this proxy 1"));
}

TEST(LinkRules, a_peer_that_says_nothing_is_given_up_at_the_deadline) {
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

TEST(LinkRules, a_replica_is_not_given_more_calls_than_it_takes) {
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

class LinkRulesCut : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Cut, LinkRulesCut, ::testing::Values(0, 1, 2, 5, 7));

TEST_P(LinkRulesCut, a_proxy_that_breaks_the_protocol_loses_the_link_and_its_calls) {
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

TEST(LinkRules, a_request_head_that_the_replica_refuses_is_answered_and_the_link_lives) {
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
