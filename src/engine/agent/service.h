// The agent's verbs by address: proto/colony/engine/v1 mounted on a router (RUN/agent.sock, or a TCP endpoint).
#pragma once

#include "engine/agent/port.h"
#include "transport/http/unary.h"

namespace colony::engine {

// Owner: the process that serves the agent. Lives on the router's loop. Order at the end: stop() (watches end), the
// agent's close() (verbs that wait end), the router's stop(), then destruction in any order.
class AgentService {
 public:
  AgentService(http::Router& router, AgentPort& agent);
  void stop();

 private:
  async::Task<Result<std::string>> reserve(std::string bytes);
  async::Task<Result<std::string>> start(std::string bytes);
  async::Task<Result<std::string>> stop_actor(std::string bytes);
  async::Task<Result<std::string>> list(std::string bytes);
  async::Task<Result<std::string>> node(std::string bytes);
  async::Task<Result<std::string>> logs(std::string bytes);
  async::Task<void> watch(std::function<async::Task<bool>(std::string)> send);

  async::Loop& loop_;
  AgentPort& agent_;
  async::Scope scope_;  // wakes the watches; runs nothing
};

}  // namespace colony::engine
