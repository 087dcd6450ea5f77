// What the tests of misbehaving clients share: a server in simulated time, a client of bare frames, and what must be true
// after a connection was cut off.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "async/sim_loop.h"
#include "transport/http/h2_test_client.h"
#include "transport/http/h2_test_service.h"

namespace colony::http::testing {

enum Type : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRst = 3,
  kSettings = 4,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9
};
inline constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;
inline constexpr uint32_t kProtocolError = 1, kStreamClosed = 5, kCancel = 8, kEnhanceYourCalm = 11;

inline std::string u32(uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8), static_cast<char>(n)};
}

class H2AbuseTest : public ::testing::Test {
 protected:
  void start(ServerOptions options = {}, bool greet = true) {
    service.echo();
    peer.reset();
    server.reset();
    server = std::make_unique<H2TestServer>(*loop, async::Endpoint{"sim:80"}, service, options);
    peer = std::make_unique<H2RawPeer>(*loop, async::Endpoint{"sim:80"}, greet);
    loop->run_ready();
  }
  void send(std::string_view bytes) {
    peer->send(bytes);
    loop->run_ready();
  }
  std::string headers(uint32_t id, std::string fields, uint8_t flags = kEndHeaders | kEndStream) {
    return raw_frame(kHeaders, flags, id,
                     raw_field(":method", "POST") + raw_field(":scheme", "http") + raw_field(":path", "/") +
                         raw_field(":authority", "test.example") + fields);
  }
  uint32_t goaway_code() {
    const RawFrame* f = peer->first(kGoaway);
    return f == nullptr ? 0xffffffff : f->code();
  }
  uint32_t reset_code(uint32_t id) {
    for (const RawFrame& f : peer->frames) {
      if (f.type == kRst && f.stream == id) return f.code();
    }
    return 0xffffffff;
  }
  // The connection has ended with this code, all its requests are done, and a new connection is served.
  void expect_ended(uint32_t code) {
    EXPECT_EQ(goaway_code(), code);
    loop->run_for(2s);
    EXPECT_TRUE(peer->closed);
    EXPECT_EQ(server->connections(), 0u);
    for (const auto& s : service.seen) EXPECT_EQ(s->done_calls, 1);
    expect_serving();
  }
  void expect_serving() {
    service.echo();
    H2TestClient good(*loop, async::Endpoint{"sim:80"});
    auto call = good.get("/");
    EXPECT_TRUE(loop->run_until([&] { return call->closed; }));
    EXPECT_EQ(call->status, 200);
  }

  H2TestService service;
  std::unique_ptr<async::SimLoop> loop = async::SimLoop::create({});
  std::unique_ptr<H2TestServer> server;
  std::unique_ptr<H2RawPeer> peer;
};

}  // namespace colony::http::testing
