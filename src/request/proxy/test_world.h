// A proxy with replicas, a discovery and clients on one simulated loop, for the tests of this room. The replicas are real
// frame servers with a scripted service behind them (transport/http/http_test_support.h). Not part of the library.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/sim_loop.h"
#include "discovery/registry.h"
#include "request/proxy/proxy.h"
#include "transport/http/http_test_support.h"
#include "transport/http/server.h"

namespace colony::proxy::testing {

using http::testing::RawPeer;
using http::testing::ScriptService;
using http::testing::take_reply;
using http::testing::WireReply;

class TestReplica {
 public:
  TestReplica(async::SimLoop& loop, std::string id) : loop_(loop), id_(std::move(id)) { start(); }
  void start() {
    auto server = http::Server::listen(loop_, {address()}, service, {.accept_frames = true});
    CHECK(server.has_value());
    server_ = std::move(*server);
  }
  // As kill -9: every connection breaks, nobody listens.
  void kill() {
    loop_.reset_all({address()});
    server_.reset();
  }
  void drain() { server_->drain(); }
  bool drained() const { return !server_ || server_->drained(); }
  bool running() const { return server_ != nullptr; }
  std::string address() const { return "unix:/" + id_; }
  ReplicaRecord record(bool draining = false) const {
    return {.id = id_, .incarnation = incarnation, .address = address(), .node = "n1", .draining = draining};
  }
  size_t ongoing() const {
    size_t n = 0;
    for (const auto& c : service.calls) n += c->done ? 0 : 1;
    return n;
  }
  ScriptService service;
  uint64_t incarnation = 1;

 private:
  async::SimLoop& loop_;
  std::string id_;
  std::unique_ptr<http::Server> server_;
};

struct WorldOptions {
  async::SimLoop::Options sim;
  size_t loops = 1;
  ProxyOptions proxy;
};

class ProxyWorld {
 public:
  explicit ProxyWorld(WorldOptions options = {})
      : loop_(async::SimLoop::create(options.sim)),
        registry_(std::make_unique<discovery::Registry>(*loop_, discovery::RegistryOptions{.settle = 0s})) {
    options.proxy.listen = {"proxy:80"};
    options.proxy.node = "n1";
    proxy_ = std::make_unique<Proxy>(*loop_, *registry_, std::vector<async::Loop*>(options.loops, loop_.get()),
                                     options.proxy);
    auto at = loop_->run(proxy_->start());
    CHECK(at.has_value());
  }
  ~ProxyWorld() {
    if (proxy_) loop_->run(proxy_->stop());
    proxy_.reset();
    loop_->run(registry_->stop());
  }

  TestReplica& replica(const std::string& id) {
    auto& r = replicas_[id];
    if (!r) r = std::make_unique<TestReplica>(*loop_, id);
    return *r;
  }
  // One app with one deployment "d" on these replicas; `edit` changes what is published.
  void deploy(const std::string& app, const std::string& prefix, std::vector<ReplicaRecord> replicas,
              std::function<void(DeploymentRecord&)> edit = {}) {
    DeploymentRecord d{.name = "d", .models = {app}, .route_prefix = prefix, .replicas = std::move(replicas)};
    if (edit) edit(d);
    auto r = loop_->run(registry_->publish({.app = app, .epoch = 1, .version = ++version_, .deployments = {d}}));
    ASSERT_TRUE(r) << r.error().message;
    loop_->run_ready();
  }
  void remove(const std::string& app) { ASSERT_TRUE(loop_->run(registry_->withdraw(app, 1))); }

  std::unique_ptr<RawPeer> client() {
    auto c = std::make_unique<RawPeer>(*loop_, async::Endpoint{"proxy:80"});
    loop_->run_until([&] { return c->stream || c->closed; }, 1s);
    return c;
  }
  static std::string text(std::string_view method, std::string_view target, std::string_view body = {},
                          std::string_view extra = {}) {
    std::string out = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n" + std::string(extra);
    if (!body.empty() || method == "POST") out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return out + "\r\n" + std::string(body);
  }
  // On a connection of its own; fails the test when no whole reply comes.
  WireReply ask(std::string_view method, std::string_view target, std::string_view body = {},
                std::string_view extra = {}) {
    auto c = client();
    c->send(text(method, target, body, extra));
    return reply(*c);
  }
  WireReply reply(RawPeer& c, Duration limit = 120s) {
    WireReply out;
    size_t enough = 1;  // below this many bytes it cannot be whole: large replies are not parsed at every step
    loop_->run_until(
        [&] {
          const bool over = c.closed || c.ended;
          if (c.text.size() < enough && !over) return false;
          http::ReplyHead head;
          http::ParseError error;
          if (enough == 1 && http::parse_reply_head(c.text, head, error) == http::ParseState::kComplete &&
              head.content_length) {
            enough = head.block.size() + *head.content_length;
            if (c.text.size() < enough && !over) return false;
          }
          if (head.chunked && !c.text.ends_with("\r\n\r\n") && !over) return false;
          std::string copy = c.text;
          out = take_reply(copy, over);
          if (out.whole) c.text = copy;
          return out.whole || over;
        },
        limit);
    return out;
  }
  bool until(std::function<bool()> done, Duration limit = 60s) { return loop_->run_until(std::move(done), limit); }

  async::SimLoop& loop() { return *loop_; }
  Proxy& proxy() { return *proxy_; }
  discovery::Registry& registry() { return *registry_; }
  const RouteStats& stats(const std::string& key) {
    last_stats_ = loop_->run(proxy_->stats());
    return *last_stats_.deployments.at(key).front();
  }

 private:
  std::unique_ptr<async::SimLoop> loop_;
  std::unique_ptr<discovery::Registry> registry_;
  std::unique_ptr<Proxy> proxy_;
  std::map<std::string, std::unique_ptr<TestReplica>> replicas_;
  uint64_t version_ = 0;
  ProxyStats last_stats_;
};

}  // namespace colony::proxy::testing
