// Timers on both loops, and the wheel against a plain model under random arming.
#include <map>

#include "async/alarms.h"
#include "async/loop_test_support.h"

namespace colony::async::test {
namespace {

template <class Driver>
class TimerConformance : public ::testing::Test {
 protected:
  Driver driver;
  Loop& loop = *driver.loop;
};
using Drivers = ::testing::Types<EpollDriver, SimDriver>;
TYPED_TEST_SUITE(TimerConformance, Drivers);

TYPED_TEST(TimerConformance, ATimerIsNeverEarlyAndFiresOnce) {
  for (const Duration d : {Duration(0ms), Duration(1us), Duration(1500us), Duration(7ms), Duration(300ms)}) {
    int fired = 0;
    TimePoint at{};
    Timer t(this->loop, [&] { ++fired, at = this->loop.now(); });
    const TimePoint from = this->loop.now();
    t.arm_after(d);
    const TimePoint due = t.at();
    EXPECT_TRUE(t.armed());
    EXPECT_TRUE(this->driver.run_until([&] { return fired > 0; }));
    EXPECT_GE(at, due);
    EXPECT_GE(at, from + d);
    EXPECT_FALSE(t.armed());
    this->driver.settle();
    EXPECT_EQ(fired, 1);
  }
}

TYPED_TEST(TimerConformance, MovingATimerLaterOrSoonerIsObeyed) {
  TimePoint later_at{}, sooner_at{};
  Timer later(this->loop, [&] { later_at = this->loop.now(); });
  Timer sooner(this->loop, [&] { sooner_at = this->loop.now(); });
  const TimePoint from = this->loop.now();
  later.arm_after(5ms);
  later.arm(from + 60ms);
  sooner.arm_after(1h);
  sooner.arm(from + 20ms);
  EXPECT_TRUE(this->driver.run_until([&] { return later_at != TimePoint{}; }));
  EXPECT_GE(later_at, from + 60ms);
  EXPECT_GE(sooner_at, from + 20ms);
  EXPECT_LE(sooner_at, later_at);
}

TYPED_TEST(TimerConformance, ACancelledTimerStaysSilentAndCanBeArmedAgain) {
  int fired = 0;
  Timer t(this->loop, [&] { ++fired; });
  t.arm_after(1ms);
  t.cancel();
  EXPECT_FALSE(t.armed());
  bool later = false;
  Timer end(this->loop, [&] { later = true; });
  end.arm_after(20ms);
  EXPECT_TRUE(this->driver.run_until([&] { return later; }));
  EXPECT_EQ(fired, 0);
  t.arm_after(1ms);
  EXPECT_TRUE(this->driver.run_until([&] { return fired == 1; }));
}

TYPED_TEST(TimerConformance, CallbacksMayArmCancelAndDestroyTimersThatAreDueWithThem) {
  int fired = 0;
  auto doomed = std::make_unique<Timer>(this->loop, [&] { ++fired; });
  Timer silenced(this->loop, [&] { ++fired; });
  Timer put_off(this->loop, [&] { ++fired; });
  const TimePoint at = this->loop.now() + 5ms;
  int own = 0;
  std::unique_ptr<Timer> first;
  first = std::make_unique<Timer>(this->loop, [&] {
    doomed.reset();
    silenced.cancel();
    put_off.arm_after(30ms);
    if (++own < 3) {
      first->arm(this->loop.now());
    } else {
      first.reset();
    }
  });
  first->arm(at);
  doomed->arm(at);
  silenced.arm(at);
  put_off.arm(at);
  EXPECT_TRUE(this->driver.run_until([&] { return fired == 1; }));
  EXPECT_EQ(own, 3);
  this->driver.settle();
  EXPECT_EQ(fired, 1);
}

TYPED_TEST(TimerConformance, ATimerThatRearmsItselfAtOnceDoesNotStarveTheLoop) {
  int fired = 0;
  bool posted = false;
  Timer t(this->loop, [&] {
    ++fired;
    if (!posted) t.arm(this->loop.now());
    if (fired == 3) this->loop.post([&] { posted = true; });
  });
  t.arm(this->loop.now());
  EXPECT_TRUE(this->driver.run_until([&] { return posted; }));
}

TYPED_TEST(TimerConformance, EqualTimesFireInTheOrderOfArming) {
  std::vector<int> order;
  std::vector<std::unique_ptr<Timer>> timers;
  const TimePoint at = this->loop.now() + 500ms;  // filed above the first level
  for (int i = 0; i < 20; ++i) {
    timers.push_back(std::make_unique<Timer>(this->loop, [&order, i] { order.push_back(i); }));
    timers.back()->arm(at);
  }
  EXPECT_TRUE(this->driver.run_until([&] { return order.size() == 20; }));
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(TimerWheel, AgreesWithAModelUnderRandomArmingOverMonths) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    auto loop = SimLoop::create({.seed = seed});
    Rng rng(seed);
    constexpr int kTimers = 200;
    std::map<int, TimePoint> model;  // armed timer -> wanted time
    std::vector<std::unique_ptr<Timer>> timers;
    int fired = 0;
    const auto make = [&](int i) {
      return std::make_unique<Timer>(*loop, [&, i] {
        ++fired;
        auto it = model.find(i);
        ASSERT_NE(it, model.end());
        EXPECT_GE(loop->now(), it->second);
        EXPECT_LT(loop->now() - it->second, 1ms);
        model.erase(it);
      });
    };
    for (int i = 0; i < kTimers; ++i) timers.push_back(make(i));
    for (int step = 0; step < 3000; ++step) {
      const int i = static_cast<int>(rng.below(kTimers));
      auto& t = timers[static_cast<size_t>(i)];
      switch (rng.below(5)) {
        case 0:
          t->cancel();
          model.erase(i);
          break;
        case 4:
          t = make(i);
          model.erase(i);
          break;
        case 1: loop->run_for(Duration(static_cast<int64_t>(rng.below(uint64_t{1} << rng.below(52))))); break;
        default: {
          // From nanoseconds to some fifty days.
          t->arm_after(Duration(static_cast<int64_t>(rng.below(uint64_t{1} << rng.below(53)))));
          model[i] = t->at();
        }
      }
      ASSERT_EQ(t->armed(), model.contains(i));
      for (const auto& [id, at] : model) ASSERT_GE(at + 1ms, loop->now()) << "timer " << id << " was missed";
    }
    loop->run_for(24h * 400);
    EXPECT_TRUE(model.empty());
    EXPECT_GT(fired, 100);
  }
}

enum class Ring : uint8_t { kA, kB, kC };

TYPED_TEST(TimerConformance, AlarmsRingOnceInOrderAndNeverEarly) {
  std::vector<Ring> rung;
  const TimePoint from = this->loop.now();
  Alarms<Ring, 3> alarms(this->loop, [&](Ring which) {
    EXPECT_FALSE(alarms.armed(which));
    EXPECT_GE(this->loop.now(), from + (which == Ring::kB ? 5ms : 30ms));
    rung.push_back(which);
  });
  EXPECT_FALSE(alarms.armed(Ring::kA));
  alarms.arm(Ring::kC, from + 30ms);
  alarms.arm(Ring::kB, from + 1h);
  alarms.arm(Ring::kB, from + 5ms);  // sooner
  alarms.arm_after(Ring::kA, 10ms);
  alarms.cancel(Ring::kA);
  EXPECT_TRUE(this->driver.run_until([&] { return rung.size() == 2; }));
  EXPECT_EQ(rung, (std::vector{Ring::kB, Ring::kC}));
  this->driver.settle();
  EXPECT_EQ(rung.size(), 2u);
}

TYPED_TEST(TimerConformance, AnAlarmMayArmAndCancelAnyOther) {
  std::vector<Ring> rung;
  Alarms<Ring, 3> alarms(this->loop, [&](Ring which) {
    rung.push_back(which);
    if (which == Ring::kA && rung.size() == 1) {
      alarms.cancel(Ring::kB);          // due as well
      alarms.arm_after(Ring::kA, 2ms);  // itself again
      alarms.arm_after(Ring::kC, 0ms);
    }
  });
  const TimePoint at = this->loop.now() + 3ms;
  alarms.arm(Ring::kA, at);
  alarms.arm(Ring::kB, at);
  EXPECT_TRUE(this->driver.run_until([&] { return rung.size() == 3; }));
  EXPECT_EQ(rung, (std::vector{Ring::kA, Ring::kC, Ring::kA}));
  alarms.arm_after(Ring::kB, 1ms);
  alarms.arm_after(Ring::kC, Duration::max());  // never
  alarms.cancel_all();
  this->driver.settle();
  EXPECT_EQ(rung.size(), 3u);
}

TEST(Alarms, RingLikeTimersUnderRandomArming) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    auto loop = SimLoop::create({.seed = seed});
    Rng rng(seed);
    constexpr size_t kCount = 5;
    std::vector<std::pair<size_t, TimePoint>> by_alarm, by_timer;
    Alarms<size_t, kCount> alarms(*loop, [&](size_t i) { by_alarm.emplace_back(i, loop->now()); });
    std::vector<std::unique_ptr<Timer>> timers;
    for (size_t i = 0; i < kCount; ++i)
      timers.push_back(std::make_unique<Timer>(*loop, [&, i] { by_timer.emplace_back(i, loop->now()); }));
    for (int step = 0; step < 2000; ++step) {
      const size_t i = rng.below(kCount);
      switch (rng.below(4)) {
        case 0:
          alarms.cancel(i);
          timers[i]->cancel();
          break;
        case 1: loop->run_for(Duration(static_cast<int64_t>(rng.below(uint64_t{1} << rng.below(40))))); break;
        default: {
          const Duration d(static_cast<int64_t>(rng.below(uint64_t{1} << rng.below(42))));
          alarms.arm_after(i, d);
          timers[i]->arm_after(d);
        }
      }
      ASSERT_EQ(alarms.armed(i), timers[i]->armed());
      ASSERT_EQ(alarms.at(i), timers[i]->at());
    }
    loop->run_for(24h);
    // Those of one tick may ring in another order.
    std::ranges::sort(by_alarm);
    std::ranges::sort(by_timer);
    EXPECT_EQ(by_alarm, by_timer);
    EXPECT_GT(by_alarm.size(), 100u);
  }
}

TEST(TimerWheel, ThousandsOfIdleTimersCostNoTurns) {
  auto loop = EpollLoop::create();
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 20000; ++i) {
    timers.push_back(std::make_unique<Timer>(*loop, [] {}));
    timers.back()->arm_after(30s + i * 1ms);
  }
  Timer end(*loop, [&] { loop->stop(); });
  end.arm_after(200ms);
  loop->run();
  EXPECT_LT(loop->turns(), 50u);
}

}  // namespace
}  // namespace colony::async::test
