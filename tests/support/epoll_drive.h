// Drives a real loop from a test: until a condition holds, or a limit of real time has gone by.
#pragma once

#include <functional>

#include "async/epoll_loop.h"

namespace colony::testing {

inline bool run_until(async::EpollLoop& loop, const std::function<bool()>& done, Duration limit) {
  if (done()) return true;
  const auto end = std::chrono::steady_clock::now() + limit;
  async::Timer tick(loop, [&] {
    if (done() || std::chrono::steady_clock::now() >= end) {
      loop.stop();
    } else {
      tick.arm_after(1ms);
    }
  });
  tick.arm_after(1ms);
  loop.run();
  return done();
}

}  // namespace colony::testing
