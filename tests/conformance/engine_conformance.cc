// See engine_conformance.h. The cases; adapters instantiate the suite in files of their own.
#include "tests/conformance/engine_conformance.h"

#include <gmock/gmock.h>

#include <map>
#include <vector>

#include "base/rng.h"

namespace colony::testing {

using engine::ActorState;
using engine::Event;
using ::testing::HasSubstr;

engine::ActorStatus EngineConformance::status(const std::string& id) {
  auto all = harness_->run(engine().list(""));
  CHECK(all.has_value());
  for (auto& actor : *all) {
    if (actor.spec.id == id) return actor;
  }
  CHECK(false);
}

bool EngineConformance::listed(const std::string& id) {
  auto all = harness_->run(engine().list(""));
  CHECK(all.has_value());
  for (const auto& actor : *all) {
    if (actor.spec.id == id) return true;
  }
  return false;
}

bool EngineConformance::wait_for_state(const std::string& id, ActorState state, uint64_t incarnation, Duration limit) {
  const TimePoint end = harness_->loop().now() + limit;
  for (;;) {
    const auto now = status(id);
    if (now.state == state && now.incarnation >= incarnation) return true;
    if (harness_->loop().now() >= end) return false;
    const TimePoint next = harness_->loop().now() + 5ms;
    harness_->run_until([&] { return harness_->loop().now() >= next; }, 1s);
  }
}

engine::ActorStatus EngineConformance::run_actor(engine::ActorSpec s) {
  const std::string id = s.id;
  auto reserved = harness_->run(engine().reserve(fence_, std::move(s)));
  EXPECT_TRUE(reserved.has_value()) << reserved.error().message;
  auto started = harness_->run(engine().start(fence_, *reserved));
  EXPECT_TRUE(started.has_value()) << started.error().message;
  EXPECT_TRUE(wait_for_state(id, ActorState::kRunning));
  return status(id);
}

namespace {

TEST_P(EngineConformance, AnActorIsReservedStartedListedAndStopped) {
  auto reserved = harness_->run(engine().reserve(fence_, spec("app.d.a")));
  ASSERT_TRUE(reserved.has_value()) << reserved.error().message;
  EXPECT_EQ(reserved->actor, "app.d.a");
  EXPECT_EQ(reserved->node, harness_->node());
  EXPECT_EQ(status("app.d.a").state, ActorState::kReserved);
  EXPECT_EQ(status("app.d.a").pid, 0);

  auto started = harness_->run(engine().start(fence_, *reserved));
  ASSERT_TRUE(started.has_value()) << started.error().message;
  EXPECT_TRUE(wait_for_state("app.d.a", ActorState::kRunning));
  const auto running = status("app.d.a");
  EXPECT_GT(running.pid, 0);
  EXPECT_EQ(running.incarnation, 1U);
  EXPECT_TRUE(running.address.starts_with("unix:/")) << running.address;
  EXPECT_EQ(running.spec.labels.at("revision"), "7");
  EXPECT_EQ(running.spec.app, "app");
  EXPECT_TRUE(running.spec.payload.empty());
  EXPECT_TRUE(running.last_exit.empty());
  EXPECT_EQ(harness_->run(engine().list("app"))->size(), 1U);
  EXPECT_EQ(harness_->run(engine().list("other"))->size(), 0U);

  ASSERT_TRUE(harness_->run(engine().stop(fence_, "app.d.a", 5s)).has_value());
  EXPECT_FALSE(listed("app.d.a"));
}

TEST_P(EngineConformance, EveryVerbMayBeCalledTwice) {
  const auto first = harness_->run(engine().reserve(fence_, spec("app.d.a")));
  const auto second = harness_->run(engine().reserve(fence_, spec("app.d.a")));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->node, second->node);
  ASSERT_TRUE(harness_->run(engine().start(fence_, *first)).has_value());
  ASSERT_TRUE(harness_->run(engine().start(fence_, *first)).has_value());
  ASSERT_TRUE(wait_for_state("app.d.a", ActorState::kRunning));
  const auto before = status("app.d.a");
  ASSERT_TRUE(harness_->run(engine().start(fence_, *first)).has_value());
  ASSERT_TRUE(harness_->run(engine().reserve(fence_, spec("app.d.a"))).has_value());
  EXPECT_EQ(status("app.d.a").pid, before.pid);
  EXPECT_EQ(status("app.d.a").incarnation, 1U);
  EXPECT_TRUE(harness_->run(engine().stop(fence_, "app.d.a", 5s)).has_value());
  EXPECT_TRUE(harness_->run(engine().stop(fence_, "app.d.a", 5s)).has_value());
  EXPECT_TRUE(harness_->run(engine().stop(fence_, "never.was", 5s)).has_value());
}

TEST_P(EngineConformance, ReservingAgainKeepsTheProcessAndRenewsWhatTheNextOneStartsWith) {
  const auto reserved = harness_->run(engine().reserve(fence_, spec("app.d.a")));
  ASSERT_TRUE(reserved && harness_->run(engine().start(fence_, *reserved)));
  ASSERT_TRUE(wait_for_state("app.d.a", ActorState::kRunning));
  const auto before = status("app.d.a");
  auto renewed = spec("app.d.a");
  renewed.labels["revision"] = "8";
  ASSERT_TRUE(harness_->run(engine().reserve(fence_, renewed)));
  EXPECT_EQ(status("app.d.a").pid, before.pid);
  EXPECT_EQ(status("app.d.a").state, ActorState::kRunning);
  EXPECT_EQ(status("app.d.a").spec.labels.at("revision"), "8");
}

async::Task<void> note(async::Task<Result<void>> task, std::vector<bool>* done) {
  auto result = co_await std::move(task);
  done->push_back(result.has_value());
}
async::Task<void> note_started(engine::Engine& engine, engine::Fence fence, engine::ActorSpec spec,
                               std::vector<bool>* done) {
  auto reserved = co_await engine.reserve(fence, spec);
  if (!reserved) {
    done->push_back(false);
    co_return;
  }
  auto started = co_await engine.start(fence, *reserved);
  done->push_back(started.has_value());
}

TEST_P(EngineConformance, EveryVerbMayBeCalledAgainWhileTheFirstCallRuns) {
  async::Scope scope(harness_->loop());
  std::vector<bool> started, stopped;
  for (int i = 0; i < 3; ++i) scope.spawn(note_started(engine(), fence_, spec("app.d.a"), &started));
  ASSERT_TRUE(harness_->run_until([&] { return scope.running() == 0; }, 20s));
  EXPECT_EQ(started, (std::vector<bool>{true, true, true}));
  ASSERT_TRUE(wait_for_state("app.d.a", ActorState::kRunning));
  EXPECT_EQ(status("app.d.a").incarnation, 1U);
  for (int i = 0; i < 3; ++i) scope.spawn(note(engine().stop(fence_, "app.d.a", 5s), &stopped));
  ASSERT_TRUE(harness_->run_until([&] { return scope.running() == 0; }, 20s));
  EXPECT_EQ(stopped, (std::vector<bool>{true, true, true}));
  EXPECT_FALSE(listed("app.d.a"));
}

TEST_P(EngineConformance, AnActorThatIsBeingStoppedIsNotStartedAgain) {
  run_actor(spec("app.d.a", "stubborn"));
  async::Scope scope(harness_->loop());
  std::vector<bool> stopped;
  scope.spawn(note(engine().stop(fence_, "app.d.a", 300ms), &stopped));
  ASSERT_TRUE(wait_for_state("app.d.a", ActorState::kStopping));
  EXPECT_EQ(harness_->run(engine().start(fence_, {.actor = "app.d.a", .node = harness_->node()})).error().reason,
            "stopping");
  ASSERT_TRUE(harness_->run_until([&] { return scope.running() == 0; }, 20s));
  EXPECT_EQ(stopped, std::vector<bool>{true});
}

TEST_P(EngineConformance, AStubbornActorIsKilledAfterItsGraceAndALaterCallMayShortenIt) {
  run_actor(spec("app.d.a", "stubborn"));
  async::Scope scope(harness_->loop());
  std::vector<bool> stopped;
  const TimePoint begin = harness_->loop().now();
  scope.spawn(note(engine().stop(fence_, "app.d.a", 1h), &stopped));
  ASSERT_TRUE(wait_for_state("app.d.a", ActorState::kStopping));
  ASSERT_TRUE(harness_->run(engine().stop(fence_, "app.d.a", 100ms)).has_value());
  ASSERT_TRUE(harness_->run_until([&] { return scope.running() == 0; }, 20s));
  EXPECT_GE(harness_->loop().now() - begin, 100ms);
  EXPECT_FALSE(listed("app.d.a"));
}

TEST_P(EngineConformance, AnEpochThatIsOverIsRefusedByEveryVerb) {
  run_actor(spec("app.d.a"));
  const engine::Fence next{.owner = "app", .epoch = 6};
  ASSERT_TRUE(harness_->run(engine().reserve(next, spec("app.d.b"))).has_value());
  const auto expect_stale = [](const Error& error) {
    EXPECT_EQ(error.code, Code::kFailedPrecondition);
    EXPECT_EQ(error.reason, "stale_epoch");
  };
  expect_stale(harness_->run(engine().reserve(fence_, spec("app.d.c"))).error());
  expect_stale(harness_->run(engine().start(fence_, {.actor = "app.d.b", .node = harness_->node()})).error());
  expect_stale(harness_->run(engine().stop(fence_, "app.d.a", 5s)).error());
  EXPECT_EQ(status("app.d.a").state, ActorState::kRunning);
  EXPECT_TRUE(harness_->run(engine().reserve({.owner = "other", .epoch = 1}, spec("other.d.a"))).has_value());
  EXPECT_TRUE(harness_->run(engine().stop(next, "app.d.a", 5s)).has_value());
}

TEST_P(EngineConformance, WhatDiedIsRestartedInPlaceAtOnceAndThenWithBackOff) {
  const auto first = run_actor(spec("app.d.a", "lines=12"));
  harness_->crash("app.d.a");
  ASSERT_TRUE(wait_for_state("app.d.a", ActorState::kRunning, 2));
  const auto second = status("app.d.a");
  EXPECT_EQ(second.incarnation, 2U);
  EXPECT_NE(second.pid, first.pid);
  EXPECT_EQ(second.address, first.address);
  EXPECT_EQ(second.node, first.node);
  EXPECT_EQ(second.last_exit, "killed by signal 9 (SIGKILL)");

  const TimePoint crashed = harness_->loop().now();
  harness_->crash("app.d.a");
  ASSERT_TRUE(wait_for_state("app.d.a", ActorState::kBackoff));
  const auto waiting = status("app.d.a");
  EXPECT_EQ(waiting.pid, 0);
  EXPECT_GT(waiting.next_start_s, 0);
  EXPECT_LE(waiting.next_start_s, 0.2);
  ASSERT_EQ(waiting.last_log_lines.size(), 10U);
  EXPECT_EQ(waiting.last_log_lines.back(), "line 12");
  ASSERT_TRUE(wait_for_state("app.d.a", ActorState::kRunning, 3));
  EXPECT_GE(harness_->loop().now() - crashed, 195ms);
}

TEST_P(EngineConformance, WhatKeepsDyingSaysWhyAndCanBeStoppedWhileItWaits) {
  auto reserved = harness_->run(engine().reserve(fence_, spec("app.d.a", "lines=2 exit=3")));
  ASSERT_TRUE(reserved.has_value());
  ASSERT_TRUE(harness_->run(engine().start(fence_, *reserved)).has_value());
  ASSERT_TRUE(wait_for_state("app.d.a", ActorState::kBackoff, 2));
  const auto waiting = status("app.d.a");
  EXPECT_EQ(waiting.last_exit, "exit code 3");
  ASSERT_GE(waiting.last_log_lines.size(), 2U);
  EXPECT_EQ(waiting.last_log_lines.back(), "line 2");
  EXPECT_TRUE(harness_->run(engine().stop(fence_, "app.d.a", 5s)).has_value());
  EXPECT_FALSE(listed("app.d.a"));
}

TEST_P(EngineConformance, AReservationThatWasNeverStartedCanBeStopped) {
  ASSERT_TRUE(harness_->run(engine().reserve(fence_, spec("app.d.a"))).has_value());
  ASSERT_TRUE(harness_->run(engine().stop(fence_, "app.d.a", 5s)).has_value());
  EXPECT_FALSE(listed("app.d.a"));
  EXPECT_EQ(harness_->run(engine().start(fence_, {.actor = "app.d.a", .node = harness_->node()})).error().code,
            Code::kNotFound);
}

TEST_P(EngineConformance, CapacityIsSetAsideAndGivenBack) {
  auto large = spec("app.d.a");
  large.resources.num_cpus = 15;
  ASSERT_TRUE(harness_->run(engine().reserve(fence_, large)).has_value());
  auto more = spec("app.d.b");
  more.resources.num_cpus = 2;
  const auto refused = harness_->run(engine().reserve(fence_, more));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_THAT(refused.error().message, HasSubstr("needs 2 cpus, 1 of 16"));
  const auto nodes = harness_->run(engine().nodes());
  ASSERT_TRUE(nodes.has_value());
  ASSERT_EQ(nodes->size(), 1U);
  EXPECT_TRUE(nodes->at(0).alive);
  EXPECT_EQ(nodes->at(0).id, harness_->node());
  EXPECT_DOUBLE_EQ(nodes->at(0).cpus, 16);
  EXPECT_DOUBLE_EQ(nodes->at(0).cpus_used, 15);
  ASSERT_TRUE(harness_->run(engine().stop(fence_, "app.d.a", 5s)).has_value());
  EXPECT_TRUE(harness_->run(engine().reserve(fence_, more)).has_value());
}

TEST_P(EngineConformance, BadSpecsAreRefusedByName) {
  EXPECT_EQ(harness_->run(engine().reserve(fence_, spec("../etc"))).error().code, Code::kInvalidArgument);
  EXPECT_EQ(harness_->run(engine().reserve(fence_, spec(""))).error().code, Code::kInvalidArgument);
  EXPECT_EQ(harness_->run(engine().reserve(fence_, spec("a", std::string(2 << 20, 'x')))).error().code,
            Code::kInvalidArgument);
  auto elsewhere = spec("app.d.a");
  elsewhere.placement.node = "node-9";
  EXPECT_EQ(harness_->run(engine().reserve(fence_, elsewhere)).error().message, "node 'node-9' is not known");
  EXPECT_EQ(harness_->run(engine().logs("never.was", 10)).error().code, Code::kNotFound);
}

TEST_P(EngineConformance, LogsAreTheLastLinesOldestFirst) {
  run_actor(spec("app.d.a", "lines=20"));
  const auto all = harness_->run(engine().logs("app.d.a", 100));
  ASSERT_TRUE(all.has_value());
  EXPECT_THAT(*all, HasSubstr("line 1\nline 2\n"));
  EXPECT_EQ(harness_->run(engine().logs("app.d.a", 3)).value(), "line 18\nline 19\nline 20\n");
  EXPECT_EQ(harness_->run(engine().logs("app.d.a", 0)).value(), "");
}

TEST_P(EngineConformance, WatchersSeeEveryChangeInOrderUntilTheyLeave) {
  std::vector<std::string> seen;
  const auto record = [&seen](const Event& event) {
    if (event.kind == Event::Kind::kResync) return;
    static constexpr std::array<std::string_view, 5> kNames{"reserved", "starting", "running", "backoff", "stopping"};
    std::string word(event.kind == Event::Kind::kGone ? "gone" : kNames[static_cast<size_t>(event.actor.state)]);
    word += std::to_string(event.actor.incarnation);
    if (seen.empty() || seen.back() != word) seen.push_back(word);
  };
  auto subscription = engine().watch(record);
  // A watch by address stands a moment later; an event for another actor tells when.
  for (int i = 0; i < 100 && seen.empty(); ++i) {
    ASSERT_TRUE(harness_->run(engine().reserve(fence_, spec("app.d.warm" + std::to_string(i)))).has_value());
    harness_->run_until([&] { return !seen.empty(); }, 100ms);
    ASSERT_TRUE(harness_->run(engine().stop(fence_, "app.d.warm" + std::to_string(i), 5s)).has_value());
  }
  harness_->run_until([&] { return !seen.empty() && seen.back() == "gone0"; }, 5s);
  seen.clear();

  run_actor(spec("app.d.a"));
  harness_->crash("app.d.a");
  ASSERT_TRUE(wait_for_state("app.d.a", ActorState::kRunning, 2));
  ASSERT_TRUE(harness_->run(engine().stop(fence_, "app.d.a", 5s)).has_value());
  ASSERT_TRUE(harness_->run_until([&] { return !seen.empty() && seen.back() == "gone2"; }, 5s));
  EXPECT_EQ(seen, (std::vector<std::string>{"reserved0", "starting1", "running1", "backoff1", "starting2", "running2",
                                            "stopping2", "gone2"}));
  subscription.reset();
  seen.clear();
  ASSERT_TRUE(harness_->run(engine().reserve(fence_, spec("app.d.b"))).has_value());
  ASSERT_TRUE(listed("app.d.b"));
  EXPECT_TRUE(seen.empty());
}

TEST_P(EngineConformance, ManyActorsLiveAndDieApart) {
  for (int i = 0; i < 8; ++i) {
    auto s = spec("app.d.x" + std::to_string(i));
    auto reserved = harness_->run(engine().reserve(fence_, s));
    ASSERT_TRUE(reserved.has_value());
    ASSERT_TRUE(harness_->run(engine().start(fence_, *reserved)).has_value());
  }
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(wait_for_state("app.d.x" + std::to_string(i), ActorState::kRunning));
  harness_->crash("app.d.x3");
  ASSERT_TRUE(wait_for_state("app.d.x3", ActorState::kRunning, 2));
  ASSERT_TRUE(harness_->run(engine().stop(fence_, "app.d.x5", 5s)).has_value());
  for (int i = 0; i < 8; ++i) {
    if (i == 3 || i == 5) continue;
    EXPECT_EQ(status("app.d.x" + std::to_string(i)).incarnation, 1U);
  }
  EXPECT_EQ(harness_->run(engine().list("app"))->size(), 7U);
}

// Random verbs and deaths against a toy model: which actors exist, which of them were started.
TEST_P(EngineConformance, AgreesWithAModelOverRandomVerbsAndDeaths) {
  const uint64_t seed = 20240607;
  SCOPED_TRACE(seed);
  Rng rng(seed);
  struct Model {
    bool started = false;
    uint64_t deaths = 0;
  };
  std::map<std::string, Model> model;
  for (int step = 0; step < 60; ++step) {
    const std::string id = "app.d.r" + std::to_string(rng.below(4));
    auto it = model.find(id);
    switch (rng.below(5)) {
      case 0:
      case 1: {
        ASSERT_TRUE(harness_->run(engine().reserve(fence_, spec(id))).has_value());
        model.try_emplace(id);
        break;
      }
      case 2: {
        const auto started = harness_->run(engine().start(fence_, {.actor = id, .node = harness_->node()}));
        ASSERT_EQ(started.has_value(), it != model.end());
        if (started) {
          it->second.started = true;
          ASSERT_NE(started->state, ActorState::kReserved);
        }
        break;
      }
      case 3: {
        ASSERT_TRUE(harness_->run(engine().stop(fence_, id, 5s)).has_value());
        model.erase(id);
        break;
      }
      case 4: {
        if (it == model.end() || !it->second.started) break;
        ASSERT_TRUE(wait_for_state(id, ActorState::kRunning));
        harness_->crash(id);
        ++it->second.deaths;
        ASSERT_TRUE(wait_for_state(id, ActorState::kRunning, it->second.deaths + 1));
        break;
      }
    }
    const auto all = harness_->run(engine().list(""));
    ASSERT_TRUE(all.has_value());
    ASSERT_EQ(all->size(), model.size());
    for (const auto& actor : *all) {
      const auto known = model.find(actor.spec.id);
      ASSERT_NE(known, model.end()) << actor.spec.id;
      ASSERT_EQ(actor.state == ActorState::kReserved, !known->second.started);
      ASSERT_EQ(actor.incarnation, known->second.started ? known->second.deaths + 1 : 0);
      ASSERT_EQ(actor.last_exit.empty(), known->second.deaths == 0);
    }
    ASSERT_DOUBLE_EQ(harness_->run(engine().nodes())->at(0).cpus_used, static_cast<double>(model.size()));
  }
}

}  // namespace
}  // namespace colony::testing
