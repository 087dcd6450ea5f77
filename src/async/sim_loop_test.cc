// The simulated loop's own promises: time, latency, determinism and faults.
#include "async/sim_loop.h"

#include "async/loop_test_support.h"

namespace colony::async::test {
namespace {

TEST(SimLoop, TimeJumpsExactly) {
  auto loop = SimLoop::create({});
  const TimePoint from = loop->now();
  const WallTime wall = loop->wall_now();
  int ticks = 0;
  Timer t(*loop, [&] {
    ++ticks;
    t.arm_after(10min);
  });
  t.arm_after(10min);
  loop->run_for(24h);
  EXPECT_EQ(ticks, 144);
  EXPECT_EQ(loop->now() - from, 24h);
  EXPECT_EQ(loop->wall_now() - wall, 24h);
  EXPECT_FALSE(loop->run_until([] { return false; }, 3s));
  EXPECT_EQ(loop->now() - from, 24h + 3s);
}

TEST(SimLoop, RunReadyLetsNoTimePass) {
  auto loop = SimLoop::create({});
  const TimePoint from = loop->now();
  int posted = 0;
  bool fired = false;
  Timer t(*loop, [&] { fired = true; });
  t.arm_after(1ms);
  loop->post([&] { loop->post([&] { ++posted; }); });
  loop->run_ready();
  EXPECT_EQ(posted, 1);
  EXPECT_FALSE(fired);
  EXPECT_EQ(loop->now(), from);
}

TEST(SimLoop, BytesTakeTheLatencyOfTheirWay) {
  SimDriver driver;
  driver.loop = SimLoop::create({.latency = 5ms});
  Pair<SimDriver> p(driver, {"server"});
  const TimePoint from = driver.loop->now();
  p.near->write("x");
  EXPECT_TRUE(driver.run_until([&] { return !p.far_events.bytes.empty(); }));
  EXPECT_EQ(driver.loop->now() - from, 5ms);
}

std::string trace_of(uint64_t seed) {
  SimDriver driver;
  driver.loop = SimLoop::create({.seed = seed, .max_chunk = 50, .stream_buffer = 300, .latency = 1ms});
  Pair<SimDriver> p(driver, {"server"});
  p.near->write(std::string(2000, 'x'));
  EXPECT_TRUE(driver.run_until([&] { return p.far_events.bytes.size() == 2000; }));
  std::string trace;
  for (const auto& s : p.far_events.seen) trace += std::to_string(s.size()) + " ";
  return trace + std::to_string(driver.loop->now().time_since_epoch().count());
}

TEST(SimLoop, ASeedReplaysAndAnotherSeedDiffers) {
  EXPECT_EQ(trace_of(5), trace_of(5));
  EXPECT_NE(trace_of(5), trace_of(6));
}

TEST(SimLoop, APartitionHoldsBytesAndConnectsUntilItHeals) {
  SimDriver driver;
  const Endpoint at{"server"};
  Pair<SimDriver> p(driver, at);
  driver.loop->partition(at);
  p.near->write("held");
  p.far->write("held too");
  std::optional<Result<std::unique_ptr<Stream>>> patient, hasty;
  driver.loop->connect(at, Deadline::never(), [&](auto r) { patient.emplace(std::move(r)); });
  driver.loop->connect(at, Deadline::after(driver.loop->now(), 1s), [&](auto r) { hasty.emplace(std::move(r)); });
  driver.loop->run_for(10s);
  EXPECT_EQ(p.far_events.bytes + p.near_events.bytes, "");
  ASSERT_TRUE(hasty.has_value());
  EXPECT_EQ(hasty->error().code, Code::kDeadlineExceeded);
  EXPECT_FALSE(patient.has_value());
  driver.loop->heal(at);
  driver.loop->run_for(1s);
  EXPECT_EQ(p.far_events.bytes, "held");
  EXPECT_EQ(p.near_events.bytes, "held too");
  ASSERT_TRUE(patient.has_value());
  EXPECT_TRUE(patient->has_value());
}

TEST(SimLoop, APeersDeathBehindAPartitionIsNotSeen) {
  SimDriver driver;
  const Endpoint at{"unix:/server"};
  Pair<SimDriver> p(driver, at);
  driver.loop->partition(at);
  p.far.reset();
  driver.loop->run_for(10s);
  EXPECT_EQ(p.near_events.ended + p.near_events.closed, 0);
  driver.loop->heal(at);
  driver.loop->run_for(1s);
  EXPECT_EQ(p.near_events.ended, 1);
  EXPECT_EQ(p.near_events.closed, 1);
}

TEST(SimLoop, ResetAllBreaksBothEndsOfEveryStreamThere) {
  SimDriver driver;
  const Endpoint at{"server"};
  Pair<SimDriver> p(driver, at);
  Pair<SimDriver> other(driver, {"elsewhere"});
  p.far->pause();
  driver.loop->reset_all(at);
  driver.loop->run_for(1s);
  EXPECT_EQ(p.near_events.closed, 1);
  EXPECT_EQ(p.far_events.closed, 1);
  EXPECT_EQ(p.near_events.error.code, Code::kUnavailable);
  EXPECT_EQ(other.near_events.closed + other.far_events.closed, 0);
}

TEST(SimLoop, HasNoDescriptors) {
  auto loop = SimLoop::create({});
  auto watch = loop->watch_fd(0, [] {});
  ASSERT_FALSE(watch);
  EXPECT_EQ(watch.error().code, Code::kUnimplemented);
}

}  // namespace
}  // namespace colony::async::test
