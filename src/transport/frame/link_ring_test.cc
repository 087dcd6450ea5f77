// How the two ends agree on shared memory: on the simulated loop, whose rings change nothing but the agreement, and once
// for real.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "async/epoll_loop.h"
#include "transport/frame/flow.h"
#include "transport/frame/link_test_support.h"

namespace colony::frame {
namespace {

using http::testing::RawPeer;
using testing::Bench;
using testing::Caller;
using testing::request;

std::string hello(uint32_t features) {
  const HelloPayload p{kVersion, features, 100};
  Header h{};
  h.type = Type::kHello;
  h.length = sizeof p;
  std::string out;
  append_frame(out, h, {reinterpret_cast<const char*>(&p), sizeof p});
  return out;
}

class LinkRingCut : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Cut, LinkRingCut, ::testing::Values(0, 1, 7));

TEST_P(LinkRingCut, a_link_is_ready_when_both_ends_have_agreed_and_carries_calls) {
  Bench b(GetParam(), Duration::zero(), {"unix:/sim/replica"});
  ASSERT_TRUE(b.ready && b.link->ready());
  Caller c;
  b.call(c, request("/echo"), "body");
  b.settle();
  EXPECT_EQ(c.body, "body");
}

// Whatever moment of the agreement the goodbye falls into, it is answered and the link ends without a time limit.
TEST(LinkRing, a_replica_that_drains_during_the_agreement_is_left_at_once) {
  for (int ms = 0; ms <= 80; ms += 5) {
    Bench b(0, 10ms, {"unix:/sim/replica"});
    b.link.reset();
    b.ready = b.goaway = false;
    b.closed.reset();
    b.link = Link::connect(*b.loop, b.at, Deadline::never(),
                           {.on_ready = [&] { b.ready = true; }, .on_closed = [&](const Error& e) { b.closed = e; }});
    b.loop->run_for(std::chrono::milliseconds(ms));
    b.server->drain_connections();
    b.loop->run_for(300ms);
    const bool was_told = b.server->stats().open_links == 0;
    EXPECT_TRUE(was_told ? b.closed.has_value() : b.link->ready()) << ms << " ms";
  }
}

TEST(LinkRing, an_offer_that_was_not_expected_ends_the_link) {
  for (const uint32_t features : {0u, kFeatureRing}) {
    Bench b(0, Duration::zero(), {"unix:/sim/replica"});
    RawPeer peer(*b.loop, b.at);
    peer.send(std::string(kMagic) + hello(features));
    peer.send(ring_frame(false));
    b.settle();
    const bool expected = features != 0;
    EXPECT_EQ(peer.ended || peer.closed, !expected);
    if (!expected) continue;
    EXPECT_TRUE(peer.text.ends_with(ring_frame(true)));
    peer.send(ring_frame(false));  // a second time
    b.settle();
    EXPECT_TRUE(peer.ended || peer.closed);
  }
}

// A replica of a few bytes; `says` follows its hello.
struct Fake final : async::StreamHandler {
  Fake(async::SimLoop& loop, async::Endpoint at, std::string says) {
    listener = *loop.listen(at, [this, says](std::unique_ptr<async::Stream> s) {
      stream = std::move(s);
      stream->set_handler(this);
      stream->write(hello(kFeatureRing) + says);
    });
    link = Link::connect(loop, at, Deadline::never(), {.on_closed = [this](const Error& e) { closed = e; }});
    loop.run_for(100ms);
  }
  size_t on_bytes(std::string_view data) override { return data.size(); }
  void on_end() override {}
  void on_closed(const Error&) override {}

  std::unique_ptr<async::Listener> listener;
  std::unique_ptr<async::Stream> stream;
  std::unique_ptr<Link> link;
  std::optional<Error> closed;
};

TEST(LinkRing, the_link_waits_for_the_answer_and_goes_on_without_a_ring_when_it_is_no) {
  auto loop = async::SimLoop::create({.seed = 1});
  Fake silent(*loop, {"unix:/sim/silent"}, ""), no(*loop, {"unix:/sim/no"}, ring_frame(false));
  EXPECT_FALSE(silent.link->ready());
  EXPECT_TRUE(no.link->ready());
}

TEST(LinkRing, an_answer_about_a_ring_that_was_not_offered_ends_the_link) {
  auto loop = async::SimLoop::create({.seed = 1});
  Fake over_tcp(*loop, {"10.0.0.1:80"}, ring_frame(true)),
      twice(*loop, {"unix:/sim/t"}, ring_frame(true) + ring_frame(true));
  for (const Fake* f : {&over_tcp, &twice}) {
    ASSERT_TRUE(f->closed.has_value());
    EXPECT_THAT(f->closed->message, ::testing::HasSubstr("a ring that was not offered"));
  }
}

// One loop plays both processes.
TEST(LinkRing, bodies_large_and_small_go_through_real_shared_memory) {
  std::string pattern = (std::filesystem::temp_directory_path() / "colony-link-XXXXXX").string();
  const std::filesystem::path dir = ::mkdtemp(pattern.data());
  auto loop = async::EpollLoop::create();
  http::testing::ScriptService service;
  auto server = http::Server::listen(*loop, {"unix:" + (dir / "s").string()}, service, {.accept_frames = true});
  ASSERT_TRUE(server.has_value());
  std::vector<Caller> callers(20);
  std::string large(1'000'000, ' ');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>('a' + i % 23);
  const std::string text = request("/echo");
  http::RequestHead head;
  http::ParseError error;
  ASSERT_EQ(parse_request_head(text, head, error), http::ParseState::kComplete);
  std::unique_ptr<Link> link;
  link = Link::connect(*loop, (*server)->endpoint(), Deadline::never(), {.on_ready = [&] {
    for (size_t i = 0; i < callers.size(); ++i) {
      callers[i].link = link.get();
      callers[i].to_send = i % 2 ? large : "small";
      callers[i].id = link->call(head, {}, {}, false, Deadline::never(), callers[i]);
      callers[i].send();
    }
  }});
  async::Timer look(*loop, [&] {
    const bool all = std::ranges::all_of(callers, [](const Caller& c) { return c.over(); });
    all ? loop->stop() : look.arm_after(1ms);
  });
  look.arm_after(1ms);
  loop->run();
  for (size_t i = 0; i < callers.size(); ++i) EXPECT_TRUE(callers[i].body == (i % 2 ? large : "small")) << i;
  std::ifstream maps("/proc/self/maps");
  int rings = 0;
  for (std::string line; std::getline(maps, line);) rings += line.find("colony-ring") != std::string::npos;
  EXPECT_EQ(rings, 2) << "both ends have the memory";
  link.reset();
  server->reset();
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace colony::frame
