// The replica as a process: what its master wrote into the payload, served on the actor's socket.
#include <malloc.h>

#include "app/role.h"
#include "async/blocking_pool.h"
#include "base/log.h"
#include "domain/replica_payload.h"
#include "observe/metrics.h"
#include "request/replica/replica.h"
#include "transport/rpc/rpc.h"

namespace colony::app {
namespace {

class ReplicaRole final : public Role {
 public:
  ReplicaRole(RoleContext context, ReplicaPayload payload)
      : context_(context),
        pool_(async::BlockingPool::threads({"infer", replica::pool_threads(payload.deployment), 4096})) {
    replica::ReplicaOptions o;
    o.id = context.endpoint.spec().id;
    o.app = std::move(payload.app);
    o.spec = std::move(payload.deployment);
    o.model_names = std::move(payload.model_names);
    o.revision = payload.revision;
    o.epoch = payload.epoch;
    o.metrics = &metrics_;
    o.on_drain = [this] {
      if (server_) server_->drain_connections();
    };
    o.has_links = [this] { return server_ && server_->stats().open_links > 0; };
    o.mount = [this](http::Router& router) {
      context_.endpoint.mount(router);
      mount_metrics(router, metrics_);
    };
    replica_ = replica::Replica::create(context.loop, *pool_, std::move(o));
  }
  async::Task<Result<void>> start() override {
    replica_->start();
    co_return Result<void>{};
  }
  async::Task<void> stop(Deadline deadline) override {
    auto drained = co_await replica_->drain(deadline.left(context_.loop.now()), UINT64_MAX);
    if (drained && *drained > 0) LOG(warn, "{} requests were cut off at the deadline", *drained);
    co_await replica_->stop();
  }
  http::Service* data_service() override { return replica_.get(); }
  void serves(http::Server& server) override { server_ = &server; }
  std::optional<TimePoint> last_request() const override {
    const auto report = replica_->report();
    if (report.ongoing > 0 || report.requests != seen_) {
      seen_ = report.requests;
      last_ = context_.loop.now();
    }
    return last_;
  }

 private:
  RoleContext context_;
  observe::Metrics metrics_;
  std::unique_ptr<async::BlockingPool> pool_;
  std::unique_ptr<replica::Replica> replica_;
  http::Server* server_ = nullptr;
  mutable uint64_t seen_ = 0;  // requests at the last look; looks are a second apart
  mutable std::optional<TimePoint> last_;
};

}  // namespace

Result<std::unique_ptr<Role>> make_replica_role(RoleContext context) {
  // Few arenas: models are loaded and freed by many threads, and what they free must go back to the system.
  mallopt(M_ARENA_MAX, 2);
  TRY(auto payload, replica_payload_from_json(context.endpoint.spec().payload));
  return std::make_unique<ReplicaRole>(context, std::move(payload));
}

}  // namespace colony::app
