// The limits of one loop of a proxy for the outside: how often each was met, its value, and how much of it is used where it
// is a level. Belongs to a ProxyLoop.
#pragma once

#include <array>

#include "observe/metrics.h"
#include "transport/http/server.h"

namespace colony::proxy {

class LimitProbe {
 public:
  explicit LimitProbe(observe::MetricShard* shard);  // null: nothing is shown
  void memory_hit() { memory_hits_.add(1); }
  // `held`: bytes of the whole proxy; 0 from all loops but one, since a gauge is a sum over loops.
  void show(const http::ServerStats& stats, size_t held);

 private:
  std::array<observe::Counter, http::kLimits> hits_;
  http::LimitHits shown_ = {};
  observe::Counter memory_hits_;
  observe::Gauge connections_, memory_;
};

}  // namespace colony::proxy
