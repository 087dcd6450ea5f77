// A discovery with everything around it on one simulated loop, for the tests of this room: the registry, and on request
// the way to it by address or from another loop. Not part of the library.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "async/sim_loop.h"
#include "discovery/registry.h"
#include "discovery/remote.h"
#include "discovery/service.h"
#include "discovery/threaded.h"
#include "transport/http/server.h"

namespace colony::discovery {

enum class Adapter { kRegistry, kThreaded, kRemote };
inline std::vector<Adapter> all_adapters() { return {Adapter::kRegistry, Adapter::kThreaded, Adapter::kRemote}; }
inline std::string_view name_of(Adapter a) {
  return a == Adapter::kRegistry ? "Registry" : a == Adapter::kThreaded ? "Threaded" : "Remote";
}

inline AppRecord app(const std::string& name, uint64_t epoch, uint64_t version) {
  return {.app = name,
          .epoch = epoch,
          .version = version,
          .deployments = {{.name = "d", .models = {name}, .model_versions = {"3"}}}};
}

struct Watcher {
  explicit Watcher(Discovery& d)
      : subscription(d.subscribe([this](const TableUpdate& u) {
          updates.push_back(u);
          view.apply(u);
        })) {}
  std::vector<TableUpdate> updates;
  TableView view;
  std::unique_ptr<Subscription> subscription;
};

// The server end: registry, router, service, listener. May be crashed and started again.
class DiscoveryHost {
 public:
  DiscoveryHost(async::SimLoop& loop, async::Endpoint at, RegistryOptions options)
      : registry_(loop, options), router_(loop, {}), service_(loop, registry_, router_) {
    auto server = http::Server::listen(loop, at, router_);
    CHECK(server.has_value());
    server_ = std::move(*server);
  }
  async::Task<void> stop() {
    server_.reset();
    co_await service_.stop();
    co_await router_.stop();
    co_await registry_.stop();
  }
  Registry& registry() { return registry_; }

 private:
  Registry registry_;
  http::Router router_;
  Service service_;
  std::unique_ptr<http::Server> server_;
};

class World {
 public:
  explicit World(Adapter adapter, RegistryOptions options = {.settle = Duration::zero()}, uint64_t seed = 1)
      : options_(options), loop_(async::SimLoop::create({.seed = seed})), scope_(*loop_) {
    start_host();
    if (adapter == Adapter::kThreaded) between_ = std::make_unique<Threaded>(*loop_, *loop_, host_->registry());
    if (adapter == Adapter::kRemote) remote_ = std::make_unique<Remote>(*loop_, endpoint());
  }
  ~World() {
    scope_.stop();
    loop_->run(scope_.join());
    if (remote_) loop_->run(remote_->stop());
    remote_.reset();
    between_.reset();
    loop_->run_ready();
    stop_host();
  }

  static async::Endpoint endpoint() { return {"discovery:1"}; }
  async::SimLoop& loop() { return *loop_; }
  Discovery& one() {
    if (remote_) return *remote_;
    if (between_) return *between_;
    return host_->registry();
  }
  Registry& registry() { return host_->registry(); }
  Remote& remote() { return *remote_; }
  TimePoint now() const { return loop_->now(); }

  void stop_host() {
    if (!host_) return;
    loop_->run(host_->stop());
    host_.reset();
  }
  void limit_apps(size_t n) { options_.max_apps = n; }  // of the next host
  void start_host() { host_ = std::make_unique<DiscoveryHost>(*loop_, endpoint(), options_); }

  Result<void> run(async::Task<Result<void>> t) { return loop_->run(std::move(t)); }
  Result<void> publish(AppRecord r) { return run(one().publish(std::move(r))); }
  bool until(std::function<bool()> done, Duration limit = 10s) { return loop_->run_until(std::move(done), limit); }
  void pass(Duration d) { loop_->run_for(d); }
  void spawn(async::Task<Result<void>> t, bool& done) { scope_.spawn(mark(std::move(t), &done)); }

 private:
  static async::Task<void> mark(async::Task<Result<void>> t, bool* done) {
    (void)co_await std::move(t);
    *done = true;
  }

  RegistryOptions options_;
  std::unique_ptr<async::SimLoop> loop_;
  async::Scope scope_;
  std::unique_ptr<DiscoveryHost> host_;
  std::unique_ptr<Threaded> between_;
  std::unique_ptr<Remote> remote_;
};

}  // namespace colony::discovery
