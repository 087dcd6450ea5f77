// A whole control API in simulated time: router and server, keeper, memory store, registry, a fake engine and a scripted
// master host; spoken to over HTTP as any client would.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "async/sim_loop.h"
#include "control/keeper/api.h"
#include "control/keeper/keeper.h"
#include "discovery/registry.h"
#include "store/memory.h"
#include "tests/support/fake_engine.h"
#include "tests/support/fake_master_host.h"
#include "transport/http/client.h"
#include "transport/http/server.h"

namespace colony::testing {

class ControlApiFixture : public ::testing::Test {
 protected:
  explicit ControlApiFixture(std::string token = {}) {
    started_ = loop_->run(keeper_.start()).has_value();
    keeper::ControlApi::Options options;
    options.token = std::move(token);
    options.version = "1.2.3";
    options.metrics = metrics;
    options.shutdown = [this] { ++shutdowns_; };
    options.restart_proxy = [this] { ++proxy_restarts_; };
    api_ = std::make_unique<keeper::ControlApi>(keeper::ControlApi::Deps{*loop_, keeper_, engine_, registry_, *pool_},
                                                options);
    api_->mount(router_);
    server_ = std::move(*http::Server::listen(*loop_, {"control"}, router_));
  }
  ~ControlApiFixture() override {
    api_->stop();
    loop_->run(router_.stop());
    server_.reset();
    loop_->run(keeper_.stop());
    api_.reset();
    loop_->run(registry_.stop());
  }
  void SetUp() override { ASSERT_TRUE(started_); }

  static async::Task<std::string> metrics() { co_return "colony_up 1\n"; }
  http::ClientReply send(std::string method, std::string target, std::string body = {},
                         std::string type = "application/json") {
    http::ClientRequest r{std::move(method), std::move(target), {{"host", "control"}}, std::move(body)};
    if (!type.empty() && !r.body.empty()) r.headers.emplace_back("content-type", type);
    if (!bearer_.empty()) r.headers.emplace_back("authorization", bearer_);
    auto reply = loop_->run(client_.fetch({"control"}, r, Deadline::after(loop_->now(), 30s)));
    EXPECT_TRUE(reply.has_value()) << reply.error().message;
    loop_->run_ready();
    return reply ? *reply : http::ClientReply{};
  }
  http::ClientReply get(std::string target) { return send("GET", std::move(target)); }
  http::ClientReply put_echo(const std::string& app, int replicas = 1) {
    return send("PUT", "/api/v1/applications/" + app,
                R"({"deployments":[{"name":"d","runtime":"echo","num_replicas":)" + std::to_string(replicas) + "}]}");
  }
  bool said(const http::ClientReply& reply, std::string_view part) {
    return reply.body.find(part) != std::string::npos;
  }

  std::unique_ptr<async::SimLoop> loop_ = async::SimLoop::create({});
  std::unique_ptr<async::BlockingPool> pool_ = async::BlockingPool::inline_for_tests();
  store::MemoryStore store_{*loop_};
  FakeMasterHost host_{*loop_};
  FakeEngine engine_{*loop_, FakeEngine::Options{}};
  discovery::Registry registry_{*loop_};
  keeper::Keeper keeper_{keeper::Keeper::Deps{*loop_, store_, host_}, {}};
  std::unique_ptr<keeper::ControlApi> api_;
  http::Router router_{*loop_, {}};
  std::unique_ptr<http::Server> server_;
  http::Client client_{*loop_};
  std::string bearer_;
  int shutdowns_ = 0, proxy_restarts_ = 0;
  bool started_ = false;
};

}  // namespace colony::testing
