// See timer_wheel.h. An entry's level is the position of the highest bit in which its tick differs from the wheel's, so
// within a level only slots ahead of the wheel's own are ever occupied and nothing wraps around.
#include "async/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

namespace colony::async {
namespace {

constexpr TimePoint kDue = TimePoint::min();  // slot_at_ of a timer that waits to be called, or is being called

}  // namespace

uint64_t TimerWheel::ceil_tick(TimePoint t) {
  const int64_t ns = t.time_since_epoch().count();
  if (ns <= 0) return 0;
  return static_cast<uint64_t>(ns / kTickNs + (ns % kTickNs ? 1 : 0));
}

TimePoint TimerWheel::time_of(uint64_t tick) {
  if (tick > static_cast<uint64_t>(std::numeric_limits<int64_t>::max() / kTickNs)) return TimePoint::max();
  return TimePoint(Duration(static_cast<int64_t>(tick) * kTickNs));
}

Timer::Timer(Loop& loop, std::function<void()> fn) : loop_(loop), fn_(std::move(fn)) {}

Timer::~Timer() { TimerWheel::unlink(*this); }

void Timer::arm(TimePoint at) {
  at_ = at;
  if (at == TimePoint::max()) return;
  if (link_ && slot_at_ <= at) return;
  loop_.timers().file(*this);
}

void Timer::arm_after(Duration d) {
  const TimePoint now = loop_.now();
  arm(d >= TimePoint::max() - now ? TimePoint::max() : now + d);
}

void Timer::cancel() { at_ = TimePoint::max(); }

TimerWheel::TimerWheel(TimePoint now) : tick_(floor_tick(now)) {}

TimerWheel::~TimerWheel() {
  for (int level = 0; level < kLevels; ++level) {
    const size_t slots = level == 0 ? 256 : 64;
    for (size_t i = 0; i < slots; ++i) {
      while (Timer* t = slots_of(level)[i]) unlink(*t);
    }
  }
}

void TimerWheel::push(Timer*& head, Timer& timer) {
  timer.next_ = head;
  if (head) head->link_ = &timer.next_;
  head = &timer;
  timer.link_ = &head;
}

void TimerWheel::unlink(Timer& timer) {
  if (!timer.link_) return;
  *timer.link_ = timer.next_;
  if (timer.next_) timer.next_->link_ = timer.link_;
  timer.next_ = nullptr;
  timer.link_ = nullptr;
}

void TimerWheel::file(Timer& timer) {
  unlink(timer);
  timer.slot_at_ = timer.at_;
  const uint64_t tick = std::max(ceil_tick(timer.at_), tick_);
  const int differing = std::bit_width(tick ^ tick_);
  const int level = differing <= kFirstBits ? 0 : (differing - kFirstBits + kBits - 1) / kBits;
  const int shift = level == 0 ? 0 : kFirstBits + kBits * (level - 1);
  const size_t slot = (tick >> shift) & (level == 0 ? 255 : 63);
  push(slots_of(level)[slot], timer);
  if (const uint64_t begin = tick >> shift << shift; begin < next_.tick) next_ = {level, slot, begin};
  bits_of(level)[slot / 64] |= uint64_t{1} << (slot % 64);
}

Timer* TimerWheel::take_in_order(Timer*& head) {
  Timer* ordered = nullptr;
  while (Timer* t = head) {
    unlink(*t);
    t->next_ = ordered;
    ordered = t;
  }
  return ordered;
}

TimerWheel::Place TimerWheel::next_place() {
  for (int level = 0; level < kLevels; ++level) {
    const int shift = level == 0 ? 0 : kFirstBits + kBits * (level - 1);
    const size_t count = level == 0 ? 256 : 64;
    const uint64_t here = (tick_ >> shift) & (count - 1);
    for (size_t slot = here + (level == 0 ? 0 : 1); slot < count;) {
      uint64_t& bits = bits_of(level)[slot / 64];
      const uint64_t ahead = bits >> (slot % 64);
      if (!ahead) {
        slot = (slot / 64 + 1) * 64;
        continue;
      }
      slot += static_cast<size_t>(std::countr_zero(ahead));
      if (slots_of(level)[slot]) {
        const uint64_t base = (tick_ >> shift) - here + slot;
        return {level, slot, base << shift};
      }
      bits &= ~(uint64_t{1} << (slot % 64));
    }
  }
  return {0, 0, kNone};
}

TimePoint TimerWheel::next_due() {
  if (next_.tick != kNone && !occupied(next_)) next_ = next_place();
  return next_.tick == kNone ? TimePoint::max() : time_of(next_.tick);
}

bool TimerWheel::advance_to(uint64_t target, TimePoint now) {
  CHECK(!advancing_);
  advancing_ = true;
  Timer** due_end = &due_;
  for (next_ = next_place(); next_.tick <= target; next_ = next_place()) {
    const Place p = next_;
    tick_ = p.tick;
    bits_of(p.level)[p.slot / 64] &= ~(uint64_t{1} << (p.slot % 64));
    Timer* t = take_in_order(slots_of(p.level)[p.slot]);
    while (t) {
      Timer* next = std::exchange(t->next_, nullptr);
      if (p.level == 0 && ceil_tick(t->at_) <= p.tick) {
        t->slot_at_ = kDue;
        t->link_ = due_end;
        *due_end = t;
        due_end = &t->next_;
      } else if (t->at_ != TimePoint::max()) {
        file(*t);
      }
      t = next;
    }
  }
  tick_ = target;
  const bool any = due_ != nullptr;
  while (Timer* t = due_) {
    unlink(*t);
    fire(*t, now);
  }
  advancing_ = false;
  return any;
}

// The callback may destroy the timer (a coroutine that leaves its sleep does), so the function is called from here and
// the timer counts as linked to firing_: its destructor clears that.
void TimerWheel::fire(Timer& timer, TimePoint now) {
  if (timer.at_ > now) {  // moved or cancelled by a callback before it
    if (timer.at_ != TimePoint::max()) file(timer);
    return;
  }
  timer.at_ = TimePoint::max();
  timer.slot_at_ = kDue;
  firing_ = &timer;
  timer.link_ = &firing_;
  auto fn = std::move(timer.fn_);
  fn();
  if (!firing_) return;
  unlink(timer);
  timer.fn_ = std::move(fn);
  if (timer.at_ != TimePoint::max()) file(timer);
}

}  // namespace colony::async
