// The data path of one loop of a proxy: its server, its links, its queues, its pool of requests. Loops of one proxy share
// the listening port, the table and the slots of replicas; nothing else. Created, used and destroyed on its loop, except
// where a function says "any thread".
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/deferred.h"
#include "request/proxy/admit/memory.h"
#include "request/proxy/builtin_grpc.h"
#include "request/proxy/forward/forward.h"
#include "request/proxy/limit_probe.h"
#include "request/proxy/snapshot.h"
#include "transport/http/server.h"

namespace colony::proxy {

class ProxyLoop final : public http::Service, private ForwardHost {
 public:
  struct Options {
    std::string node;  // replicas of this node come first
    TrustedSources trusted;
    http::ServerOptions server;
    std::shared_ptr<MemoryBudget> memory = {};  // null: no bound
    observe::Metrics* metrics = nullptr;        // outlives the loop; null: nothing is shown
  };
  ProxyLoop(async::Loop& loop, size_t index, Options options);
  ~ProxyLoop() override;

  Result<async::Endpoint> listen(const async::Endpoint& at);
  void apply(std::shared_ptr<const Snapshot> snapshot);
  void use_certificates(std::shared_ptr<const tls::ServerContext> certificates);
  // Not ready any more (without a grace); the server answers what it has begun and takes nothing new.
  void drain(Duration grace);
  bool drained() const { return server_ == nullptr || server_->drained(); }
  http::ServerStats server_stats() const { return server_ ? server_->stats() : http::ServerStats{}; }

  uint64_t ongoing() const { return ongoing_.load(std::memory_order_relaxed); }  // any thread
  // Counters by "app/deployment", those that are gone included as long as they have requests.
  std::map<std::string, std::shared_ptr<const RouteStats>> stats() const;

  http::ExchangeHandler* on_request(http::Exchange& exchange, const http::RequestHead& head) override;

 private:
  DeploymentQueue* find_model(std::string_view model) override;
  std::string what_exists() override;
  std::string all_model_statistics() override;
  void end_of_turn(Forward& forward) override;
  void recycle(Forward& forward) override;

  std::string id_line(const http::RequestHead& head);
  Forward& take();
  bool has_memory();
  ServerView view();
  std::vector<ModelCounts> counts() const;
  void flush_fresh();
  void reap();
  void show_gauges();

  async::Loop& loop_;
  const size_t index_;
  const Options options_;
  std::unique_ptr<observe::MetricShard> shard_;  // outlives the deployments
  RouteStats unrouted_;
  ForwardShared shared_{loop_, options_.trusted, unrouted_};
  observe::Gauge connections_;
  observe::Counter bad_requests_;
  uint64_t shown_bad_ = 0;
  observe::Counter tls_full_, tls_resumed_, tls_failed_, tls_timed_out_, tls_crowded_out_;
  tls::AcceptorStats shown_tls_;
  LimitProbe limits_;
  std::shared_ptr<const Snapshot> snapshot_;
  bool draining_ = false;
  std::map<std::string, std::unique_ptr<DeploymentQueue>> deployments_;  // by key
  std::vector<DeploymentQueue*> by_index_;                               // parallel to the table's entries
  std::vector<std::unique_ptr<DeploymentQueue>> retired_;
  std::vector<std::unique_ptr<Forward>> pool_;  // all of them
  std::vector<Forward*> idle_;
  Forward* fresh_ = nullptr;
  Forward** fresh_end_ = &fresh_;
  async::Deferred flush_;
  std::atomic<uint64_t> ongoing_{0};
  async::Timer reaper_, gauges_;
  GrpcBuiltin grpc_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace colony::proxy
