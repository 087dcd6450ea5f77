// For the tests of the framed link: a caller that keeps what it hears, and both ends on one simulated loop.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "transport/frame/link.h"
#include "transport/http/http_test_support.h"
#include "transport/http/server.h"

namespace colony::frame::testing {

using http::testing::ScriptService;

struct Caller final : CallHandler {
  void on_reply(const http::ReplyHead& h, std::string_view b, bool e) override {
    EXPECT_FALSE(over());
    EXPECT_EQ(h.block.data() + h.block.size(), b.data()) << "the body follows the head in memory";
    if (h.status < 200 && h.status != 101) {
      interim += h.block;
      return;
    }
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
  void on_tunnel_over() override { tunnel_over = true; }
  void on_failed(const Error& e) override {
    EXPECT_FALSE(status == 101 ? tunnel_over : over());
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
  bool ended = false, eager = true, tunnel_over = false;
  std::string head, body, trailers, to_send, interim;
  std::optional<Error> error;
  std::function<void()> then;
};

struct Bench {
  explicit Bench(size_t chunk = 0, Duration latency = Duration::zero(), async::Endpoint where = {"replica"})
      : at(std::move(where)) {
    loop = async::SimLoop::create({.seed = 5, .max_chunk = chunk, .latency = latency});
    listen();
    dial();
  }
  ~Bench() { link.reset(); }
  void listen() {
    auto s = http::Server::listen(*loop, at, service, {.accept_frames = true});
    EXPECT_TRUE(s.has_value());
    server = std::move(*s);
  }
  void dial(Duration limit = 5s) {
    closed.reset();
    ready = goaway = false;
    link = Link::connect(*loop, at, Deadline::after(loop->now(), limit),
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

  const async::Endpoint at;
  ScriptService service;
  std::unique_ptr<async::SimLoop> loop;
  std::unique_ptr<http::Server> server;
  std::unique_ptr<Link> link;
  std::optional<Error> closed;
  bool ready = false, goaway = false;
};

inline std::string request(const std::string& path, const std::string& method = "POST") {
  return method + " " + path + " HTTP/1.1\r\nHost: a\r\n\r\n";
}

}  // namespace colony::frame::testing
