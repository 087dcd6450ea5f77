// WebSockets on HTTP/1.1 connections in simulated time: who ends when, pings, and a client that does not read. The wire's
// rules are a table in tests/conformance/websocket_cases.py.
#include "transport/http/ws.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transport/http/h1_test_support.h"

namespace colony::http {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RawPeer;

struct User final : WebSocketHandler {
  void on_message(Kind kind, std::string_view data) override {
    messages.push_back((kind == Kind::kText ? "text " : "binary ") + std::string(data));
    if (echo) socket->send(kind, data);
  }
  void on_closed(uint16_t c) override { code = c; }
  WebSocket* socket = nullptr;
  std::vector<std::string> messages;
  int code = 0;
  bool echo = true;
};

struct SocketService final : Service {
  ExchangeHandler* on_request(Exchange& exchange, const RequestHead& head) override {
    EXPECT_TRUE(wants_websocket(head));
    std::string lines;
    auto socket = WebSocket::accept(exchange, head, "x-mine: 1\r\n", user, options, lines);
    EXPECT_TRUE(socket.has_value());
    return user.socket = *socket;
  }
  User user;
  WebSocketOptions options;
};

std::string frame(uint8_t first, std::string_view payload) {
  std::string out{static_cast<char>(first), static_cast<char>(0x80 | payload.size())};
  out += std::string(4, '\0');  // a mask of zeros
  return out + std::string(payload);
}

struct World {
  explicit World(size_t cut = 0, ServerOptions options = {}) {
    loop = async::SimLoop::create({.seed = 3, .max_chunk = cut, .stream_buffer = 64 * 1024});
    auto s = Server::listen(*loop, {"server"}, service, options);
    EXPECT_TRUE(s.has_value());
    server = std::move(*s);
    peer = std::make_unique<RawPeer>(*loop, async::Endpoint{"server"});
    peer->send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    loop->run_ready();
    const size_t end = peer->text.find("\r\n\r\n");
    EXPECT_THAT(peer->text.substr(0, end), HasSubstr("x-mine: 1"));
    peer->text.erase(0, end + 4);
  }
  ~World() { server.reset(); }
  std::string take(Duration d = Duration::zero()) {
    loop->run_ready();
    if (d > Duration::zero()) loop->run_for(d);
    return peer->take();
  }
  SocketService service;
  std::unique_ptr<async::SimLoop> loop;
  std::unique_ptr<Server> server;
  std::unique_ptr<RawPeer> peer;
};

const std::string kPing =
    "\x89\x06"
    "colony";

TEST(WebSocket, messages_come_whole_however_the_bytes_are_cut) {
  for (const size_t cut : {0, 1, 2, 3, 7}) {
    World w(cut);
    w.peer->send(frame(0x01, "Hel") + frame(0x89, "p") + frame(0x80, "lo") + frame(0x82, std::string("\0\xff", 2)));
    EXPECT_EQ(w.take(), std::string("\x8a\x01p\x81\x05Hello\x82\x02\0\xff", 14)) << cut;
    EXPECT_THAT(w.service.user.messages, ElementsAre("text Hello", std::string("binary \0\xff", 9)));
  }
}

TEST(WebSocket, the_client_closes_and_the_server_ends_first) {
  World w;
  w.peer->send(frame(0x88,
                     "\x03\xe8"
                     "bye"));
  EXPECT_EQ(w.take(), "\x88\x02\x03\xe8");
  EXPECT_TRUE(w.peer->ended);
  EXPECT_EQ(w.service.user.code, 0) << "the client has not ended yet";
  w.peer->stream->shutdown_write();
  w.take();
  EXPECT_EQ(w.service.user.code, 1000);
  EXPECT_EQ(w.server->stats().open_connections, 0u);
}

TEST(WebSocket, the_server_closes_and_awaits_the_answer) {
  World w;
  w.service.user.socket->close(4001, "enough");
  EXPECT_EQ(w.take(),
            "\x88\x08\x0f\xa1"
            "enough");
  w.peer->send(frame(0x81, "late") + frame(0x89, "p"));
  EXPECT_EQ(w.take(), "") << "nothing is said after a close";
  EXPECT_FALSE(w.peer->ended);
  w.peer->send(frame(0x88, "\x0f\xa1"));
  w.take();
  EXPECT_TRUE(w.peer->ended);
  w.peer->stream->shutdown_write();
  w.take();
  EXPECT_EQ(w.service.user.code, 4001);
  EXPECT_THAT(w.service.user.messages, IsEmpty());
}

TEST(WebSocket, a_client_that_does_not_answer_a_close_is_cut_off) {
  World w;
  w.service.user.socket->close(1000, "");
  w.take(4s);
  EXPECT_FALSE(w.peer->ended);
  w.take(2s);
  EXPECT_TRUE(w.peer->ended);
  w.take(10s);
  EXPECT_EQ(w.service.user.code, 1000);
  EXPECT_EQ(w.server->stats().open_connections, 0u);
}

TEST(WebSocket, a_client_that_breaks_the_rules_and_stays_is_cut_off) {
  World w;
  w.peer->send(frame(0xc1, "x"));
  EXPECT_EQ(w.take().substr(0, 4), std::string("\x88\x17\x03\xea", 4));
  EXPECT_TRUE(w.peer->ended);
  for (int i = 0; i < 20; ++i) {
    w.peer->send(frame(0x81, "x"));
    w.take(1s);
  }
  EXPECT_EQ(w.service.user.code, 1002);
  EXPECT_EQ(w.server->stats().open_connections, 0u);
  EXPECT_THAT(w.service.user.messages, IsEmpty());
}

TEST(WebSocket, a_silent_client_is_pinged_and_then_given_up) {
  World w;
  EXPECT_EQ(w.take(19s), "");
  EXPECT_EQ(w.take(2s), kPing);
  w.peer->send(frame(0x8a, "colony"));
  EXPECT_EQ(w.take(19s), "");
  EXPECT_EQ(w.take(2s), kPing);
  w.take(18s);
  EXPECT_FALSE(w.peer->ended);
  EXPECT_EQ(w.take(3s).substr(2, 2), "\x03\xf3") << "1011";
  EXPECT_TRUE(w.peer->ended);
  w.take(10s);
  EXPECT_EQ(w.service.user.code, 1011);
}

TEST(WebSocket, a_client_that_talks_is_not_pinged) {
  World w;
  for (int i = 0; i < 10; ++i) {
    w.peer->send(frame(0x81, "x"));
    EXPECT_EQ(w.take(15s), "\x81\x01x");
  }
}

TEST(WebSocket, a_broken_connection_is_told_as_one) {
  for (const bool half : {false, true}) {
    World w;
    w.peer->send(frame(0x01, "begun"));
    w.take();
    if (half)
      w.peer->stream->shutdown_write();
    else
      w.peer->hang_up();
    w.take();
    EXPECT_EQ(w.service.user.code, 1006);
    EXPECT_EQ(w.server->stats().open_connections, 0u);
  }
}

TEST(WebSocket, a_drain_says_that_the_server_goes_away) {
  World w;
  w.server->drain();
  EXPECT_EQ(w.take().substr(2, 2), "\x03\xe9") << "1001";
  w.peer->send(frame(0x88, "\x03\xe9"));
  w.take();
  w.peer->stream->shutdown_write();
  w.take();
  EXPECT_EQ(w.service.user.code, 1001);
  EXPECT_TRUE(w.server->drained());
}

TEST(WebSocket, a_client_that_does_not_read_is_not_read) {
  World w;
  w.peer->stream->pause();
  const std::string message(100, 'm');
  std::string many;
  for (int i = 0; i < 20000; ++i) many += frame(0x82, message);
  w.peer->send(many);
  w.loop->run_ready();
  EXPECT_LT(w.service.user.messages.size(), 10000u);
  w.peer->stream->resume();
  w.loop->run_ready();
  EXPECT_EQ(w.service.user.messages.size(), 20000u);
  EXPECT_EQ(w.take().size(), 20000u * 102);
}

TEST(WebSocket, large_messages_are_echoed_and_too_large_ones_refused) {
  World w;
  std::string large{"\x82\xff\0\0\0\0\0\x10\0\0\0\0\0\0", 14};  // 1 MiB
  large += std::string(1 << 20, 'l');
  w.peer->send(large);
  EXPECT_EQ(w.take().size(), (1u << 20) + 10);
  w.peer->send(std::string("\x82\xff\0\0\0\0\x01\0\0\x01\0\0\0\0", 14));
  EXPECT_EQ(w.take().substr(2, 2), "\x03\xf1") << "1009";
}

}  // namespace
}  // namespace colony::http
