// What one loop of a proxy counts per deployment. The names for the outside are the families of observe/metric_names.h;
// a few plain sums beside them answer questions of the proxy itself (ModelStatistics, tests). Written by the loop only;
// the plain sums may be read from any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "observe/metrics.h"

namespace colony::proxy {

class Count {
 public:
  void add(uint64_t n = 1) { v_.store(v_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  uint64_t get() const { return v_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> v_{0};
};

enum class Method : uint8_t { kGet, kPost, kPut, kDelete, kPatch, kHead, kOptions, kOther };
Method method_of(std::string_view name);

class RouteStats {
 public:
  // `shard`: null counts the plain sums only. It outlives this.
  RouteStats(observe::MetricShard* shard, std::string app, std::string deployment, std::string route);

  void queued_for(Duration d) { queue_.observe(to_seconds(d)); }
  void sent() {
    requests_sent.add();
    sent_.add();
  }
  void first_byte_after(Duration d) { upstream_.observe(to_seconds(d)); }
  void retried() {
    retries.add();
    retries_.add();
  }
  // It was not sent again, only because the retry budget was spent.
  void retry_refused() {
    retries_refused.add();
    retries_refused_.add();
  }
  void refused(std::string_view reason);
  void waiting(size_t n) { waiting_.set(static_cast<double>(n)); }
  void ejection() {
    ejections.add();
    ejections_.add();
  }
  void ejected(size_t n) { ejected_.set(static_cast<double>(n)); }
  void running(size_t n) { running_.set(static_cast<double>(n)); }
  // The request is over. status 0: the client went away or the reply was broken off (shown as 499).
  void answered(Method method, int status, Duration total);
  void answered_grpc(uint8_t grpc_status);

  Count answers, ok, failed, client_gone, replica_lost, retries, retries_refused, ejections, refusals, requests_sent,
      ok_ns;

 private:
  struct Series {
    Method method = Method::kOther;
    int status = 0;
    observe::Counter requests, errors;
    observe::Histogram duration;
  };
  static constexpr size_t kMaxSeries = 64;  // LIMIT: of one deployment on one loop; what is beyond shares the last one
  Series& series(Method method, int status);

  observe::MetricShard* shard_;
  const std::string app_, deployment_, route_;
  std::vector<Series> series_;
  std::array<observe::Counter, 17> grpc_;
  observe::Histogram queue_, upstream_;
  observe::Counter sent_, retries_, retries_refused_, ejections_;
  observe::Gauge waiting_, running_, ejected_;
};

}  // namespace colony::proxy
