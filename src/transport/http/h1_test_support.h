// For the tests of HTTP/1.1 connections: what Server is to them, on a simulated loop that cuts bytes as told.
#pragma once

#include <gmock/gmock.h>

#include "transport/http/h1_connection.h"
#include "transport/http/http_test_support.h"

namespace colony::http::testing {

struct Bench {
  explicit Bench(size_t chunk, ServerOptions o = {}) : options(o) {
    loop = async::SimLoop::create({.seed = 3, .max_chunk = chunk, .stream_buffer = 64 * 1024});
    context = std::make_unique<ConnectionContext>(
        ConnectionContext{*loop, service, options, stats, [this](Connection& c) { closed.push_back(&c); }});
    auto l = loop->listen({"server"}, [this](std::unique_ptr<async::Stream> s) {
      connections.push_back(serve_http1(std::move(s), *context));
    });
    EXPECT_TRUE(l.has_value());
    listener = std::move(*l);
  }
  ~Bench() { connections.clear(); }
  void settle() {
    loop->run_ready();
    for (Connection* c : closed) std::erase_if(connections, [&](auto& own) { return own.get() == c; });
    closed.clear();
    loop->run_ready();
  }
  void pass(Duration d) {
    loop->run_for(d);
    settle();
  }
  // One peer, one text, everything that comes back.
  std::string talk(std::string_view text) {
    RawPeer peer(*loop, {"server"});
    peer.send(text);
    settle();
    ended = peer.ended;
    return peer.text;
  }

  ServerOptions options;
  ServerStats stats;
  ScriptService service;
  std::unique_ptr<async::SimLoop> loop;
  std::unique_ptr<ConnectionContext> context;
  std::unique_ptr<async::Listener> listener;
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<Connection*> closed;
  bool ended = false;
};

}  // namespace colony::http::testing
