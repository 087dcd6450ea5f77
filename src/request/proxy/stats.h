// What one loop of a proxy counts per deployment: plain numbers that only the loop writes and a scrape on another thread
// may read (relaxed atomics, no lock, no allocation on the path). Their names for the outside are in metrics.cc.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/time.h"

namespace colony::proxy {

class Count {
 public:
  void add(uint64_t n = 1) { v_.store(v_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  uint64_t get() const { return v_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> v_{0};
};

// Upper bounds double from 64 us to 67 s; one more bucket takes the rest.
class LatencyHistogram {
 public:
  static constexpr size_t kBounds = 21;
  static double bound_seconds(size_t i) { return 64e-6 * static_cast<double>(uint64_t{1} << i); }

  void observe(Duration d) {
    const auto us = static_cast<uint64_t>(d.count() > 0 ? d.count() / 1000 : 0);
    const size_t width = us <= 64 ? 0 : 64 - static_cast<size_t>(__builtin_clzll((us - 1) >> 6));
    buckets_[width < kBounds ? width : kBounds].add();
    sum_ns_.add(static_cast<uint64_t>(d.count() > 0 ? d.count() : 0));
  }
  uint64_t bucket(size_t i) const { return buckets_[i].get(); }  // i in [0, kBounds]; not cumulative
  double sum_seconds() const { return static_cast<double>(sum_ns_.get()) * 1e-9; }
  uint64_t count() const {
    uint64_t n = 0;
    for (const auto& b : buckets_) n += b.get();
    return n;
  }

 private:
  std::array<Count, kBounds + 1> buckets_;
  Count sum_ns_;
};

struct RouteStats {
  LatencyHistogram queue;         // from the request's arrival to a replica's slot
  LatencyHistogram upstream;      // from the slot to the end of the reply
  LatencyHistogram total;         // from the request's arrival to the end of the reply
  std::array<Count, 6> by_class;  // [0] broken off, [1..5] status / 100
  Count retries, refused_full, refused_late, deadline_exceeded, client_gone, replica_lost;
};

}  // namespace colony::proxy
