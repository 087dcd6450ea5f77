// The whole house in simulated time: a submission walks from the keeper to running replicas, requests walk from a client
// through the proxy to the runtime and back, and each role is stopped and started again while they do. Everything but the
// engine (and the network) is the code that `colony up` runs, in both its shapes: the roles call each other's ports, or reach
// each other by address as with --processes.
#include <gtest/gtest.h>

#include <algorithm>

#include "control/keeper/keeper.h"
#include "control/master/host.h"
#include "control/master/remote.h"
#include "control/master/service.h"
#include "discovery/test_world.h"
#include "domain/replica_payload.h"
#include "request/proxy/proxy.h"
#include "request/replica/replica.h"
#include "store/memory.h"
#include "tests/support/fake_engine.h"
#include "transport/http/client.h"
#include "transport/http/server.h"

namespace colony {
namespace {

// A real replica in place of its process.
class ReplicaActor final : public testing::FakeActor {
 public:
  ReplicaActor(async::SimLoop& loop, async::BlockingPool& pool, const engine::ActorSpec& spec,
               const std::string& address, std::vector<std::unique_ptr<replica::Replica>>& graves)
      : loop_(loop), address_(address), graves_(graves) {
    auto payload = replica_payload_from_json(spec.payload);
    CHECK(payload.has_value());
    replica::ReplicaOptions o;
    o.id = spec.id;
    o.app = payload->app;
    o.spec = payload->deployment;
    o.model_names = payload->model_names;
    o.revision = payload->revision;
    o.epoch = payload->epoch;
    o.on_drain = [this] { server_->drain_connections(); };
    o.has_links = [this] { return server_ && server_->stats().open_links > 0; };
    replica_ = replica::Replica::create(loop, pool, std::move(o));
    http::ServerOptions server_options;
    server_options.accept_frames = true;
    auto server = http::Server::listen(loop, {address}, *replica_, server_options);
    CHECK(server.has_value());
    server_ = std::move(*server);
    replica_->start();
  }
  ~ReplicaActor() override {
    loop_.reset_all({address_});
    server_.reset();
    graves_.push_back(std::move(replica_));
  }

 private:
  async::SimLoop& loop_;
  std::string address_;
  std::vector<std::unique_ptr<replica::Replica>>& graves_;
  std::unique_ptr<replica::Replica> replica_;
  std::unique_ptr<http::Server> server_;
};

AppSpec echo_app(int replicas, std::string user_config = {}) {
  AppSpec app;
  app.name = "echo";
  app.route_prefix = "/echo";
  DeploymentSpec d;
  d.name = "main";
  d.runtime = "echo";
  d.num_replicas = replicas;
  d.user_config = std::move(user_config);
  app.deployments.push_back(d);
  return app;
}

enum class Shape : bool { kOneProcess, kByAddress };

class HouseFlow : public ::testing::TestWithParam<std::tuple<Shape, uint64_t>> {
 protected:
  static Shape shape() { return std::get<0>(GetParam()); }
  static uint64_t seed() { return std::get<1>(GetParam()); }
  HouseFlow()
      : loop(async::SimLoop::create(
            {.seed = seed(), .max_chunk = seed() % 2 ? size_t{7} : size_t{0}, .latency = 200us})),
        pool(async::BlockingPool::inline_for_tests()),
        store(*loop),
        scope(std::make_unique<async::Scope>(*loop)),
        client(std::make_unique<http::Client>(*loop)) {
    engine = std::make_unique<testing::FakeEngine>(
        *loop, testing::FakeEngine::Options{}, [this](const engine::ActorSpec& spec, uint64_t, std::string address) {
          return std::make_unique<ReplicaActor>(*loop, *pool, spec, address, graves);
        });
    start_discovery();
    if (shape() == Shape::kByAddress) {
      proxys_way = std::make_unique<discovery::Remote>(*loop, kDiscovery);
      keepers_way = std::make_unique<master::RemoteHost>(*loop, kMasterHost);
    }
    start_host();
    start_keeper();
    proxy::ProxyOptions o;
    o.listen = {"proxy:80"};
    proxy = std::make_unique<proxy::Proxy>(*loop, way_of(proxys_way), std::vector<async::Loop*>{loop.get()}, o);
    CHECK(loop->run(proxy->start()).has_value());
  }
  ~HouseFlow() override {
    scope->stop();
    client->close();
    loop->run(scope->join(), 300s);
    stop_keeper();
    stop_host();
    loop->run(proxy->stop());
    proxy.reset();
    engine.reset();
    for (auto& replica : graves) loop->run(replica->stop(), 300s);
    graves.clear();
    if (keepers_way) loop->run(keepers_way->stop());
    if (proxys_way) loop->run(proxys_way->stop());
    stop_discovery();
  }

  discovery::Discovery& way_of(const std::unique_ptr<discovery::Remote>& remote) {
    if (remote) return *remote;
    return discovery->registry();
  }
  void start_discovery() {
    discovery = std::make_unique<discovery::DiscoveryHost>(*loop, kDiscovery, discovery::RegistryOptions{});
  }
  void stop_discovery() {
    loop->run(discovery->stop());
    discovery.reset();
  }
  void start_host() {
    if (shape() == Shape::kByAddress) masters_way = std::make_unique<discovery::Remote>(*loop, kDiscovery);
    host = std::make_unique<master::LocalHost>(master::AppMaster::Deps{*loop, *engine, way_of(masters_way)});
    if (shape() == Shape::kOneProcess) return;
    host_router = std::make_unique<http::Router>(*loop, http::Router::Options{});
    master::mount_host(*host_router, *loop, *host);
    auto server = http::Server::listen(*loop, kMasterHost, *host_router);
    CHECK(server.has_value());
    host_server = std::move(*server);
  }
  void stop_host() {
    host_server.reset();
    if (host_router) loop->run(host_router->stop(), 300s);
    host_router.reset();
    loop->run(host->stop(), 300s);
    host.reset();
    if (masters_way) loop->run(masters_way->stop());
    masters_way.reset();
  }
  void start_keeper() {
    master::Host& masters = keepers_way ? static_cast<master::Host&>(*keepers_way) : *host;
    keeper = std::make_unique<keeper::Keeper>(keeper::Keeper::Deps{*loop, store, masters}, keeper::Keeper::Options{});
    CHECK(loop->run(keeper->start()).has_value());
  }
  void stop_keeper() {
    loop->run(keeper->stop(), 300s);
    keeper.reset();
  }

  void apply(AppSpec app) {
    auto change = loop->run(keeper->apply(std::move(app), {}));
    ASSERT_TRUE(change) << change.error().message;
    wait_running(change->revision);
  }
  void wait_running(uint64_t revision) {
    ASSERT_TRUE(loop->run_until(
        [&] {
          auto s = keeper->status("echo");
          return s && s->status == "RUNNING" && s->revision >= revision;
        },
        120s))
        << keeper->status("echo")->status << " " << keeper->status("echo")->message;
  }
  std::vector<int64_t> pids() {
    std::vector<int64_t> out;
    for (const auto& r : keeper->status("echo")->deployments.at(0).replicas) out.push_back(r.pid);
    std::sort(out.begin(), out.end());
    return out;
  }
  http::ClientReply ask(std::string method, std::string target, std::string body = {}) {
    auto reply = loop->run(client->fetch({"proxy:80"},
                                         {std::move(method), std::move(target), {{"host", "proxy"}}, std::move(body)},
                                         Deadline::after(loop->now(), 30s)));
    if (!reply) return {0, {}, reply.error().message};
    return *reply;
  }

  // Requests one after another from several clients until the scope stops; everything but an echo is kept.
  async::Task<void> clients() {
    while (!scope->stopping()) {
      auto reply = co_await client->fetch({"proxy:80"}, {"POST", "/echo/x?y=1", {{"host", "proxy"}}, "ping"},
                                          Deadline::after(loop->now(), 30s));
      if (scope->stopping()) co_return;
      ++answers;
      if (!reply)
        failures.push_back(reply.error().message);
      else if (reply->status != 200 || reply->body != "ping")
        failures.push_back(std::to_string(reply->status) + " " + reply->body);
      co_await loop->sleep(1ms);
    }
  }
  void load(int n = 4) {
    for (int i = 0; i < n; ++i) scope->spawn(clients());
    flowed();
  }
  void flowed(size_t n = 200) {
    const size_t goal = answers + n;
    ASSERT_TRUE(loop->run_until([&] { return answers >= goal; }, 300s));
    EXPECT_TRUE(failures.empty()) << failures.size() << " failures, the first: " << failures.front();
  }

  std::unique_ptr<async::SimLoop> loop;
  std::unique_ptr<async::BlockingPool> pool;
  store::MemoryStore store;
  std::vector<std::unique_ptr<replica::Replica>> graves;
  std::unique_ptr<testing::FakeEngine> engine;
  const async::Endpoint kDiscovery{"discovery:1"}, kMasterHost{"master-host:1"};
  std::unique_ptr<discovery::DiscoveryHost> discovery;
  std::unique_ptr<discovery::Remote> proxys_way, masters_way;  // to the discovery; null: by plain calls
  std::unique_ptr<master::LocalHost> host;
  std::unique_ptr<http::Router> host_router;
  std::unique_ptr<http::Server> host_server;
  std::unique_ptr<master::RemoteHost> keepers_way;
  std::unique_ptr<keeper::Keeper> keeper;
  std::unique_ptr<proxy::Proxy> proxy;
  std::unique_ptr<async::Scope> scope;
  std::unique_ptr<http::Client> client;
  size_t answers = 0;
  std::vector<std::string> failures;
};

TEST_P(HouseFlow, ASubmissionBecomesAServiceThatAnswers) {
  EXPECT_EQ(ask("POST", "/echo", "early").status, 404);
  apply(echo_app(2));
  const auto raw = ask("POST", "/echo/some/path?q=1", "hello");
  EXPECT_EQ(raw.status, 200);
  EXPECT_EQ(raw.body, "hello");
  EXPECT_FALSE(raw.header("x-request-id").empty());
  const auto oip =
      ask("POST", "/v2/models/echo/infer", R"({"inputs":[{"name":"x","datatype":"INT32","shape":[2],"data":[1,2]}]})");
  EXPECT_EQ(oip.status, 200) << oip.body;
  EXPECT_NE(oip.body.find("[1,2]"), std::string::npos) << oip.body;
  const auto unknown = ask("POST", "/v2/models/nope/infer", "{}");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_NE(unknown.body.find("echo"), std::string::npos) << "names what exists: " << unknown.body;
}

TEST_P(HouseFlow, KeeperAndMasterHostComeAndGoWithoutAFailedRequestOrARestart) {
  apply(echo_app(3));
  const auto before = pids();
  load();
  stop_keeper();
  flowed();
  stop_host();
  loop->run_for(1s);
  flowed();
  start_host();
  start_keeper();
  wait_running(1);
  EXPECT_EQ(pids(), before);
  flowed();
  apply(echo_app(1));
  EXPECT_EQ(pids().size(), 1u);
  flowed();
}

class HouseByAddress : public HouseFlow {};

TEST_P(HouseByAddress, DiscoveryAndMasterHostComeAndGoEachAloneWithoutAFailedRequestOrARestart) {
  apply(echo_app(3));
  const auto before = pids();
  load(1);
  stop_discovery();
  loop->run_for(3s);
  flowed();
  start_discovery();
  loop->run_for(3s);
  flowed();
  stop_host();  // the keeper stays and assigns to the next one
  loop->run_for(3s);
  flowed();
  start_host();
  loop->run_for(3s);
  wait_running(1);
  EXPECT_EQ(pids(), before);
  flowed();
  apply(echo_app(1));
  EXPECT_EQ(pids().size(), 1u);
  flowed();
}

TEST_P(HouseFlow, ScalingReconfiguringAndReplacingUnderLoadLosesNothing) {
  apply(echo_app(2));
  load();
  apply(echo_app(8));
  flowed();
  apply(echo_app(8, R"({"k":1})"));
  flowed();
  auto other = echo_app(3, R"({"k":1})");
  other.deployments[0].max_ongoing_requests = 9;
  apply(other);
  flowed();
  apply(echo_app(1, R"({"k":2})"));
  flowed();
}

TEST_P(HouseFlow, ADyingReplicaCostsNoIdempotentRequest) {
  apply(echo_app(3));
  for (int round = 0; round < 5; ++round) {
    const auto victim = keeper->status("echo")->deployments[0].replicas[static_cast<size_t>(round) % 3].id;
    for (int i = 0; i < 20; ++i) {
      if (i == 10) engine->crash(victim);
      const auto reply = ask("PUT", "/echo", "again");
      ASSERT_EQ(reply.status, 200) << reply.body;
      ASSERT_EQ(reply.body, "again");
    }
    ASSERT_TRUE(loop->run_until([&] { return keeper->status("echo")->status == "RUNNING"; }, 120s));
  }
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<Shape, uint64_t>>& info) {
  const auto [shape, seed] = info.param;
  return (shape == Shape::kOneProcess ? "one_process_" : "by_address_") + std::to_string(seed);
}
INSTANTIATE_TEST_SUITE_P(BothShapes, HouseFlow,
                         ::testing::Combine(::testing::Values(Shape::kOneProcess, Shape::kByAddress),
                                            ::testing::Values(1, 2, 3, 4)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Seeds, HouseByAddress,
                         ::testing::Combine(::testing::Values(Shape::kByAddress), ::testing::Values(1, 2)), name_of);

}  // namespace
}  // namespace colony
