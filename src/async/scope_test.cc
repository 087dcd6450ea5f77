// Tasks, scopes, signals and the awaitables of a loop, in simulated time.
#include "async/scope.h"

#include <gtest/gtest.h>

#include "async/sim_loop.h"

namespace colony::async {
namespace {

class ScopeTest : public ::testing::Test {
 protected:
  std::unique_ptr<SimLoop> loop = SimLoop::create({.seed = 3});
  void join(Scope& scope) { loop->run(scope.join()); }
};

Task<int> plus_one(int v) { co_return v + 1; }

Task<int> count(int n) {
  int v = 0;
  while (v < n) v = co_await plus_one(v);
  co_return v;
}

TEST_F(ScopeTest, AMillionAwaitsInOneTaskDoNotGrowTheStack) { EXPECT_EQ(loop->run(count(1'000'000)), 1'000'000); }

Task<void> note_when_done(Loop& loop, Duration d, std::vector<int>* out, int id) {
  co_await loop.sleep(d);
  out->push_back(id);
}

TEST_F(ScopeTest, JoinWaitsForTheLastTask) {
  Scope scope(*loop);
  std::vector<int> done;
  scope.spawn(note_when_done(*loop, 20ms, &done, 2));
  scope.spawn(note_when_done(*loop, 10ms, &done, 1));
  scope.spawn(note_when_done(*loop, 0ms, &done, 0));
  EXPECT_EQ(scope.running(), 2u);
  const TimePoint from = loop->now();
  join(scope);
  EXPECT_EQ(done, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(loop->now() - from, 20ms);
}

Task<void> work_until_stopped(Scope& scope, int* rounds) {
  while (co_await scope.sleep(10ms)) ++*rounds;
}

TEST_F(ScopeTest, StopWakesSleepersAtOnceAndDropsLaterSpawns) {
  Scope scope(*loop);
  int rounds = 0, late = 0;
  scope.spawn(work_until_stopped(scope, &rounds));
  scope.spawn(work_until_stopped(scope, &rounds));
  loop->run_for(35ms);
  EXPECT_EQ(rounds, 6);
  const TimePoint from = loop->now();
  scope.stop();
  EXPECT_EQ(scope.running(), 2u) << "stop() runs no task";
  scope.spawn(work_until_stopped(scope, &late));
  join(scope);
  EXPECT_EQ(loop->now(), from);
  EXPECT_EQ(late, 0);
  EXPECT_TRUE(scope.stopping());
  scope.stop();
}

struct Tracked {
  explicit Tracked(int* c) : alive(c) { ++*alive; }
  Tracked(Tracked&& o) noexcept : alive(std::exchange(o.alive, nullptr)) {}
  Tracked(const Tracked&) = delete;
  ~Tracked() {
    if (alive) --*alive;
  }
  int* alive;
};

Task<void> hold(Loop& loop, Tracked) { co_await loop.sleep(5ms); }

TEST_F(ScopeTest, ATasksParametersAreGoneBeforeJoinReturns) {
  int alive = 0;
  Scope scope(*loop);
  scope.spawn(hold(*loop, Tracked(&alive)));
  EXPECT_EQ(alive, 1);
  join(scope);
  EXPECT_EQ(alive, 0);
}

TEST_F(ScopeTest, ATaskThatWasNeverStartedLeavesNothing) {
  int alive = 0;
  {
    auto task = hold(*loop, Tracked(&alive));
  }
  EXPECT_EQ(alive, 0);
}

Task<void> wait_for(Signal& signal, Scope& scope, Deadline deadline, std::vector<bool>* out) {
  out->push_back(co_await signal.wait(scope, deadline));
}

TEST_F(ScopeTest, NotifyWakesEveryWaiterAndIsRememberedOnce) {
  Scope scope(*loop);
  Signal signal(*loop);
  std::vector<bool> got;
  scope.spawn(wait_for(signal, scope, Deadline::never(), &got));
  scope.spawn(wait_for(signal, scope, Deadline::never(), &got));
  signal.notify();
  EXPECT_TRUE(got.empty());
  join(scope);
  EXPECT_EQ(got, (std::vector<bool>{true, true}));
  signal.notify();
  signal.notify();
  const auto soon = [&] { return Deadline::after(loop->now(), 10ms); };
  EXPECT_TRUE(loop->run(signal.wait(scope, soon())));
  EXPECT_FALSE(loop->run(signal.wait(scope, soon())));
}

TEST_F(ScopeTest, ASignalsWaitEndsAtItsDeadlineOrWithItsScope) {
  Scope scope(*loop);
  Signal signal(*loop);
  std::vector<bool> got;
  const TimePoint from = loop->now();
  EXPECT_FALSE(loop->run(signal.wait(scope, Deadline::after(from, 25ms))));
  EXPECT_EQ(loop->now() - from, 25ms);
  scope.spawn(wait_for(signal, scope, Deadline::never(), &got));
  scope.stop();
  join(scope);
  EXPECT_EQ(got, (std::vector<bool>{false}));
  EXPECT_FALSE(loop->run(signal.wait(scope))) << "a stopping scope waits for nothing";
}

TEST_F(ScopeTest, NotifyAndDeadlineInTheSameTurnResumeTheWaiterOnce) {
  Scope scope(*loop);
  Signal signal(*loop);
  std::vector<bool> got;
  scope.spawn(wait_for(signal, scope, Deadline::after(loop->now(), 10ms), &got));
  Timer at_once(*loop, [&] { signal.notify(); });
  at_once.arm_after(10ms);
  join(scope);
  loop->run_for(50ms);
  EXPECT_EQ(got.size(), 1u);
}

TEST_F(ScopeTest, AOneShotGivesItsValueOrTheDeadline) {
  OneShot<int> answered(*loop), silent(*loop), early(*loop), late(*loop);
  auto set = answered.setter();
  loop->post([set] { set.set(5); });
  auto r = loop->run(answered.wait(Deadline::after(loop->now(), 1s)));
  ASSERT_TRUE(r);
  EXPECT_EQ(*r, 5);
  auto none = loop->run(silent.wait(Deadline::after(loop->now(), 1s)));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kDeadlineExceeded);
  early.setter().set(6);
  early.setter().set(7);
  auto e = loop->run(early.wait(Deadline::never()));
  ASSERT_TRUE(e);
  EXPECT_EQ(*e, 6);
  const TimePoint at = loop->now() + 10ms;  // value and deadline at the same instant: one answer, one resumption
  auto setter = late.setter();
  Timer t(*loop, [setter] { setter.set(1); });
  t.arm(at);
  auto both = loop->run(late.wait(Deadline::at(at)));
  loop->run_for(20ms);
  EXPECT_TRUE(both || both.error().code == Code::kDeadlineExceeded);
}

Task<Result<std::string>> ask(Loop& loop, Endpoint to) {
  CO_TRY(auto stream, co_await loop.connect(to, Deadline::after(loop.now(), 1s)));
  co_await loop.yield();
  co_return stream->peer();
}

TEST_F(ScopeTest, ConnectAndYieldAreAwaitable) {
  auto missing = loop->run(ask(*loop, {"nowhere"}));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kUnavailable);
  std::unique_ptr<Stream> far;
  auto listener = loop->listen({"somewhere"}, [&](auto s) { far = std::move(s); });
  auto there = loop->run(ask(*loop, {"somewhere"}));
  ASSERT_TRUE(there);
  EXPECT_EQ(*there, "somewhere");
}

}  // namespace
}  // namespace colony::async
