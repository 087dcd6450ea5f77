// See actor_endpoint.h.
#include "engine/agent/actor_endpoint.h"

#include <unistd.h>

#include "engine/agent/wire.h"
#include "policy/orphan.h"
#include "transport/rpc/rpc.h"

namespace colony::engine {

ActorEndpoint::ActorEndpoint(async::Loop& loop, std::string folder, Options options, ActorRecord record, ActorLock lock)
    : loop_(loop),
      folder_(std::move(folder)),
      options_(options),
      record_(std::move(record)),
      lock_(std::move(lock)),
      heard_(loop.now()) {}

async::Task<Result<std::unique_ptr<ActorEndpoint>>> ActorEndpoint::open(async::Loop& loop, std::string folder,
                                                                        Options options) {
  const Deadline deadline = Deadline::after(loop.now(), options.lock_timeout);
  auto lock = ActorLock::take(folder);
  while (!lock && lock.error().reason == "actor_runs" && !deadline.passed(loop.now())) {
    co_await loop.sleep(20ms);
    lock = ActorLock::take(folder);
  }
  if (!lock) co_return fail(std::move(lock).error());
  // After the lock: the record of the incarnation that may run now.
  CO_TRY(ActorRecord record, read_record(folder));
  co_return std::unique_ptr<ActorEndpoint>(
      new ActorEndpoint(loop, std::move(folder), options, std::move(record), std::move(*lock)));
}

void ActorEndpoint::mount(http::Router& router) {
  rpc::mount(router, wire::kActorService, "Hello", [this](std::string bytes) { return hello(std::move(bytes)); });
  rpc::mount(router, wire::kActorService, "Heartbeat",
             [this](std::string bytes) { return heartbeat(std::move(bytes)); });
}

async::Task<Result<std::string>> ActorEndpoint::hello(std::string) {
  heard_ = loop_.now();
  co_return wire::encode(wire::Hello{.cookie = record_.cookie,
                                     .id = record_.spec.id,
                                     .role = record_.spec.role,
                                     .pid = ::getpid(),
                                     .incarnation = record_.incarnation});
}

async::Task<Result<std::string>> ActorEndpoint::heartbeat(std::string) {
  heard_ = loop_.now();
  co_return wire::encode_heartbeat(record_.spec.id, record_.incarnation);
}

std::optional<TimePoint> ActorEndpoint::agent_lost_since() const {
  if (loop_.now() - heard_ < options_.agent_timeout) return std::nullopt;
  return heard_;
}

bool ActorEndpoint::should_exit_as_orphan(std::optional<TimePoint> last_request) const {
  return policy::should_exit_as_orphan(agent_lost_since(), last_request, loop_.now(), options_.orphan_timeout);
}

}  // namespace colony::engine
