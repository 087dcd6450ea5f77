// A role of the house as a process of its own: what actor_process.cc starts, serves on the actor's socket and stops. One
// implementation per role, each in the file of its name.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "async/epoll_loop.h"
#include "engine/agent/actor_endpoint.h"
#include "observe/metrics.h"
#include "transport/http/server.h"
#include "transport/http/unary.h"

namespace colony::app {

struct RoleContext {
  async::EpollLoop& loop;
  engine::ActorEndpoint& endpoint;
  http::Router& router;  // on the actor's socket; the role mounts its methods in its constructor
};

// Lives on its loop. Lifecycle: made, start() awaited, stop() awaited, destroyed.
class Role {
 public:
  virtual ~Role() = default;
  virtual async::Task<Result<void>> start() = 0;
  // Finishes what runs, within the deadline.
  virtual async::Task<void> stop(Deadline deadline) = 0;
  // Takes everything that comes to the actor's socket, the agent's questions included (the role has mounted the endpoint);
  // null: the context's router takes it.
  virtual http::Service* data_service() { return nullptr; }
  // The server on the actor's socket, before start().
  virtual void serves(http::Server&) {}
  // A process without an agent ends when it had no request for the whole of the orphan timeout: this is the last one.
  virtual std::optional<TimePoint> last_request() const { return std::nullopt; }
};

// The process's metrics as a call of the actor's own: the keeper gathers them for GET /metrics.
void mount_metrics(http::Router& router, observe::Metrics& metrics);
inline constexpr std::string_view kProcessService = "colony.process.v1.Process";

Result<std::unique_ptr<Role>> make_replica_role(RoleContext context);
Result<std::unique_ptr<Role>> make_proxy_role(RoleContext context);
Result<std::unique_ptr<Role>> make_discovery_role(RoleContext context);
Result<std::unique_ptr<Role>> make_master_host_role(RoleContext context);
Result<std::unique_ptr<Role>> make_keeper_role(RoleContext context);

}  // namespace colony::app
