// Several times of one owner behind one Timer, for owners of which thousands are idle: each time takes a word instead of a
// Timer. Lives on its loop.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <utility>

#include "async/loop.h"

namespace colony::async {

// `Which` counts from 0 to kCount - 1. As with Timer: one-shot, re-armed freely, never early, granularity 1 ms. `Ring` is
// called with a Which; an owner that counts bytes gives a type of its own, as large as a pointer.
template <class Which, size_t kCount, class Ring = std::function<void(Which)>>
class Alarms {
 public:
  // `ring` must not destroy the alarms. Those that are due together ring in the order of Which.
  Alarms(Loop& loop, Ring ring) : loop_(loop), ring_(std::move(ring)), timer_(loop, [this] { on_timer(); }) {
    cancel_all();
  }

  void arm(Which which, TimePoint at) {
    due(which) = at;
    if (at < timer_.at()) timer_.arm(at);
  }
  void arm_after(Which which, Duration d) {
    const TimePoint now = loop_.now();
    arm(which, d >= TimePoint::max() - now ? TimePoint::max() : now + d);
  }
  void cancel(Which which) { due(which) = TimePoint::max(); }
  void cancel_all() { due_.fill(TimePoint::max()); }
  bool armed(Which which) const { return at(which) != TimePoint::max(); }
  TimePoint at(Which which) const { return due_[static_cast<size_t>(which)]; }

 private:
  TimePoint& due(Which which) { return due_[static_cast<size_t>(which)]; }
  // Comes at the latest when the earliest is due. It may have been moved or cancelled: then nothing rings.
  void on_timer() {
    const TimePoint now = loop_.now();
    for (size_t i = 0; i < kCount; ++i) {
      if (due_[i] > now) continue;
      due_[i] = TimePoint::max();
      ring_(static_cast<Which>(i));
    }
    timer_.arm(*std::ranges::min_element(due_));
  }

  Loop& loop_;
  Ring ring_;
  std::array<TimePoint, kCount> due_;
  Timer timer_;
};

}  // namespace colony::async
