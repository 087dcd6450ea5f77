// Deploy to engine in simulated time: the real master host, the real registry, over a fake engine with fake replicas.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "control/master/host.h"
#include "discovery/registry.h"
#include "tests/support/fake_replica.h"

namespace colony::master {
namespace {

using testing::FakeEngine;
using testing::FakeReplicaWorld;

AppSpec echo_app(int replicas) {
  AppSpec app;
  app.name = "echo";
  app.route_prefix = "/echo";
  DeploymentSpec d;
  d.name = "main";
  d.runtime = "echo";
  d.num_replicas = replicas;
  app.deployments.push_back(d);
  return app;
}

class MasterFlow : public ::testing::Test {
 protected:
  explicit MasterFlow(uint64_t seed = 1) : loop(async::SimLoop::create({.seed = seed})) {
    engine = std::make_unique<FakeEngine>(*loop, FakeEngine::Options{},
                                          [this](const engine::ActorSpec& spec, uint64_t, std::string address) {
                                            return testing::make_fake_replica(*loop, world, spec, std::move(address));
                                          });
    registry = std::make_unique<discovery::Registry>(*loop, discovery::RegistryOptions{});
    start_host();
  }
  ~MasterFlow() override {
    stop_host();
    engine.reset();
    loop->run(world.close());
    registry.reset();
  }
  void start_host() {
    host = std::make_unique<LocalHost>(AppMaster::Deps{*loop, *engine, *registry});
    watch = host->watch([this](const AppStatus& s) {
      status[s.name] = s;
      history.push_back(s.status);
    });
  }
  void stop_host() {
    watch.reset();
    if (host) loop->run(host->stop(), 300s);
    host.reset();
  }
  void assign(AppSpec app, uint64_t revision, uint64_t epoch = 1, bool remove = false) {
    auto taken = loop->run(host->assign({std::move(app), revision, epoch, remove}));
    ASSERT_TRUE(taken) << taken.error().message;
  }
  bool running(uint64_t revision, Duration limit = 60s) {
    return loop->run_until([&] { return status["echo"].status == "RUNNING" && status["echo"].revision == revision; },
                           limit);
  }
  int ready() {
    int n = 0;
    for (const auto& d : status["echo"].deployments)
      for (const auto& r : d.replicas) n += r.state == ReplicaState::kReady;
    return n;
  }
  std::set<int64_t> pids() {
    std::set<int64_t> out;
    for (const auto& d : status["echo"].deployments)
      for (const auto& r : d.replicas) out.insert(r.pid);
    return out;
  }
  std::string first_id() { return status["echo"].deployments.at(0).replicas.at(0).id; }
  size_t count(const std::string& prefix) {
    return static_cast<size_t>(
        std::count_if(world.events.begin(), world.events.end(), [&](const auto& e) { return e.starts_with(prefix); }));
  }

  std::unique_ptr<async::SimLoop> loop;
  FakeReplicaWorld world;
  std::unique_ptr<FakeEngine> engine;
  std::unique_ptr<discovery::Registry> registry;
  std::unique_ptr<LocalHost> host;
  std::unique_ptr<Subscription> watch;
  std::map<std::string, AppStatus> status;
  std::vector<std::string> history;
};

TEST_F(MasterFlow, StartsAllReplicasAndSaysRunningOnceTheyAreReady) {
  assign(echo_app(3), 1);
  ASSERT_TRUE(running(1));
  EXPECT_EQ(ready(), 3);
  EXPECT_EQ(history.front(), "DEPLOYING");
  EXPECT_EQ(count("start "), 3u);
  const auto& replica = status["echo"].deployments[0].replicas[0];
  EXPECT_GT(replica.pid, 0);
  EXPECT_EQ(replica.restarts, 0);
  EXPECT_EQ(replica.revision, 1u);
}

TEST_F(MasterFlow, AssigningTheSameAgainChangesNothing) {
  assign(echo_app(2), 1);
  ASSERT_TRUE(running(1));
  assign(echo_app(2), 1);
  loop->run_for(10s);
  EXPECT_EQ(count("start "), 2u);
  EXPECT_EQ(engine->actor_count(), 2u);
}

TEST_F(MasterFlow, RefusesAnOlderEpochOrRevision) {
  assign(echo_app(1), 5, 3);
  auto older = loop->run(host->assign({echo_app(1), 4, 3, false}));
  ASSERT_FALSE(older);
  EXPECT_EQ(older.error().reason, "stale_epoch");
  older = loop->run(host->assign({echo_app(1), 9, 2, false}));
  ASSERT_FALSE(older);
}

TEST_F(MasterFlow, ScalesUpAndDownWithoutTouchingTheReplicasThatStay) {
  assign(echo_app(2), 1);
  ASSERT_TRUE(running(1));
  const auto before = pids();
  assign(echo_app(8), 2);
  ASSERT_TRUE(running(2));
  EXPECT_EQ(ready(), 8);
  for (auto pid : before) EXPECT_TRUE(pids().contains(pid));
  assign(echo_app(1), 3);
  ASSERT_TRUE(running(3));
  EXPECT_EQ(engine->actor_count(), 1u);
  EXPECT_EQ(count("drain "), 7u) << "every replica that leaves is drained first";
}

TEST_F(MasterFlow, ADeadReplicaIsReadyAgainInPlaceWithItsRestartCounted) {
  assign(echo_app(2), 1);
  ASSERT_TRUE(running(1));
  const auto id = first_id();
  const auto died = loop->now();
  engine->crash(id);
  ASSERT_TRUE(loop->run_until([&] { return status["echo"].deployments[0].replicas[0].restarts == 1 && ready() == 2; }));
  EXPECT_LT(to_seconds(loop->now() - died), 1.0);
  EXPECT_EQ(first_id(), id);
  EXPECT_EQ(status["echo"].deployments[0].replicas[0].last_error, "killed by signal 9 (SIGKILL)");
}

TEST_F(MasterFlow, AReplicaThatKeepsDyingIsShownWithItsReasonAndTheOthersServeOn) {
  assign(echo_app(2), 1);
  ASSERT_TRUE(running(1));
  const auto id = first_id();
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(loop->run_until([&] { return engine->actor(id) != nullptr; }, 120s));
    engine->crash(id);
  }
  ASSERT_TRUE(loop->run_until([&] { return status["echo"].status == "UNHEALTHY"; }));
  EXPECT_NE(status["echo"].message.find("killed by signal 9"), std::string::npos) << status["echo"].message;
  EXPECT_EQ(ready(), 1);
  ASSERT_TRUE(loop->run_until([&] { return ready() == 2; }, 120s));
}

TEST_F(MasterFlow, ANewMasterAdoptsWhatRunsAndRestartsNothing) {
  assign(echo_app(3), 1);
  ASSERT_TRUE(running(1));
  const auto before = pids();
  stop_host();
  status.clear();
  start_host();
  assign(echo_app(3), 1, 2);
  ASSERT_TRUE(running(1));
  EXPECT_EQ(pids(), before);
  EXPECT_EQ(count("start "), 3u);
}

TEST_F(MasterFlow, UserConfigIsChangedInPlaceAndTheNextIncarnationStartsWithIt) {
  assign(echo_app(3), 1);
  ASSERT_TRUE(running(1));
  const auto before = pids();
  auto app = echo_app(3);
  app.deployments[0].user_config = R"({"a":1})";
  assign(app, 2);
  ASSERT_TRUE(running(2));
  EXPECT_EQ(pids(), before);
  EXPECT_EQ(count("reconfigure "), 3u);
  loop->run_for(5s);
  engine->crash(first_id());
  ASSERT_TRUE(loop->run_until([&] { return count("start " + first_id() + " r2") == 1; }));
}

TEST_F(MasterFlow, ARefusedReconfigurationLeavesTheOldSpecServingAndSaysWhy) {
  assign(echo_app(3), 1);
  ASSERT_TRUE(running(1));
  world.refuse_reconfigure = "model.onnx: is not an ONNX file";
  auto app = echo_app(3);
  app.deployments[0].user_config = "{}";
  assign(app, 2);
  ASSERT_TRUE(loop->run_until([&] { return status["echo"].status == "DEPLOY_FAILED"; }));
  EXPECT_NE(status["echo"].message.find("is not an ONNX file"), std::string::npos) << status["echo"].message;
  EXPECT_EQ(ready(), 3) << "all go on serving";
  world.refuse_reconfigure.clear();
  app.deployments[0].user_config = R"({"b":2})";
  assign(app, 3);
  ASSERT_TRUE(running(3));
}

TEST_F(MasterFlow, AnotherRuntimeReplacesTheProcessesFirstUpThenDown) {
  assign(echo_app(2), 1);
  ASSERT_TRUE(running(1));
  auto app = echo_app(2);
  app.deployments[0].max_ongoing_requests = 77;
  const auto before = pids();
  assign(app, 2);
  int fewest = 99;
  ASSERT_TRUE(loop->run_until([&] {
    fewest = std::min(fewest, ready());
    return status["echo"].status == "RUNNING" && status["echo"].revision == 2;
  }));
  EXPECT_GE(fewest, 2);
  for (auto pid : pids()) EXPECT_FALSE(before.contains(pid));
  EXPECT_EQ(count("drain "), 2u);
}

TEST_F(MasterFlow, AFirstLoadThatFailsIsToldAndTriedAgain) {
  world.load_error = "/nowhere/model.onnx: no such file";
  assign(echo_app(1), 1);
  ASSERT_TRUE(loop->run_until([&] { return engine->starts() == 1; }));
  engine->append_log(first_id(), "what it had to say");
  ASSERT_TRUE(loop->run_until([&] { return status["echo"].status == "DEPLOY_FAILED"; }));
  EXPECT_NE(status["echo"].message.find("no such file"), std::string::npos);
  EXPECT_EQ(status["echo"].deployments[0].replicas[0].last_log_lines, std::vector<std::string>{"what it had to say"});
  world.load_error.clear();
  ASSERT_TRUE(running(1, 30s)) << "the file is there now";
  EXPECT_EQ(count("start "), 1u) << "loading again needs no new process";
}

TEST_F(MasterFlow, NoPlaceIsPendingWithTheReasonUntilThereIsOne) {
  policy::NodeCapacity node;
  node.id = "node-1";
  node.cpus = 1;
  engine->set_node(node);
  assign(echo_app(2), 1);
  ASSERT_TRUE(loop->run_until([&] { return ready() == 1; }));
  loop->run_for(2s);
  std::string reason;
  for (const auto& r : status["echo"].deployments[0].replicas)
    if (r.state == ReplicaState::kPending) reason = r.reason;
  EXPECT_NE(reason.find("cpu"), std::string::npos) << reason;
  node.cpus = 4;
  engine->set_node(node);
  ASSERT_TRUE(running(1));
}

TEST_F(MasterFlow, RemovingDrainsEverythingAndEndsWithDeleted) {
  assign(echo_app(3), 1);
  ASSERT_TRUE(running(1));
  assign(echo_app(3), 2, 1, true);
  ASSERT_TRUE(loop->run_until([&] { return status["echo"].status == "DELETED"; }));
  EXPECT_EQ(engine->actor_count(), 0u);
  EXPECT_EQ(count("drain "), 3u);
  loop->run_for(1s);
  EXPECT_TRUE(loop->run(host->list())->empty());
  assign(echo_app(1), 1, 2);  // the name is free again
  ASSERT_TRUE(running(1));
}

TEST_F(MasterFlow, AMasterOfAnOlderEpochEndsItself) {
  assign(echo_app(2), 1, 1);
  ASSERT_TRUE(running(1));
  auto other = std::make_unique<LocalHost>(AppMaster::Deps{*loop, *engine, *registry});
  ASSERT_TRUE(loop->run(other->assign({echo_app(3), 2, 2, false})));
  loop->run_for(10s);
  EXPECT_EQ(engine->actor_count(), 3u);
  engine->crash_all();
  assign(echo_app(2), 1, 1);
  loop->run_for(30s);
  EXPECT_EQ(engine->actor_count(), 3u) << "the older one may not scale the newer one's replicas down";
  loop->run(other->stop(), 300s);
}

TEST_F(MasterFlow, ADeafReplicaIsReplaced) {
  auto app = echo_app(1);
  app.deployments[0].health_check_timeout_s = 5;
  assign(app, 1);
  ASSERT_TRUE(running(1));
  const auto id = first_id();
  world.deaf = true;
  ASSERT_TRUE(loop->run_until([&] { return count("exit " + id) == 1; }, 120s));
  world.deaf = false;
  ASSERT_TRUE(loop->run_until([&] { return ready() == 1 && first_id() != id; }, 120s));
}

TEST_F(MasterFlow, AReplicaThatNeedsANewProcessIsReplaced) {
  world.load_error = "the model hangs";
  world.hangs = true;
  assign(echo_app(1), 1);
  ASSERT_TRUE(loop->run_until([&] { return count("exit ") == 1; }, 120s));
  world.load_error.clear();
  world.hangs = false;
  ASSERT_TRUE(running(1, 120s));
  EXPECT_GE(count("start "), 2u);
}

TEST_F(MasterFlow, GoesOnWhenTheEngineIsAwayForAWhile) {
  assign(echo_app(2), 1);
  ASSERT_TRUE(running(1));
  engine->pause();
  assign(echo_app(4), 2);
  loop->run_for(20s);
  EXPECT_EQ(ready(), 2);
  engine->resume();
  ASSERT_TRUE(running(2));
  EXPECT_EQ(ready(), 4);
}

}  // namespace
}  // namespace colony::master
