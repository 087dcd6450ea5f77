// The real loop: epoll, edge-triggered sockets registered once, an eventfd for post(). One thread calls run().
#pragma once

#include <memory>

#include "async/loop.h"

namespace colony::async {

struct EpollLoopOptions {
  uint64_t seed = 0;  // of rng(); 0: from the kernel
  int cpu = -1;       // pin run()'s thread, -1: not
};

class EpollLoop : public Loop {
 public:
  static std::unique_ptr<EpollLoop> create(EpollLoopOptions options = {});
  virtual void run() = 0;   // until stop()
  virtual void stop() = 0;  // any thread
  virtual uint64_t turns() const = 0;
};

}  // namespace colony::async
