// What every process that an agent runs uses to be an actor: reads its record, holds its lock, answers the agent on its
// own socket, and knows since when no agent has been heard.
#pragma once

#include <memory>
#include <optional>

#include "engine/agent/actor_record.h"
#include "transport/http/unary.h"

namespace colony::engine {

// Owner: the role's process, until its end. Lives on the router's loop; the router's handlers use it, so it outlives
// the router's stop().
class ActorEndpoint {
 public:
  struct Options {
    Duration agent_timeout = 3s;  // silence after which the agent counts as lost
    Duration orphan_timeout = 10min;
    Duration lock_timeout = 5s;  // how long the previous incarnation may take to end
  };
  // `folder`: what --dir gave. kAlreadyExists when another process keeps being this actor.
  static async::Task<Result<std::unique_ptr<ActorEndpoint>>> open(async::Loop& loop, std::string folder,
                                                                  Options options);
  ActorEndpoint(const ActorEndpoint&) = delete;
  ActorEndpoint& operator=(const ActorEndpoint&) = delete;

  // Mounts Hello and Heartbeat. Serve the router on address() soon: the agent asks from the start, and takes the actor
  // for running when it is answered, long before a model is loaded.
  void mount(http::Router& router);

  const ActorSpec& spec() const { return record_.spec; }
  uint64_t incarnation() const { return record_.incarnation; }
  async::Endpoint address() const { return {"unix:" + record_.socket}; }
  const std::string& folder() const { return folder_; }  // private, goes with the actor: for sockets and scratch files
  const std::string& node() const { return record_.node; }

  // nullopt while an agent is there. Before the first word from one it counts from the start of the process.
  std::optional<TimePoint> agent_lost_since() const;
  // `last_request`: the last real one (probes are not requests), nullopt when there was none. Ask about once a second.
  bool should_exit_as_orphan(std::optional<TimePoint> last_request) const;

 private:
  ActorEndpoint(async::Loop& loop, std::string folder, Options options, ActorRecord record, ActorLock lock);
  async::Task<Result<std::string>> hello(std::string bytes);
  async::Task<Result<std::string>> heartbeat(std::string bytes);

  async::Loop& loop_;
  std::string folder_;
  Options options_;
  ActorRecord record_;
  ActorLock lock_;
  TimePoint heard_;  // the agent, last
};

}  // namespace colony::engine
