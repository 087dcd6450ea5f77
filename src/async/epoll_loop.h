// The real loop: epoll, edge-triggered sockets registered once, an eventfd for post(). One thread calls run().
#pragma once

#include <memory>

#include "async/loop.h"

namespace colony::async {

struct EpollLoopOptions {
  uint64_t seed = 0;  // of rng(); 0: from the kernel
  int cpu = -1;       // pin run()'s thread, -1: not
};

struct EpollLoopStats {
  uint64_t turns = 0;
  uint64_t accepted = 0;
  uint64_t accept_pauses = 0;  // no descriptor was left: accepting rests for 100 ms
  uint64_t wakes = 0;          // posts that had to ring the eventfd
};

// Set up and torn down by one thread, used by the thread inside run(). Streams, listeners, watches and timers that
// outlive the loop are closed and inert. Work that was posted and never ran is destroyed with the loop.
class EpollLoop : public Loop {
 public:
  static std::unique_ptr<EpollLoop> create(EpollLoopOptions options = {});
  virtual void run() = 0;   // until stop()
  virtual void stop() = 0;  // any thread; before run(): run() returns at once
  virtual uint64_t turns() const = 0;
  virtual EpollLoopStats stats() const = 0;  // the loop's thread
};

}  // namespace colony::async
