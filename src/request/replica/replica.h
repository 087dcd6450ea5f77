// A replica: serves one deployment. Loads its models, answers the Open Inference Protocol (HTTP/1.1, HTTP/2, gRPC, frame
// links), raw HTTP, and the master's control calls, all on one socket; changes models in place; drains.
// The composition (src/app) makes the http::Server in front of it and decides when the process ends.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "async/blocking_pool.h"
#include "domain/app_spec.h"
#include "domain/status.h"
#include "request/replica/model_table.h"
#include "transport/http/unary.h"

namespace colony::observe {
class Metrics;
}

namespace colony::replica {

struct ReplicaOptions {
  std::string id, app;
  DeploymentSpec spec;
  std::vector<std::string> model_names;  // AppSpec::model_names()
  uint64_t revision = 0, epoch = 0;
  MakeRuntime make_runtime = runtime::make_runtime;  // tests give their own
  observe::Metrics* metrics = nullptr;               // outlives the replica; null: nothing is counted
  size_t max_body = size_t{256} << 20;               // LIMIT: one request; more is 413
  size_t max_buffered = size_t{1} << 30;             // LIMIT: request bodies held at a time; more is 503
  // The server in front: tells its connections to begin nothing new (GOAWAY), and goes on accepting.
  std::function<void()> on_drain;
  // Are there still framed links at that server? While there are, a request that a proxy sent before it saw the GOAWAY may
  // be on its way: a drain waits for them. Null: there are none.
  std::function<bool()> has_links;
  // Control calls beside colony.replica.v1 (an agent's cookie check, ...) are mounted here before start().
  std::function<void(http::Router&)> mount;
};

// Threads that the replica's pool should have: what may run at once, but no more than help.
size_t pool_threads(const DeploymentSpec& spec);

struct ReplicaReport {
  struct Model {
    std::string name, version;
    uint64_t bytes = 0;
  };
  std::string id;
  ReplicaState state = ReplicaState::kStarting;
  std::string phase, error;
  std::vector<PhaseTime> phases;
  uint64_t revision = 0, requests = 0;
  size_t ongoing = 0;
  std::vector<Model> models;
};

struct Reconfiguration {
  std::string app;
  DeploymentSpec spec;
  std::vector<std::string> model_names;
  uint64_t revision = 0, epoch = 0;
};

// Lives on its loop; the pool outlives it. Order of the end: the server in front is destroyed, stop() is awaited, then
// the replica may go. A failed first load leaves it answering control calls with the reason (FAILED).
class Replica final : public http::Service {
 public:
  static std::unique_ptr<Replica> create(async::Loop& loop, async::BlockingPool& pool, ReplicaOptions options);
  ~Replica() override;

  void start();  // begins to load
  async::Task<void> stop();

  ReplicaReport report() const;
  // Until state or phase are others, at most `wait`.
  async::Task<bool> changed_from(std::string state, std::string phase, Duration wait);
  // Loads what changed beside what serves, warms it, swaps; the seconds that took. An error leaves everything as it was:
  // kFailedPrecondition (stale_epoch, needs_new_process), kUnavailable (another one is going on), or why the load failed.
  async::Task<Result<double>> reconfigure(Reconfiguration change);
  // DRAINING: not ready, GOAWAY, and the requests that still run after `grace` (0: all have ended).
  async::Task<Result<size_t>> drain(Duration grace, uint64_t epoch);

  http::ExchangeHandler* on_request(http::Exchange& exchange, const http::RequestHead& head) override;

 private:
  struct Parts;
  explicit Replica(std::unique_ptr<Parts> parts);
  async::Task<void> first_load();
  async::Task<Result<double>> load_and_swap(Reconfiguration change);
  std::unique_ptr<Parts> parts_;
};

}  // namespace colony::replica
