// The pool: its bound, its counters, the way back to the loop.
#include "async/blocking_pool.h"

#include <future>

#include "async/loop_test_support.h"

namespace colony::async::test {
namespace {

Task<void> compute(BlockingPool& pool, Loop& loop, int v, std::vector<Result<int>>* out, bool* on_loop) {
  auto fn = [v]() -> Result<int> { return v * 2; };
  out->push_back(co_await pool.run(loop, fn));
  *on_loop = loop.on_thread();
}

TEST(BlockingPool, ResultsComeBackOnTheLoop) {
  EpollDriver driver;
  auto pool = BlockingPool::threads({.name = "test", .threads = 3});
  Scope scope(*driver.loop);
  std::vector<Result<int>> results;
  bool on_loop = false;
  for (int i = 0; i < 100; ++i) scope.spawn(compute(*pool, *driver.loop, i, &results, &on_loop));
  EXPECT_TRUE(driver.run_until([&] { return results.size() == 100; }));
  EXPECT_TRUE(on_loop);
  int sum = 0;
  for (auto& r : results) sum += r.value();
  EXPECT_EQ(sum, 9900);
  EXPECT_TRUE(driver.run_until([&] { return scope.running() == 0; }));
}

TEST(BlockingPool, AFullQueueRefusesAndCounts) {
  EpollDriver driver;
  auto pool = BlockingPool::threads({.name = "test", .threads = 1, .max_queued = 2});
  std::promise<void> started, go;
  ASSERT_TRUE(pool->submit([&] {
    started.set_value();
    go.get_future().wait();
  }));
  started.get_future().wait();
  int ran = 0;
  EXPECT_TRUE(pool->submit([&] { ++ran; }));
  EXPECT_TRUE(pool->submit([&] { ++ran; }));
  EXPECT_FALSE(pool->submit([&] { ++ran; }));
  EXPECT_EQ(pool->queued(), 2u);
  EXPECT_EQ(pool->refused(), 1u);
  Scope scope(*driver.loop);
  std::vector<Result<int>> results;
  bool on_loop = false;
  scope.spawn(compute(*pool, *driver.loop, 1, &results, &on_loop));
  ASSERT_EQ(results.size(), 1u) << "refused at once";
  EXPECT_EQ(results[0].error().code, Code::kResourceExhausted);
  EXPECT_EQ(pool->refused(), 2u);
  go.set_value();
  pool.reset();
  EXPECT_EQ(ran, 2) << "what was taken is finished";
}

TEST(BlockingPool, TheInlinePoolWorksInSimulatedTime) {
  SimDriver driver;
  auto pool = BlockingPool::inline_for_tests();
  Scope scope(*driver.loop);
  std::vector<Result<int>> results;
  bool on_loop = false;
  const TimePoint from = driver.loop->now();
  scope.spawn(compute(*pool, *driver.loop, 21, &results, &on_loop));
  EXPECT_TRUE(results.empty()) << "the result comes in a later turn";
  EXPECT_TRUE(driver.run_until([&] { return scope.running() == 0; }));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(*results[0], 42);
  EXPECT_EQ(driver.loop->now(), from);
}

}  // namespace
}  // namespace colony::async::test
