#include "request/proxy/limit_probe.h"

#include <utility>

#include "observe/metric_names.h"

namespace colony::proxy {

LimitProbe::LimitProbe(observe::MetricShard* shard) {
  if (!shard) return;
  for (size_t i = 0; i < http::kLimits; ++i)
    hits_[i] =
        shard->counter(observe::kLimitHits, {std::string(http::limit_name(http::Limit{static_cast<uint8_t>(i)}))});
  memory_hits_ = shard->counter(observe::kLimitHits, {"memory_bytes"});
  connections_ = shard->gauge(observe::kLimitUsed, {"connections"});
  memory_ = shard->gauge(observe::kLimitUsed, {"memory_bytes"});
}

void LimitProbe::show(const http::ServerStats& stats, size_t held) {
  for (size_t i = 0; i < http::kLimits; ++i) hits_[i].add(stats.hits[i] - std::exchange(shown_[i], stats.hits[i]));
  connections_.set(static_cast<double>(stats.open_connections));
  memory_.set(static_cast<double>(held));
}

}  // namespace colony::proxy
