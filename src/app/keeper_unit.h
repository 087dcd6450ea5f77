// The keeper with everything around it: store, control API, its server. The same in `colony up` and in the keeper's process.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "async/blocking_pool.h"
#include "async/epoll_loop.h"
#include "control/keeper/api.h"
#include "control/keeper/keeper.h"
#include "control/master/contract.h"
#include "discovery/contract.h"
#include "engine/contract.h"
#include "observe/metrics.h"
#include "store/sqlite.h"
#include "transport/http/server.h"

namespace colony::app {

// Owner: AllInOne or the keeper's role. Lives on its loop. Lifecycle: start() awaited, stop() awaited, destroyed.
class KeeperUnit {
 public:
  struct Deps {
    async::EpollLoop& loop;
    master::Host& host;
    discovery::Discovery& discovery;
    engine::Engine& engine;
  };
  struct Options {
    std::string data_dir, listen, token;
    std::function<void()> on_shutdown;            // POST /api/v1/shutdown
    observe::Metrics* metrics = nullptr;          // of this process; outlives the unit
    std::function<void()> on_restart_proxy = {};  // POST /api/v1/proxy/restart; null: refused
  };
  KeeperUnit(Deps deps, Options options);
  ~KeeperUnit();
  async::Task<Result<std::string>> start();  // the address of the control API
  async::Task<void> stop();

 private:
  async::Task<std::string> gather_metrics();

  Deps deps_;
  Options options_;
  std::unique_ptr<async::BlockingPool> pool_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<keeper::Keeper> keeper_;
  std::unique_ptr<keeper::ControlApi> api_;
  std::unique_ptr<http::Router> router_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace colony::app
