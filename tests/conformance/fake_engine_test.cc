// The conformance suite on the fake, in simulated time; and the fake's own verbs.
#include "tests/support/fake_engine.h"

#include <fmt/format.h>

#include "tests/conformance/engine_conformance.h"
#include "tests/support/actor_script.h"

namespace colony::testing {
namespace {

using engine::ActorState;

class ScriptedActor final : public FakeActor {
 public:
  explicit ScriptedActor(ActorScript script) : script_(script) {}
  void started() override {
    if (script_.exit >= 0) exit(fmt::format("exit code {}", script_.exit));
  }
  void terminate() override {
    if (!script_.stubborn) exit("exit code 0");
  }

 private:
  ActorScript script_;
};

class FakeHarness final : public EngineHarness {
 public:
  FakeHarness() : loop_(async::SimLoop::create({})) {
    fake_ = std::make_unique<FakeEngine>(
        *loop_, FakeEngine::Options{.restart = {.first = 200ms, .longest = 60s, .stable = 60s}, .default_node = false},
        [this](const engine::ActorSpec& spec, uint64_t, const std::string&) -> std::unique_ptr<FakeActor> {
          const auto script = ActorScript::parse(spec.payload);
          for (int i = 1; i <= script.lines; ++i) fake_->append_log(spec.id, fmt::format("line {}", i));
          return std::make_unique<ScriptedActor>(script);
        });
    fake_->set_node({.id = "node-1", .cpus = 16});
  }
  async::Loop& loop() override { return *loop_; }
  engine::Engine& engine() override { return *fake_; }
  bool run_until(std::function<bool()> done, Duration limit) override {
    return loop_->run_until(std::move(done), limit);
  }
  void crash(const std::string& actor) override { fake_->crash(actor); }
  std::string node() const override { return "node-1"; }
  FakeEngine& fake() { return *fake_; }
  async::SimLoop& sim() { return *loop_; }

 private:
  std::unique_ptr<async::SimLoop> loop_;
  std::unique_ptr<FakeEngine> fake_;
};

async::Task<void> note_listing(engine::Engine& engine, bool* done) {
  (void)co_await engine.list("");
  *done = true;
}

TEST(FakeEngine, PausedItHangsAndAfterwardsItsWatchersListAgain) {
  FakeHarness harness;
  bool done = false;
  int resyncs = 0, changes = 0;
  const auto subscription = harness.engine().watch(
      [&](const engine::Event& event) { ++(event.kind == engine::Event::Kind::kResync ? resyncs : changes); });
  harness.fake().pause();
  async::Scope scope(harness.loop());
  scope.spawn(note_listing(harness.engine(), &done));
  harness.sim().run_for(10s);
  EXPECT_FALSE(done);
  harness.fake().resume();
  harness.sim().run_ready();
  EXPECT_TRUE(done);
  EXPECT_EQ(resyncs, 1);
  EXPECT_EQ(changes, 0);
}

TEST(FakeEngine, StartsAndReservesFailAsTold) {
  FakeHarness harness;
  const engine::Fence fence{.owner = "app", .epoch = 1};
  engine::ActorSpec spec;
  spec.id = "a";
  spec.role = "replica";
  harness.fake().fail_next_reserve(resource_exhausted("full"));
  EXPECT_EQ(harness.run(harness.engine().reserve(fence, spec)).error().message, "full");
  auto reserved = harness.run(harness.engine().reserve(fence, spec));
  ASSERT_TRUE(reserved.has_value());
  harness.fake().fail_next_start(2, "exit code 9");
  ASSERT_TRUE(harness.run(harness.engine().start(fence, *reserved)).has_value());
  harness.sim().run_for(10ms);
  EXPECT_EQ(harness.fake().status("a")->last_exit, "exit code 9");
  harness.sim().run_for(1s);
  EXPECT_EQ(harness.fake().status("a")->state, ActorState::kRunning);
  EXPECT_EQ(harness.fake().status("a")->incarnation, 3U);
  harness.fake().lose_node("node-1");
  EXPECT_EQ(harness.fake().actor_count(), 0U);
  EXPECT_FALSE(harness.run(harness.engine().nodes())->at(0).alive);
  EXPECT_EQ(harness.run(harness.engine().reserve(fence, spec)).error().reason, "no_such_node");
}

INSTANTIATE_TEST_SUITE_P(Fake, EngineConformance,
                         ::testing::Values(EngineAdapter{"fake", [] { return std::make_unique<FakeHarness>(); }}),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace colony::testing
