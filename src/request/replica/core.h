// What the parts of one replica share. Owned by Replica, which outlives them all; everything is the loop's unless it says
// otherwise.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/block_pool.h"
#include "observe/metrics.h"
#include "request/replica/inbox.h"
#include "request/replica/lifecycle.h"
#include "request/replica/model_table.h"

namespace colony::replica {

// Handles of this replica's series; without a registry they count nothing.
struct Probe {
  observe::Counter requests, errors;
  observe::Gauge ongoing;
  observe::Histogram queue, processing;
  observe::MetricShard* shard = nullptr;
};

class InferJob;

// How long the parts of an inference took.
struct Laps {
  uint64_t input_ns = 0, infer_ns = 0, output_ns = 0;
};

struct Core {
  Core(async::Loop& l, async::BlockingPool& p);
  ~Core();

  async::Loop& loop;
  async::BlockingPool& pool;
  std::string id, app;
  DeploymentSpec spec;
  uint64_t revision = 0, epoch = 0;
  Lifecycle lifecycle;
  Inbox inbox;
  std::shared_ptr<const ModelTable> table;  // null before the first load has succeeded
  Probe probe;

  size_t max_body = 0, max_buffered = 0;
  std::atomic<size_t> unpacked{0};  // bytes of compressed bodies once unpacked; any thread, at most max_buffered
  size_t buffered = 0;              // bytes of request bodies and gRPC messages that are held, at most max_buffered
  size_t promised = 0;              // bytes for which room was made although they have not come, of larger bodies
  size_t open_requests = 0;         // data requests in service; control calls and health questions are not counted
  size_t raw_streams = 0;           // of them, echoes
  uint64_t answered = 0;
  BlockPool<1024> calls;  // what keeps one request between its calls
  std::vector<std::shared_ptr<InferJob>> spare_jobs;
  Laps cheap_laps;          // of the work on the loop that was measured last
  uint32_t cheap_jobs = 0;  // that were begun
  async::Signal idle;       // open_requests has become 0

  Deadline deadline_for(Deadline carried) const {
    return carried.is_never() ? Deadline::after(loop.now(), from_seconds(spec.request_timeout_s)) : carried;
  }
  void opened();
  void closed(bool error);
  // Work that has outlived its deadline by the health check's whole timeout: the model hangs.
  bool stuck() const { return inbox.overdue() > from_seconds(spec.health_check_timeout_s); }
  // kUnavailable with the state, while nothing is loaded.
  Result<void> servable() const;
};

}  // namespace colony::replica
