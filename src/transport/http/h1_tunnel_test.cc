// Connections that were upgraded: bytes both ways, and every way in which a tunnel ends or is not granted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transport/http/h1_test_support.h"

namespace colony::http {
namespace {

using testing::Bench;
using ::testing::EndsWith;
using testing::RawPeer;
using testing::take_reply;

class H1Tunnel : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Cut, H1Tunnel, ::testing::Values(0, 1, 3, 7));

constexpr std::string_view kUpgrade = " HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n";
std::string upgrade(std::string_view path) { return "GET " + std::string(path) + std::string(kUpgrade); }

TEST_P(H1Tunnel, a_tunnel_carries_bytes_both_ways_until_both_halves_have_ended) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  peer.send(upgrade("/tunnel") + "early ");  // bytes that do not wait for the switch
  b.settle();
  EXPECT_EQ(peer.take(),
            "HTTP/1.1 101 Switching Protocols\r\nx-t: 1\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\nhi early ");
  peer.send("GET / HTTP/1.1\r\n");
  b.settle();
  EXPECT_EQ(peer.take(), "GET / HTTP/1.1\r\n");
  EXPECT_FALSE(b.service.last().done);
  peer.stream->shutdown_write();
  b.settle();
  EXPECT_TRUE(peer.ended);
  EXPECT_TRUE(b.service.last().done && b.service.last().ok);
  EXPECT_EQ(b.service.calls.size(), 1u);
  EXPECT_TRUE(b.connections.empty());
  EXPECT_EQ(b.stats.open_requests, 0u);
}

TEST_P(H1Tunnel, a_tunnel_goes_on_in_one_direction_when_the_other_has_ended) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  peer.send(upgrade("/tunnel/first"));
  b.settle();
  EXPECT_TRUE(peer.ended);
  peer.send("still heard");
  b.settle();
  EXPECT_EQ(b.service.last().body, "still heard");
  EXPECT_FALSE(b.service.last().done);
  peer.stream->shutdown_write();
  b.settle();
  EXPECT_TRUE(b.service.last().done && b.service.last().ok);
}

TEST_P(H1Tunnel, a_tunnel_may_be_granted_late_or_refused_by_an_ordinary_reply) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  peer.send(upgrade("/echo"));
  b.settle();
  EXPECT_EQ(take_reply(peer.text, false).status, 200);
  peer.send(upgrade("/tunnel/late") + "early");
  b.settle();
  EXPECT_EQ(peer.text, "");
  b.service.last().release_tunnel();
  b.settle();
  EXPECT_THAT(peer.text, EndsWith("\r\n\r\nhi early"));
  peer.hang_up();
  b.settle();
  EXPECT_TRUE(b.service.last().done);
}

TEST_P(H1Tunnel, a_service_cannot_switch_protocols_unasked) {
  Bench b(GetParam());
  for (const char* text :
       {"GET /unasked HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /unasked HTTP/1.0\r\nHost: a\r\nConnection: "
        "upgrade\r\nUpgrade: raw\r\n\r\n",
        "POST /unasked HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: raw\r\nContent-Length: "
        "1\r\n\r\nx",
        "GET /unasked HTTP/1.1\r\nHost: a\r\nUpgrade: raw\r\n\r\n"}) {
    std::string answer = b.talk(text);
    EXPECT_EQ(take_reply(answer, true).status, 500) << text;
  }
}

TEST_P(H1Tunnel, a_tunnel_ends_when_nothing_moves_and_not_while_something_does) {
  Bench b(GetParam(), {.idle_timeout = 5s, .tunnel_idle = 20s});
  RawPeer peer(*b.loop, {"server"});
  peer.send(upgrade("/tunnel"));
  for (int i = 0; i < 5; ++i) {
    b.pass(15s);
    peer.send("x");
  }
  b.pass(15s);
  EXPECT_FALSE(b.service.last().done);
  b.service.last().exchange->body("y", More::kYes);  // the other direction counts as well
  b.pass(15s);
  EXPECT_FALSE(b.service.last().done);
  b.pass(15s);
  EXPECT_TRUE(b.service.last().done && !b.service.last().ok);
  EXPECT_TRUE(b.connections.empty());
}

TEST_P(H1Tunnel, a_client_that_stays_after_the_server_has_ended_is_not_waited_for) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  peer.send(upgrade("/tunnel/first"));
  b.settle();
  ASSERT_TRUE(peer.ended);
  for (int i = 0; i < 3; ++i) {
    peer.send("x");
    b.pass(500ms);
  }
  EXPECT_EQ(b.service.last().body, "xxx");
  EXPECT_FALSE(b.service.last().done);
  b.pass(600ms);
  EXPECT_TRUE(b.service.last().done && b.service.last().ok) << "all that was said has left";
  EXPECT_TRUE(b.connections.empty());
  EXPECT_EQ(b.stats.hits[static_cast<size_t>(Limit::kTunnelIdle)], 0u);
}

TEST(H1TunnelRest, begins_when_the_servers_last_byte_has_left) {
  Bench b(0);
  RawPeer peer(*b.loop, {"server"});
  peer.send(upgrade("/tunnel"));
  b.settle();
  peer.stream->pause();
  const std::string last(500'000, 'x');
  b.service.last().exchange->body(last, More::kNo);
  b.pass(10s);
  EXPECT_FALSE(b.service.last().done) << "the client may still take it";
  peer.stream->resume();
  b.pass(1s);
  EXPECT_TRUE(peer.ended);
  EXPECT_THAT(peer.text, EndsWith("hi " + last));
  EXPECT_FALSE(b.service.last().done);
  b.pass(1100ms);
  EXPECT_TRUE(b.service.last().done && b.service.last().ok);
  EXPECT_TRUE(b.connections.empty());
}

TEST_P(H1Tunnel, a_drained_tunnel_is_ended_by_its_own_protocol) {
  Bench b(GetParam());
  RawPeer peer(*b.loop, {"server"});
  peer.send(upgrade("/tunnel"));
  b.settle();
  b.connections.front()->drain();
  b.settle();
  EXPECT_THAT(peer.text, EndsWith("hi bye"));
  EXPECT_TRUE(peer.ended);
  peer.stream->shutdown_write();
  b.settle();
  EXPECT_TRUE(b.connections.empty());
}

TEST(H1TunnelWindow, a_tunnel_holds_the_client_back_when_its_bytes_are_not_taken) {
  Bench b(0, {.body_window = 1000});
  RawPeer peer(*b.loop, {"server"});
  peer.stream->pause();
  peer.send(upgrade("/tunnel"));
  const size_t size = 2'000'000;
  peer.send(std::string(size, 'x'));
  b.settle();
  EXPECT_LT(b.service.last().body.size(), size) << "the reply's window is full";
  peer.stream->resume();
  b.settle();
  EXPECT_EQ(b.service.last().body.size(), size);
  EXPECT_EQ(peer.text.size() - peer.text.find("hi "), size + 3);
}

}  // namespace
}  // namespace colony::http
