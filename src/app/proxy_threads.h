// The loops of a proxy and their threads. The first may be the home loop itself (one loop: no further thread).
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "async/epoll_loop.h"

namespace colony::app {

// Owner: the role that runs a Proxy; destroyed after the Proxy. Threads start at once and end in the destructor.
class ProxyThreads {
 public:
  // `count` 0: one per core.
  explicit ProxyThreads(int count);
  ~ProxyThreads();
  std::vector<async::Loop*> loops() const;

 private:
  std::vector<std::unique_ptr<async::EpollLoop>> loops_;
  std::vector<std::thread> threads_;
};

}  // namespace colony::app
