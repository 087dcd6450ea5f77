// A connection at rest holds no H2Work, and whatever comes next finds it as it was: tables, windows, budgets, ids.
#include "transport/http/h2_test_support.h"
#include "transport/http/h2_work.h"

namespace colony::http::testing {
namespace {

constexpr uint32_t kNotEnded = 0xffffffff;

class H2RestTest : public H2AbuseTest {
 protected:
  ~H2RestTest() override {
    peer.reset();
    server.reset();
    loop->run_for(1s);
    EXPECT_EQ(H2Work::lent_here(), 0u) << "connections that ended have given everything back";
  }
  void expect_rest() { EXPECT_EQ(H2Work::lent_here(), 0u); }
  // Its reply is `size` bytes.
  void reply_with(size_t size) {
    service.on_end = [size](H2TestService::Seen& s) {
      s.exchange->reply("HTTP/1.1 200 OK\r\n\r\n", std::string(size, 'x'), More::kNo);
    };
  }
  size_t data_bytes() const {
    size_t n = 0;
    for (const RawFrame& f : peer->frames) n += f.type == kData ? f.payload.size() : 0;
    return n;
  }
};

TEST_F(H2RestTest, OnlyConnectionsWithRequestsHoldWork) {
  start();
  expect_rest();
  std::vector<std::unique_ptr<H2TestClient>> clients;
  for (int i = 0; i < 50; ++i) clients.push_back(std::make_unique<H2TestClient>(*loop, async::Endpoint{"sim:80"}));
  loop->run_ready();
  expect_rest();
  std::vector<std::shared_ptr<H2TestCall>> calls;
  service.on_end = nullptr;
  for (size_t i = 0; i < 50; ++i) {
    calls.push_back(clients[i]->get("/"));
    loop->run_ready();
    EXPECT_EQ(H2Work::lent_here(), i + 1);
  }
  for (size_t i = 0; i < 50; ++i) {
    service.seen[i]->exchange->reply("HTTP/1.1 200 OK\r\n\r\n", "late", More::kNo);
    loop->run_ready();
    EXPECT_EQ(calls[i]->body, "late");
    EXPECT_EQ(H2Work::lent_here(), 49 - i);
  }
}

TEST_F(H2RestTest, WhatIsNotWholeKeepsItsWork) {
  start();
  send(raw_frame(kHeaders, kEndStream, 1, {}));  // without END_HEADERS
  EXPECT_EQ(H2Work::lent_here(), 1u);
  send(raw_frame(kContinuation, kEndHeaders, 1,
                 raw_field(":method", "GET") + raw_field(":scheme", "http") + raw_field(":path", "/") +
                     raw_field(":authority", "test.example")));
  EXPECT_EQ(peer->count(kHeaders), 1u);
  expect_rest();
  send(headers(3, {}, kEndHeaders) + raw_frame(kRst, 0, 3, u32(kCancel)) +
       raw_frame(kData, 0, 3, "late").substr(0, 10));
  EXPECT_EQ(H2Work::lent_here(), 1u) << "of a stream that is over, but the frame is not";
}

TEST_F(H2RestTest, BytesOnTheirWayKeepIt) {
  start();
  reply_with(4 << 20);
  peer->pause();
  send(raw_frame(kSettings, 0, 0, std::string("\0\4", 2) + u32(0x7fffffff)) +
       raw_frame(kWindowUpdate, 0, 0, u32(0x7fff0000)) + raw_headers(1, true));
  loop->run_for(1s);
  EXPECT_EQ(H2Work::lent_here(), 1u);
  peer->resume();
  loop->run_for(1s);
  EXPECT_EQ(data_bytes(), 4u << 20);
  expect_rest();
}

TEST_F(H2RestTest, TablesOfBothDirectionsLast) {
  start();
  service.on_end = [](H2TestService::Seen& s) {
    s.exchange->reply("HTTP/1.1 200 OK\r\nx-mark: " + s.path.substr(1) + "\r\nx-same: always the same value\r\n\r\n",
                      s.path, More::kNo);
  };
  H2TestClient client(*loop, async::Endpoint{"sim:80"});
  for (int i = 0; i < 60; ++i) {
    const std::string path = "/" + std::string(static_cast<size_t>(i % 7) * 20 + 1, 'p');
    auto call =
        client.call("GET", path, {{"x-field-" + std::to_string(i % 11), path}, {"x-steady", "as ever"}}, {}, true);
    EXPECT_TRUE(loop->run_until([&] { return call->closed; }));
    loop->run_ready();
    EXPECT_EQ(call->status, 200);
    EXPECT_EQ(call->body, path);
    EXPECT_EQ(call->headers["x-mark"], path.substr(1));
    EXPECT_EQ(call->headers["x-same"], "always the same value");
    EXPECT_NE(service.seen.back()->head.find("x-field-" + std::to_string(i % 11) + ": " + path + "\r\n"),
              std::string::npos);
    EXPECT_NE(service.seen.back()->head.find("x-steady: as ever\r\n"), std::string::npos);
    expect_rest();
    if (i % 10 == 9) loop->run_for(10s);
  }
}

TEST_F(H2RestTest, WindowsLast) {
  start();
  reply_with(40'000);
  send(raw_headers(1, true));
  expect_rest();
  loop->run_for(20s);
  send(raw_headers(3, true));
  EXPECT_EQ(data_bytes(), 65'535u) << "the connection's window";
  EXPECT_EQ(H2Work::lent_here(), 1u);
  send(raw_frame(kWindowUpdate, 0, 0, u32(14'465)));
  EXPECT_EQ(data_bytes(), 80'000u);
  expect_rest();
  send(raw_frame(kWindowUpdate, 0, 0, u32(1'000'000)));  // comes to one that rests
  expect_rest();
  send(raw_frame(kSettings, 0, 0, std::string("\0\4", 2) + u32(30'000)));
  expect_rest();
  send(raw_headers(5, true));
  EXPECT_EQ(data_bytes(), 110'000u) << "a stream's window";
  send(raw_frame(kWindowUpdate, 0, 5, u32(10'000)));
  EXPECT_EQ(data_bytes(), 120'000u);
  expect_rest();
}

TEST_F(H2RestTest, BudgetsAreNotFreshAfterARest) {
  start();
  const auto pings = [](int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += raw_frame(kPing, 0, 0, "12345678");
    return out;
  };
  for (int i = 0; i < 9; ++i) {
    send(pings(100));
    expect_rest();
  }
  EXPECT_EQ(goaway_code(), kNotEnded);
  send(pings(200));
  expect_ended(kEnhanceYourCalm);
}

TEST_F(H2RestTest, ARapidResetAfterEachRestIsStillOne) {
  start();
  service.on_end = nullptr;
  uint32_t id = 1;
  for (; id < 2000 && goaway_code() == kNotEnded; id += 2) {
    send(raw_headers(id, true) + raw_frame(kRst, 0, id, u32(kCancel)));
    if (goaway_code() == kNotEnded) expect_rest();
  }
  EXPECT_GT(id, 997u);
  EXPECT_LT(id, 1007u);
  expect_ended(kEnhanceYourCalm);
}

TEST_F(H2RestTest, IdsAreRemembered) {
  const std::pair<std::string, uint32_t> late[] = {
      {raw_headers(5, true), kStreamClosed},
      {raw_frame(kData, 0, 5, "x"), kStreamClosed},
      {raw_headers(3, true), kProtocolError},
      {raw_frame(kRst, 0, 7, u32(kCancel)), kProtocolError},
      {raw_frame(kWindowUpdate, 0, 7, u32(1)), kProtocolError},
  };
  for (const auto& [frame, code] : late) {
    start();
    send(raw_headers(5, true));
    expect_rest();
    loop->run_for(1s);
    send(frame);
    expect_ended(code);
  }
}

TEST_F(H2RestTest, AnswersWhatNeedsNoStream) {
  start();
  send(raw_headers(1, true));
  send(raw_frame(kPing, 0, 0, "12345678"));
  ASSERT_EQ(peer->count(kPing), 1u);
  EXPECT_EQ(peer->first(kPing)->flags, kAck);
  expect_rest();
  const size_t before = peer->count(kSettings);
  send(raw_frame(kSettings, 0, 0, std::string("\0\1", 2) + u32(0)));  // no table for us
  EXPECT_EQ(peer->count(kSettings), before + 1);
  expect_rest();
  send(raw_headers(3, true));
  EXPECT_EQ(peer->count(kHeaders), 2u);
  EXPECT_EQ(peer->frames.back().stream, 3u);
}

TEST_F(H2RestTest, ADrainSaysWhatWasTheLastRequest) {
  start();
  send(raw_headers(7, true));
  expect_rest();
  server->drain();
  loop->run_ready();
  const RawFrame* f = peer->first(kGoaway);
  ASSERT_NE(f, nullptr);
  EXPECT_EQ(f->payload, u32(7) + u32(0));
  loop->run_for(2s);
  EXPECT_TRUE(peer->closed);
}

TEST_F(H2RestTest, ItsTimeEnds) {
  start({.idle_timeout = 30s});
  send(raw_headers(1, true));
  loop->run_for(29s);
  EXPECT_EQ(goaway_code(), kNotEnded);
  loop->run_for(2s);
  EXPECT_EQ(goaway_code(), 0u);
  EXPECT_EQ(server->stats.hits[static_cast<size_t>(Limit::kIdle)], 1u);
}

TEST_F(H2RestTest, AClientThatSaysGoodbyeIsLetGo) {
  start();
  send(raw_headers(1, true));
  send(raw_frame(kGoaway, 0, 0, u32(0) + u32(0)));
  loop->run_for(2s);
  EXPECT_TRUE(peer->closed);
  EXPECT_EQ(server->connections(), 0u);
}

TEST_F(H2RestTest, AConnectionThatDiesAtWorkGivesItBack) {
  start();
  service.on_end = nullptr;
  send(raw_headers(1, true));
  EXPECT_EQ(H2Work::lent_here(), 1u);
  service.on_request_fn = [this](H2TestService::Seen&) { loop->defer([this] { server.reset(); }); };
  send(raw_headers(3, true));  // dies while its own end of the turn is due
  loop->run_for(1s);
  for (const auto& s : service.seen) EXPECT_EQ(s->done_calls, 1);
  expect_rest();
}

}  // namespace
}  // namespace colony::http::testing
