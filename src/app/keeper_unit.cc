// The order matters: the store's lock first, the API last, so that nobody is answered by a keeper that has no memory yet.
#include "app/keeper_unit.h"

#include "app/metrics_text.h"
#include "app/role.h"
#include "colony/version.h"
#include "transport/rpc/rpc.h"

namespace colony::app {

constexpr Duration kMetricsPatience = 1s;

KeeperUnit::KeeperUnit(Deps deps, Options options) : deps_(deps), options_(std::move(options)) {}
KeeperUnit::~KeeperUnit() = default;

async::Task<Result<std::string>> KeeperUnit::start() {
  pool_ = async::BlockingPool::threads({"keeper", 1, 1024});
  CO_TRY(store_, store::SqliteStore::open(deps_.loop, *pool_, options_.data_dir));
  keeper_ = std::make_unique<keeper::Keeper>(keeper::Keeper::Deps{deps_.loop, *store_, deps_.host},
                                             keeper::Keeper::Options{});
  CO_TRY_VOID(co_await keeper_->start());
  router_ = std::make_unique<http::Router>(deps_.loop, http::Router::Options{});
  keeper::ControlApi::Options o;
  o.token = options_.token;
  o.version = COLONY_VERSION;
  o.shutdown = options_.on_shutdown;
  o.restart_proxy = options_.on_restart_proxy;
  o.metrics = [this] { return gather_metrics(); };
  api_ = std::make_unique<keeper::ControlApi>(
      keeper::ControlApi::Deps{deps_.loop, *keeper_, deps_.engine, deps_.discovery, *pool_}, std::move(o));
  api_->mount(*router_);
  auto server = http::Server::listen(deps_.loop, {options_.listen}, *router_);
  if (!server) {
    auto e = std::move(server).error();
    if (e.reason == "address_in_use") e.message += "; give another: --control 127.0.0.1:0 picks a free port";
    co_return fail(std::move(e));
  }
  server_ = std::move(*server);
  co_return server_->endpoint().text;
}

namespace {

using Parts = std::vector<std::pair<std::string, std::string>>;

async::Task<void> ask_metrics(async::Loop& loop, engine::ActorStatus actor, Parts* parts) {
  rpc::Client client(loop, {actor.address});
  auto text = co_await client.call(kProcessService, "Metrics", {}, Deadline::after(loop.now(), kMetricsPatience));
  // A replica's families carry its id already.
  if (text)
    parts->emplace_back(actor.spec.role == "replica" ? "" : "process=\"" + actor.spec.id + "\"", std::move(*text));
}

}  // namespace

// One scrape of the control port shows every process of the site: who does not answer in time is left out.
async::Task<std::string> KeeperUnit::gather_metrics() {
  Parts parts;
  if (options_.metrics) parts.emplace_back("", options_.metrics->text());
  if (auto actors = co_await deps_.engine.list("")) {
    async::Scope asks(deps_.loop);
    for (auto& actor : *actors)
      if (actor.state == engine::ActorState::kRunning && actor.spec.role != "keeper")
        asks.spawn(ask_metrics(deps_.loop, std::move(actor), &parts));
    co_await asks.join();
  }
  co_return join_metrics(parts);
}

async::Task<void> KeeperUnit::stop() {
  if (api_) api_->stop();
  server_.reset();
  if (router_) co_await router_->stop();
  if (keeper_) co_await keeper_->stop();
  api_.reset();
  router_.reset();
  keeper_.reset();
  store_.reset();
  pool_.reset();
}

}  // namespace colony::app
