// The one wheel of a loop: a hierarchical timing wheel with ticks of 1 ms, after Varghese and Lauck (SOSP 1987). Level
// 0 has 256 slots of one tick, each further level 64 slots of the whole level below, up to the end of TimePoint. WHY
// lazy: deadlines are moved on every request and almost never come due. Moving one later, or cancelling it, only writes
// a field of the Timer; the entry is looked at again when the slot that it is filed in comes round.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "async/loop.h"

namespace colony::async {

// Owned by its loop and used on the loop's thread. Timers that are still filed when the wheel dies are let go.
class TimerWheel {
 public:
  explicit TimerWheel(TimePoint now);
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // No timer is due before this; max() when nothing is filed. May be earlier than the first one really due (an entry
  // that was moved or cancelled, a boundary between levels): advance() is then a cheap no-op.
  TimePoint next_due();
  // Calls every timer that is due at `now`, in the order of their ticks, each at most once; what a callback arms at or
  // before `now` comes with the next advance. False: there was none.
  bool advance(TimePoint now) {
    const uint64_t target = std::max(floor_tick(now), tick_);
    if (target >= next_.tick) return advance_to(target, now);
    tick_ = target;
    return false;
  }

 private:
  friend class Timer;
  static constexpr int kFirstBits = 8, kBits = 6, kLevels = 7;  // 8 + 6 * 6 = 44 bits of milliseconds
  static constexpr uint64_t kNone = UINT64_MAX;
  static constexpr int64_t kTickNs = 1'000'000;

  struct Place {
    int level;
    size_t slot;
    uint64_t tick;
  };

  static uint64_t floor_tick(TimePoint t) {
    const int64_t ns = t.time_since_epoch().count();
    return ns <= 0 ? 0 : static_cast<uint64_t>(ns / kTickNs);
  }
  static uint64_t ceil_tick(TimePoint t);
  static TimePoint time_of(uint64_t tick);
  bool advance_to(uint64_t target, TimePoint now);
  void file(Timer& timer);
  static void unlink(Timer& timer);
  static void push(Timer*& head, Timer& timer);
  static Timer* take_in_order(Timer*& head);  // the slot's entries, oldest first, chained by next_
  Place next_place();
  bool occupied(const Place& p) { return slots_of(p.level)[p.slot] != nullptr; }
  Timer** slots_of(int level) { return level == 0 ? first_.data() : rest_[static_cast<size_t>(level - 1)].data(); }
  uint64_t* bits_of(int level) { return level == 0 ? first_bits_.data() : &rest_bits_[static_cast<size_t>(level - 1)]; }
  void fire(Timer& timer, TimePoint now);

  uint64_t tick_;            // everything filed is at or after it
  Place next_{0, 0, kNone};  // as next_place() says, or one before it whose timers were destroyed: no walk per turn
  std::array<Timer*, 256> first_{};
  std::array<std::array<Timer*, 64>, kLevels - 1> rest_{};
  std::array<uint64_t, 4> first_bits_{};  // may say occupied for a slot whose timers were destroyed
  std::array<uint64_t, kLevels - 1> rest_bits_{};
  Timer* due_ = nullptr;
  Timer* firing_ = nullptr;
  bool advancing_ = false;
};

}  // namespace colony::async
