// What the fuzz targets of both links share: a backend of arbitrary bytes, and callers that hold the link to its promises.
// Not part of the library.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "async/sim_loop.h"
#include "base/check.h"
#include "transport/backend/link.h"

namespace colony::backend::fuzz {

struct Call final : frame::CallHandler {
  void on_reply(const http::ReplyHead& head, std::string_view body, bool end) override {
    CHECK(!replied && !over && head.block.data() + head.block.size() == body.data());
    if (head.status < 200 && head.status != 101) {
      CHECK(body.empty() && !end);
      return;
    }
    replied = true;
    tunnel = head.status == 101;
    CHECK(!tunnel || (upgrade && !end));
    take(body, end);
  }
  void on_body(std::string_view data, bool end) override {
    CHECK(replied && !over);
    take(data, end);
  }
  void on_end(std::string_view) override {
    CHECK(replied && !over && !half_over);
    if (!tunnel) {
      over = true;
      return;
    }
    half_over = true;
    link->body(id, "goodbye", true);
  }
  void on_tunnel_over() override {
    CHECK(tunnel && half_over && !over);
    over = true;
  }
  void on_failed(const Error& error) override {
    CHECK(!over && !error.message.empty() && (error.retry != Retry::kYes || !replied));
    over = true;
  }
  void take(std::string_view data, bool end) {
    over = end;
    if (!end && eager) link->consumed(id, data.size());
  }
  frame::Link* link = nullptr;
  frame::CallId id = 0;
  bool replied = false, over = false, eager = true, upgrade = false, tunnel = false, half_over = false;
};

struct Server {
  struct Connection final : async::StreamHandler {
    size_t on_bytes(std::string_view data) override { return data.size(); }
    void on_end() override {}
    void on_closed(const Error&) override {}
    std::unique_ptr<async::Stream> stream;
  };
  std::vector<std::unique_ptr<Connection>> connections;
};

using Connect = std::unique_ptr<frame::Link> (*)(async::Loop&, async::Endpoint, Deadline, frame::Link::Events);

inline int run(Connect connect, std::string greeting, const uint8_t* bytes, size_t size) {
  if (size < 2 || size > 8192) return 0;
  const uint8_t how = bytes[0];
  const std::string_view data(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  auto loop = async::SimLoop::create({.seed = how, .max_chunk = how & 15u});
  Server server;
  auto listener = *loop->listen({"backend"}, [&](std::unique_ptr<async::Stream> s) {
    auto c = std::make_unique<Server::Connection>();
    c->stream = std::move(s);
    c->stream->set_handler(c.get());
    if (!greeting.empty()) c->stream->write(greeting);
    server.connections.push_back(std::move(c));
  });
  bool ended = false;
  std::unique_ptr<frame::Link> link = connect(*loop, {"backend"}, Deadline::after(loop->now(), 1s),
                                              {.on_ready = {}, .on_goaway = {}, .on_closed = [&](const Error&) {
                                                 CHECK(!ended);
                                                 ended = true;
                                                 link.reset();
                                               }});
  loop->run_for(1ms);
  std::vector<std::unique_ptr<Call>> calls;
  constexpr const char* kHeads[] = {"GET / HTTP/1.1\r\nhost: b\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n",
                                    "GET / HTTP/1.1\r\nhost: b\r\n\r\n", "HEAD / HTTP/1.1\r\nhost: b\r\n\r\n",
                                    "POST /s.S/M HTTP/1.1\r\nhost: b\r\ncontent-type: application/grpc\r\n\r\n"};
  const auto go = [&](size_t i) {
    if (!link) return;
    auto c = std::make_unique<Call>();
    c->link = link.get();
    c->eager = (how & 16) == 0;
    c->upgrade = i % 4 == 0;
    c->id = link->call_block(kHeads[i % 4], i % 4 == 3 ? "body" : "", i % 4 == 1 || i % 4 == 2, Deadline::never(), *c);
    calls.push_back(std::move(c));
  };
  if (how & 8) go(0);
  for (size_t i = 1; i < 4; ++i) go(i);
  loop->run_for(1ms);
  // The input goes to the first connection, in two halves; later connections get the second one too.
  const std::string_view halves[] = {data.substr(0, data.size() / 2), data.substr(data.size() / 2)};
  for (std::string_view half : halves) {
    for (auto& c : server.connections)
      if (c->stream) c->stream->write(half);
    loop->run_for(1ms);
    go(how >> 5);
    if (link && how & 32 && !calls.front()->over) {
      link->cancel(calls.front()->id);
      calls.front()->over = true;
    }
    loop->run_for(1ms);
  }
  if (how & 64)
    for (auto& c : server.connections)
      if (c->stream) c->stream->shutdown_write();
  loop->run_for(1ms);
  listener.reset();
  loop->reset_all({"backend"});
  loop->run_for(how & 128 ? 60s : 10s);
  for (auto& c : calls) CHECK(c->over);
  CHECK(!link || link->outstanding() == 0);
  link.reset();
  loop->run_for(1ms);
  return 0;
}

}  // namespace colony::backend::fuzz
