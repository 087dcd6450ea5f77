// What the loops of a proxy hold in buffers, together, against one bound: new requests are refused before it is passed.
// What was begun goes on; its growth is bounded by the windows of its streams.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

namespace colony::proxy {

// Shared by the loops; each writes its own figure only. Any thread.
class MemoryBudget {
 public:
  // limit 0: no bound.
  MemoryBudget(size_t limit, size_t loops) : limit_(limit), held_(loops) {}

  // `held`: by this loop, now. True: there is room for another request.
  bool admits(size_t loop, size_t held) {
    held_[loop].bytes.store(held, std::memory_order_relaxed);
    return limit_ == 0 || this->held() < limit_;
  }
  size_t held() const {
    size_t sum = 0;
    for (const auto& loop : held_) sum += loop.bytes.load(std::memory_order_relaxed);
    return sum;
  }
  size_t limit() const { return limit_; }

 private:
  struct alignas(64) Held {  // a cache line each: loops do not disturb one another
    std::atomic<size_t> bytes{0};
  };
  const size_t limit_;
  std::vector<Held> held_;
};

}  // namespace colony::proxy
