// External deployments in simulated time: the real master host and registry, over servers that are there or not.
#include <gtest/gtest.h>

#include "control/master/backend.h"
#include "control/master/host.h"
#include "discovery/registry.h"
#include "tests/support/fake_replica.h"
#include "transport/http/http_test_support.h"
#include "transport/http/server.h"

namespace colony::master {
namespace {

using testing::FakeEngine;
using testing::FakeReplicaWorld;

// Answers /healthz with `health`, anything else with 200.
struct HealthService final : http::Service {
  struct Call final : http::ExchangeHandler {
    void on_body(std::string_view) override {}
    void on_end(std::string_view) override {}
    void on_done(bool) override { delete this; }
  };
  http::ExchangeHandler* on_request(http::Exchange& exchange, const http::RequestHead& head) override {
    ++asked;
    http::reply_with(exchange, head.path == "/healthz" ? health : 200, "text/plain", "x");
    return new Call();
  }
  int health = 200, asked = 0;
};

AppSpec web_app(std::vector<std::string> addresses, std::string protocol = "http1", std::string health_path = {}) {
  AppSpec app;
  app.name = "web";
  app.route_prefix = "/";
  app.hosts = {"web.example"};
  DeploymentSpec d;
  d.name = "main";
  d.runtime = "external";
  d.num_replicas = static_cast<int>(addresses.size());
  d.backend = BackendSpec{std::move(addresses), std::move(protocol), std::move(health_path)};
  d.grpc_services = {"web.v1.Web"};
  d.health_check_timeout_s = 2;
  app.deployments.push_back(d);
  return app;
}

class BackendFlow : public ::testing::TestWithParam<const char*> {
 protected:
  BackendFlow() {
    engine = std::make_unique<FakeEngine>(*loop, FakeEngine::Options{},
                                          [this](const engine::ActorSpec& spec, uint64_t, std::string address) {
                                            return testing::make_fake_replica(*loop, world, spec, std::move(address));
                                          });
    registry = std::make_unique<discovery::Registry>(*loop, discovery::RegistryOptions{.settle = 0s});
    start_host();
    told = registry->subscribe([this](const TableUpdate& u) {
      for (const auto& a : u.apps) record = a;
      if (!u.removed_apps.empty()) record.reset();
    });
  }
  ~BackendFlow() override {
    told.reset();
    stop_host();
    engine.reset();
    loop->run(world.close());
    loop->run(registry->stop());
  }
  void start_host() {
    host = std::make_unique<LocalHost>(AppMaster::Deps{*loop, *engine, *registry});
    watch = host->watch([this](const AppStatus& s) { status = s; });
  }
  void stop_host() {
    watch.reset();
    loop->run(host->stop(), 300s);
    host.reset();
  }
  void serve(const std::string& at) {
    auto s = http::Server::listen(*loop, {at}, service);
    ASSERT_TRUE(s.has_value());
    servers[at] = std::move(*s);
  }
  void assign(AppSpec app, uint64_t revision, bool remove = false) {
    auto taken = loop->run(host->assign({std::move(app), revision, 1, remove}));
    ASSERT_TRUE(taken) << taken.error().message;
  }
  bool until(std::function<bool()> done, Duration limit = 30s) { return loop->run_until(std::move(done), limit); }
  const ReplicaStatus& replica(size_t i = 0) { return status.deployments.at(0).replicas.at(i); }
  std::vector<std::string> addresses() const {
    std::vector<std::string> out;
    if (record)
      for (const auto& r : record->deployments.at(0).replicas) out.push_back(r.address);
    return out;
  }

  std::unique_ptr<async::SimLoop> loop = async::SimLoop::create({.seed = 3});
  FakeReplicaWorld world;
  HealthService service;
  std::map<std::string, std::unique_ptr<http::Server>> servers;
  std::unique_ptr<FakeEngine> engine;
  std::unique_ptr<discovery::Registry> registry;
  std::unique_ptr<LocalHost> host;
  std::unique_ptr<Subscription> watch;
  std::unique_ptr<discovery::Subscription> told;
  std::optional<AppRecord> record;
  AppStatus status;
};

TEST_P(BackendFlow, AddressesThatTakeConnectionsArePublishedAndNoProcessIsStarted) {
  serve("127.0.0.1:1");
  serve("127.0.0.1:2");
  assign(web_app({"127.0.0.1:1", "127.0.0.1:2"}, GetParam()), 1);
  ASSERT_TRUE(until([&] { return status.status == "RUNNING"; }));
  EXPECT_EQ(replica().state, ReplicaState::kReady);
  EXPECT_EQ(replica().pid, 0);
  EXPECT_EQ(status.deployments[0].target_replicas, 2);
  ASSERT_TRUE(record);
  const DeploymentRecord& d = record->deployments.at(0);
  EXPECT_EQ(d.replicas.size(), 2u);
  EXPECT_EQ(d.replicas[0].protocol, GetParam());
  EXPECT_EQ(d.hosts, std::vector<std::string>{"web.example"});
  EXPECT_EQ(d.grpc_services, std::vector<std::string>{"web.v1.Web"});
  EXPECT_TRUE(d.models.empty());
  EXPECT_TRUE(world.events.empty());
}

TEST_P(BackendFlow, OneThatDoesNotAnswerIsFailedWithTheReasonAndComesBackByItself) {
  serve("127.0.0.1:1");
  AppSpec app = web_app({"127.0.0.1:1", "127.0.0.1:2"}, GetParam());
  app.deployments[0].health_check_period_s = 1;
  assign(app, 1);
  ASSERT_TRUE(until([&] { return status.status == "DEPLOY_FAILED"; }));
  EXPECT_TRUE(until([&] { return addresses() == std::vector<std::string>{"127.0.0.1:1"}; }, 1s))
      << "what is there serves";
  const ReplicaStatus& failed = replica(replica(0).address == "127.0.0.1:2" ? 0 : 1);
  EXPECT_EQ(failed.state, ReplicaState::kFailed);
  EXPECT_NE(failed.reason.find("the backend at 127.0.0.1:2 takes no connection"), std::string::npos) << failed.reason;
  serve("127.0.0.1:2");
  ASSERT_TRUE(until([&] { return status.status == "RUNNING"; }, 2s));
  EXPECT_EQ(addresses().size(), 2u);
  loop->reset_all({"127.0.0.1:1"});
  servers.erase("127.0.0.1:1");
  ASSERT_TRUE(until([&] { return addresses() == std::vector<std::string>{"127.0.0.1:2"}; }, 3s));
  EXPECT_EQ(status.status, "UNHEALTHY");
}

TEST_P(BackendFlow, ThePathThatTheSpecNamesMustAnswerWell) {
  serve("127.0.0.1:1");
  service.health = 503;
  AppSpec app = web_app({"127.0.0.1:1"}, GetParam(), "/healthz");
  app.deployments[0].health_check_period_s = 1;
  assign(app, 1);
  ASSERT_TRUE(until([&] { return status.status == "DEPLOY_FAILED"; }));
  EXPECT_NE(replica().reason.find("answers GET /healthz with 503"), std::string::npos) << replica().reason;
  EXPECT_TRUE(addresses().empty());
  service.health = 302;
  ASSERT_TRUE(until([&] { return status.status == "RUNNING"; }));
  EXPECT_EQ(addresses().size(), 1u);
  const int asked = service.asked;
  loop->run_for(10s);
  EXPECT_NEAR(service.asked - asked, 10, 2) << "once per health_check_period_s";
}

TEST_P(BackendFlow, AServerThatHangsIsFoundOutWithinItsTimeout) {
  serve("127.0.0.1:1");
  AppSpec app = web_app({"127.0.0.1:1"}, GetParam(), "/healthz");
  app.deployments[0].health_check_period_s = 1;
  assign(app, 1);
  ASSERT_TRUE(until([&] { return status.status == "RUNNING"; }));
  loop->partition({"127.0.0.1:1"});
  ASSERT_TRUE(until([&] { return addresses().empty(); }, 4s));
  EXPECT_EQ(replica().state, ReplicaState::kFailed);
  loop->heal({"127.0.0.1:1"});
  EXPECT_TRUE(until([&] { return addresses().size() == 1; }, 4s));
}

TEST_P(BackendFlow, AnAddressKeepsItsNameOverMastersAndRevisions) {
  serve("127.0.0.1:1");
  serve("127.0.0.1:2");
  assign(web_app({"127.0.0.1:1"}, GetParam()), 1);
  ASSERT_TRUE(until([&] { return status.status == "RUNNING"; }));
  const std::string id = replica().id;
  EXPECT_TRUE(id.starts_with("web.main.")) << id;
  assign(web_app({"127.0.0.1:2", "127.0.0.1:1"}, GetParam()), 2);
  ASSERT_TRUE(until([&] { return status.status == "RUNNING" && status.revision == 2; }));
  EXPECT_TRUE(replica(0).id == id || replica(1).id == id);
  loop->run_for(1s);  // publications are numbered by the wall clock
  stop_host();
  start_host();
  assign(web_app({"127.0.0.1:1"}, GetParam()), 3);
  ASSERT_TRUE(until([&] { return status.status == "RUNNING" && status.revision == 3; }));
  EXPECT_EQ(replica().id, id);
}

TEST_P(BackendFlow, DeletingWithdrawsTheRoutesAndLeavesTheServerAlone) {
  serve("127.0.0.1:1");
  assign(web_app({"127.0.0.1:1"}, GetParam()), 1);
  ASSERT_TRUE(until([&] { return status.status == "RUNNING"; }));
  assign(web_app({"127.0.0.1:1"}, GetParam()), 2, true);
  ASSERT_TRUE(until([&] { return status.status == "DELETED"; }));
  EXPECT_TRUE(until([&] { return !record; }, 1s));
}

TEST_P(BackendFlow, ADeploymentMayChangeBetweenExternalAndOurs) {
  serve("127.0.0.1:1");
  AppSpec ours = web_app({"127.0.0.1:1"}, GetParam());
  ours.hosts.clear();
  DeploymentSpec& d = ours.deployments[0];
  d = DeploymentSpec{};
  d.name = "main";
  d.runtime = "echo";
  size_t least = 99;
  assign(web_app({"127.0.0.1:1"}, GetParam()), 1);
  ASSERT_TRUE(until([&] { return status.status == "RUNNING"; }));
  for (uint64_t revision = 2; revision < 6; ++revision) {
    assign(revision % 2 == 0 ? ours : web_app({"127.0.0.1:1"}, GetParam()), revision);
    ASSERT_TRUE(until(
        [&] {
          least = std::min(least, addresses().size());
          return status.status == "RUNNING" && status.revision == revision;
        },
        120s))
        << status.status << " " << status.message;
    ASSERT_EQ(addresses().size(), 1u);
    EXPECT_EQ(addresses()[0] == "127.0.0.1:1", revision % 2 == 1);
  }
  EXPECT_EQ(least, 1u) << "somebody served all the time";
}

INSTANTIATE_TEST_SUITE_P(Protocols, BackendFlow, ::testing::Values("http1", "h2c"),
                         [](const auto& i) { return std::string(i.param); });

}  // namespace
}  // namespace colony::master
