// Threads with a name, so that `top -H` and a profiler show which loop is busy.
#include "app/proxy_threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

namespace colony::app {
namespace {

// Cores that this process may use (taskset, cpusets), not those of the machine.
int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace

ProxyThreads::ProxyThreads(int count) {
  if (count <= 0) count = usable_cores();
  for (int i = 0; i < count; ++i) loops_.push_back(async::EpollLoop::create());
  for (auto& loop : loops_)
    threads_.emplace_back([l = loop.get()] {
      pthread_setname_np(pthread_self(), "proxy-loop");
      l->run();
    });
}

ProxyThreads::~ProxyThreads() {
  for (auto& loop : loops_) loop->stop();
  for (auto& thread : threads_) thread.join();
}

std::vector<async::Loop*> ProxyThreads::loops() const {
  std::vector<async::Loop*> out;
  for (const auto& loop : loops_) out.push_back(loop.get());
  return out;
}

}  // namespace colony::app
