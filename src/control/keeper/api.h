// The control API: REST over the keeper's verbs, as docs/control-api.md and GET /openapi.json say; and the part of Ray
// Serve's REST API that its own `serve deploy`, `serve status` and `serve shutdown` use (ray_api.cc).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "async/blocking_pool.h"
#include "control/keeper/keeper.h"
#include "discovery/contract.h"
#include "engine/contract.h"
#include "transport/http/unary.h"

namespace colony::keeper {

// Purpose: handlers for an http::Router. Executor: the keeper's loop. Lifecycle: mount() once; keeper, engine and
// discovery outlive it; stop(), then the router's stop() awaited, before it is destroyed. Behaviour on failure: an Error becomes
// {"error","code","reason"} with its HTTP status; problems of a spec come as "problems" beside it.
class ControlApi {
 public:
  struct Deps {
    async::Loop& loop;
    Keeper& keeper;
    engine::Engine& engine;
    discovery::Discovery& discovery;
    async::BlockingPool& pool;  // parses documents
  };
  struct Options {
    std::string token;  // bearer token of every path but /-/healthz; empty: none is asked for
    std::function<async::Task<std::string>()> metrics;  // body of GET /metrics (text format); null: 404
    std::function<void()> shutdown;       // of POST /api/v1/shutdown; null: 501. Called after the reply was given.
    std::function<void()> restart_proxy;  // of POST /api/v1/proxy/restart; null: 501
    std::string version;                  // of the program
    Duration keep_alive = 5s;             // longest silence of a watch
  };
  ControlApi(Deps deps, Options options);
  ~ControlApi();
  void mount(http::Router& router);
  // Ends the watches and the followed logs. Before the router's stop().
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace colony::keeper
