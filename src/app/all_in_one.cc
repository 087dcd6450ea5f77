// `colony up`: keeper, masters, discovery and agent on one control loop, the proxy on loops of its own, replicas as children.
// The same role code as with --processes, joined by plain calls in place of addresses.
#include <fmt/format.h>

#include "app/binary.h"
#include "app/house.h"
#include "app/keeper_unit.h"
#include "app/limits.h"
#include "app/proxy_threads.h"
#include "base/log.h"
#include "control/master/host.h"
#include "discovery/registry.h"
#include "engine/agent/agent.h"
#include "engine/embedded/embedded.h"
#include "request/proxy/proxy.h"
#include "store/data_dir.h"

namespace colony::app {
namespace {

constexpr Duration kStopGrace = 10s;

class AllInOne final : public House {
 public:
  AllInOne(async::EpollLoop& loop, const Config& config, std::function<void()> on_shutdown)
      : loop_(loop), config_(config), on_shutdown_(std::move(on_shutdown)) {}

  async::Task<Result<Addresses>> start() override {
    CO_TRY(lock_, store::lock_data_dir(config_.data_dir, "up.lock"));
    engine::AgentOptions o;
    o.run_dir = run_dir_of(config_);
    o.log_dir = log_dir_of(config_);
    o.host = config_.node;
    o.capacity = engine::local_capacity(config_.node, config_.cpus);
    o.actors.env = {{"COLONY_ORPHAN_TIMEOUT_S", fmt::format("{}", to_seconds(config_.orphan_timeout))},
                    {"COLONY_LOG_LEVEL", config_.log_level}};
    CO_TRY(o.actors.binary, own_binary());
    CO_TRY(agent_, co_await engine::Agent::open(loop_, o));
    engine_ = std::make_unique<engine::EmbeddedEngine>(loop_, std::vector<engine::AgentPort*>{agent_.get()});
    registry_ = std::make_unique<discovery::Registry>(loop_);
    host_ = std::make_unique<master::LocalHost>(master::AppMaster::Deps{loop_, *engine_, *registry_});

    threads_ = std::make_unique<ProxyThreads>(config_.loops);
    proxy::ProxyOptions p;
    p.id = "proxy." + config_.node;
    p.listen = {config_.http};
    p.node = config_.node;
    p.tls = config_.tls;
    CO_TRY(p.trusted, proxy::TrustedSources::parse(config_.trusted_proxies));
    p.metrics = &metrics_;
    set_limits(p, config_.limits);
    proxy_ = std::make_unique<proxy::Proxy>(loop_, *registry_, threads_->loops(), p);
    auto http = co_await proxy_->start();
    if (!http) {
      if (http.error().reason == "address_in_use")
        http.error().message += "; give another: --http 127.0.0.1:0 picks a free port";
      co_return fail(std::move(http).error());
    }

    keeper_ = std::make_unique<KeeperUnit>(
        KeeperUnit::Deps{loop_, *host_, *registry_, *engine_},
        KeeperUnit::Options{config_.data_dir, config_.control, config_.token, on_shutdown_, &metrics_});
    Addresses at;
    CO_TRY(at.control, co_await keeper_->start());
    at.http = http->text;
    co_return at;
  }

  async::Task<void> stop(Deadline deadline) override {
    if (proxy_ && !co_await proxy_->drain(deadline)) LOG(warn, "some requests were cut off at the deadline");
    if (keeper_) co_await keeper_->stop();
    if (host_) co_await host_->stop();
    if (proxy_) co_await proxy_->stop();
    if (agent_) co_await agent_->stop_all(kStopGrace);
    while (killing_) co_await loop_.sleep(1ms);
    if (registry_) co_await registry_->stop();
    if (agent_) co_await agent_->close();
    proxy_.reset();
    threads_.reset();
    keeper_.reset();
    host_.reset();
    engine_.reset();
    registry_.reset();
    agent_.reset();
    lock_.reset();
  }

  async::Task<void> kill() override {
    killing_ = true;  // the agent stays until this is over
    if (agent_) co_await agent_->stop_all(Duration::zero());
    killing_ = false;
  }

 private:
  async::EpollLoop& loop_;
  Config config_;
  std::function<void()> on_shutdown_;
  bool killing_ = false;
  observe::Metrics metrics_;
  std::unique_ptr<store::DataDirLock> lock_;
  std::unique_ptr<engine::Agent> agent_;
  std::unique_ptr<engine::EmbeddedEngine> engine_;
  std::unique_ptr<discovery::Registry> registry_;
  std::unique_ptr<master::LocalHost> host_;
  std::unique_ptr<ProxyThreads> threads_;
  std::unique_ptr<proxy::Proxy> proxy_;
  std::unique_ptr<KeeperUnit> keeper_;
};

}  // namespace

std::unique_ptr<House> make_all_in_one(async::EpollLoop& loop, const Config& config,
                                       std::function<void()> on_shutdown) {
  return std::make_unique<AllInOne>(loop, config, std::move(on_shutdown));
}

}  // namespace colony::app
