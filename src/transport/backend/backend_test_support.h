// For the tests of links to backends: a backend that is scripted byte by byte, a real server of ours as backend, and the
// caller of the frame link's tests (frame/link_test_support.h) on the other side.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "transport/backend/link.h"
#include "transport/frame/link_test_support.h"

namespace colony::backend::testing {

using frame::testing::Caller;
using http::testing::ScriptService;

// Listens on "backend"; a test says what each connection answers.
class RawBackend {
 public:
  struct Connection final : async::StreamHandler {
    size_t on_bytes(std::string_view data) override {
      text += data;
      if (on_text) on_text(*this);
      return data.size();
    }
    void on_end() override { ended = true; }
    void on_closed(const Error&) override { ended = true; }
    void say(std::string_view data) { stream->write(data); }
    void hang_up() { stream.reset(); }
    std::unique_ptr<async::Stream> stream;
    std::string text;
    bool ended = false;
    std::function<void(Connection&)> on_text;
  };
  explicit RawBackend(async::SimLoop& loop) : loop_(loop) { listen(); }
  void listen() {
    auto l = loop_.listen({"backend"}, [this](std::unique_ptr<async::Stream> s) {
      auto c = std::make_unique<Connection>();
      c->stream = std::move(s);
      c->on_text = answer;
      c->stream->set_handler(c.get());
      connections.push_back(std::move(c));
    });
    ASSERT_TRUE(l.has_value());
    listener_ = std::move(*l);
  }
  void stop_listening() { listener_.reset(); }
  Connection& at(size_t i) { return *connections.at(i); }
  // Every request that ends in an empty line gets this.
  void always(std::string reply) {
    answer = [reply](Connection& c) {
      if (!c.text.ends_with("\r\n\r\n") || !c.stream) return;
      c.say(reply);
    };
  }
  std::vector<std::unique_ptr<Connection>> connections;
  std::function<void(Connection&)> answer;

 private:
  async::SimLoop& loop_;
  std::unique_ptr<async::Listener> listener_;
};

using Connect = std::unique_ptr<frame::Link> (*)(async::Loop&, async::Endpoint, Deadline, frame::Link::Events);

// A link of either kind to "backend".
struct Bench {
  explicit Bench(Connect c, size_t chunk = 0)
      : connect(c), loop(async::SimLoop::create({.seed = 7, .max_chunk = chunk})) {}
  ~Bench() { link.reset(); }
  void serve(http::ServerOptions options = {}) {
    auto s = http::Server::listen(*loop, {"backend"}, service, options);
    ASSERT_TRUE(s.has_value()) << s.error().message;
    server = std::move(*s);
  }
  void dial() {
    link = connect(*loop, {"backend"}, Deadline::after(loop->now(), 5s),
                   {.on_ready = [this] { ++ready; },
                    .on_goaway = {},
                    .on_closed =
                        [this](const Error& e) {
                          closed = e;
                          link.reset();
                        }});
    loop->run_for(10ms);
  }
  void call(Caller& c, std::string_view head, std::string_view body = {}, bool end = true,
            Deadline deadline = Deadline::never()) {
    c.link = link.get();
    c.id = link->call_block(head, body, end, deadline, c);
  }
  void settle(Duration d = 50ms) { loop->run_for(d); }

  Connect connect;
  std::unique_ptr<async::SimLoop> loop;
  ScriptService service;
  std::unique_ptr<http::Server> server;
  std::unique_ptr<frame::Link> link;
  int ready = 0;
  std::optional<Error> closed;
};

inline std::string request(std::string_view method, std::string_view path, std::string_view fields = {}) {
  return std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nhost: b\r\n" + std::string(fields) + "\r\n";
}

}  // namespace colony::backend::testing
