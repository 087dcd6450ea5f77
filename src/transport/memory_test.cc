// What a client makes a server keep, when no memory is left for it: the end of one call, never of the process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/scarce_memory.h"
#include "transport/frame/link_test_support.h"
#include "transport/grpc/framing.h"
#include "transport/grpc/service.h"
#include "transport/http/h1_test_support.h"
#include "transport/http/ws.h"

namespace colony {
namespace {

using colony::testing::ScarceMemory;
using ::testing::HasSubstr;
using State = grpc::MessageDecoder::State;

constexpr size_t kLarge = size_t{1} << 20;

TEST(MemoryEnds, ADecoderTurnsBadAndKeepsNothing) {
  std::string wire;
  grpc::append_message(wire, std::string(kLarge, 'x'));
  for (const size_t step : {size_t{1000}, size_t{200'000}}) {
    grpc::MessageDecoder decoder(kLarge);
    std::string_view message;
    auto state = State::kNeedMore;
    for (size_t at = 0; at < wire.size() && state == State::kNeedMore; at += step) {
      const ScarceMemory scarce(kLarge);
      decoder.feed(std::string_view(wire).substr(at, step));
      state = decoder.next(message);
    }
    EXPECT_EQ(state, State::kBad);
    EXPECT_EQ(decoder.error().code, Code::kResourceExhausted);
    EXPECT_EQ(decoder.error().reason, "out_of_memory");
    EXPECT_EQ(decoder.buffered(), 0u);
    EXPECT_EQ(decoder.next(message), State::kBad);
  }
  grpc::MessageDecoder kept(kLarge);
  {
    const ScarceMemory scarce(kLarge);
    kept.feed(wire);
    kept.keep();
  }
  EXPECT_TRUE(kept.bad());
}

struct Listener final : grpc::StreamHandler {
  void on_message(std::string_view) override {}
  void on_half_close() override {}
};

TEST(MemoryEnds, AGrpcCallEndsAloneHoweverItsMethodIsServed) {
  grpc::Dispatcher dispatcher;
  dispatcher.unary("/t.S/One", [](std::string_view message, grpc::UnaryCall& call) { call.finish(message); });
  dispatcher.streaming("/t.S/Many", [](grpc::StreamCall&) -> std::unique_ptr<grpc::StreamHandler> {
    return std::make_unique<Listener>();
  });
  struct Service final : http::Service {
    explicit Service(grpc::Dispatcher& to) : d(to) {}
    http::ExchangeHandler* on_request(http::Exchange& e, const http::RequestHead& h) override {
      return d.on_request(e, h);
    }
    grpc::Dispatcher& d;
  } service(dispatcher);
  const auto loop = async::SimLoop::create({.seed = 2});
  const auto server = http::Server::listen(*loop, {"replica"}, service, {.accept_frames = true});
  ASSERT_TRUE(server.has_value());
  const auto link = frame::Link::connect(*loop, {"replica"}, Deadline::never(), {});
  loop->run_for(100ms);
  std::string large, small;
  grpc::append_message(large, std::string(4 * kLarge, 'x'));
  grpc::append_message(small, "x");
  const auto send = [&](frame::testing::Caller& caller, const std::string& path, const std::string& body) {
    http::RequestHead head;
    http::ParseError error;
    const std::string text =
        "POST /t.S/" + path + " HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\nte: trailers\r\n\r\n";
    ASSERT_EQ(parse_request_head(text, head, error), http::ParseState::kComplete);
    caller.link = link.get();
    caller.id = link->call(head, {}, body, true, Deadline::never(), caller);
    loop->run_for(50ms);
  };
  for (const char* path : {"One", "Many"}) {
    frame::testing::Caller caller;
    const ScarceMemory scarce(4 * kLarge + 5, 4 * kLarge + 64);
    send(caller, path, large);
    EXPECT_EQ(scarce.failed(), 1u);
    ASSERT_TRUE(caller.over()) << path;
    EXPECT_THAT(caller.head, HasSubstr("grpc-status: 8\r\n"));
    EXPECT_THAT(caller.head, HasSubstr("x-colony-reason: out_of_memory\r\n"));
  }
  EXPECT_EQ(dispatcher.stats().open_calls, 0u);
  EXPECT_EQ(dispatcher.buffered_bytes(), 0u);
  frame::testing::Caller good;
  send(good, "One", small);
  EXPECT_EQ(good.body, small);
}

TEST(MemoryEnds, AReplyThatCannotWaitForItsCallerIsBrokenOff) {
  for (const bool at_once : {true, false}) {
    frame::testing::Bench b;
    frame::testing::Caller large, small;
    large.eager = false;
    b.call(large, frame::testing::request("/hold"));
    b.settle();
    const std::string reply(8 * kLarge, 'r');
    auto& call = b.service.last();
    {
      const ScarceMemory scarce(4 * kLarge);
      if (at_once) {
        call.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", reply, http::More::kNo);
      } else {
        call.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", {}, http::More::kYes);
        call.exchange->body(reply, http::More::kYes);
        call.exchange->body("more", http::More::kYes);
        call.exchange->end({});
      }
    }
    b.settle();
    ASSERT_TRUE(large.error.has_value());
    EXPECT_THAT(large.error->message, HasSubstr("memory"));
    EXPECT_TRUE(call.done && !call.ok);
    b.call(small, frame::testing::request("/echo"), "fine");
    b.settle();
    EXPECT_EQ(small.body, "fine");
    EXPECT_FALSE(b.closed);
  }
}

struct Silent final : http::WebSocketHandler {
  void on_message(Kind, std::string_view) override { ADD_FAILURE(); }
  void on_closed(uint16_t c) override { code = c; }
  uint16_t code = 0;
};

TEST(MemoryEnds, AWebSocketIsClosed) {
  struct Service final : http::Service {
    http::ExchangeHandler* on_request(http::Exchange& exchange, const http::RequestHead& head) override {
      std::string lines;
      return *http::WebSocket::accept(exchange, head, {}, user, {}, lines);
    }
    Silent user;
  } service;
  const auto loop = async::SimLoop::create({.seed = 3});
  const auto server = http::Server::listen(*loop, {"server"}, service, {});
  ASSERT_TRUE(server.has_value());
  http::testing::RawPeer peer(*loop, {"server"});
  peer.send(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  loop->run_ready();
  peer.send(std::string("\x82\xff\0\0\0\0\0\x80\0\0\0\0\0\0", 14));  // a binary message of 8 MiB, a mask of zeros
  std::string large(8 * kLarge, 'x');
  peer.send(large);
  {
    const ScarceMemory scarce(4 * kLarge);
    loop->run_for(1s);
  }
  loop->run_for(10s);
  EXPECT_EQ(service.user.code, 1011);
  EXPECT_THAT(peer.text, HasSubstr("\x03\xf3no memory is left for this message"));
}

}  // namespace
}  // namespace colony
