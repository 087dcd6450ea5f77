// See remote.h.
#include "engine/agent/remote.h"

#include <algorithm>

#include "base/log.h"
#include "engine/agent/wire.h"

namespace colony::engine {

RemoteAgent::RemoteAgent(async::Loop& loop, async::Endpoint at, Options options)
    : loop_(loop), options_(options), rpc_(loop, std::move(at)), hub_(loop), scope_(loop) {
  scope_.spawn(session());
}

RemoteAgent::~RemoteAgent() = default;

async::Task<void> RemoteAgent::stop() {
  scope_.stop();
  rpc_.close();
  co_await scope_.join();
}

async::Task<void> RemoteAgent::session() {
  Duration backoff = options_.backoff_min;
  while (!scope_.stopping()) {
    const auto ended = co_await rpc_.stream(wire::kAgentService, "Watch", wire::encode_list(""),
                                            [this, &backoff](std::string_view bytes) {
                                              auto event = wire::decode_event(bytes);
                                              if (!event || scope_.stopping()) return false;
                                              connected_ = true;
                                              backoff = options_.backoff_min;
                                              hub_.emit(std::move(*event));  // the first of a connection is kResync
                                              return true;
                                            });
    if (scope_.stopping()) break;
    if (connected_) {
      LOG(warn, "agent at {}: {}", rpc_.endpoint().text, ended ? "the watch has ended" : ended.error().message);
    }
    connected_ = false;
    const auto spread = static_cast<uint64_t>(backoff.count());
    if (!co_await scope_.sleep(backoff / 2 + Duration(static_cast<int64_t>(loop_.rng().below(spread))))) break;
    backoff = std::min(backoff * 2, options_.backoff_max);
  }
}

async::Task<Result<std::string>> RemoteAgent::call(std::string_view method, std::string request, Duration extra) {
  co_return co_await rpc_.call(wire::kAgentService, method, std::move(request),
                               Deadline::after(loop_.now(), options_.call_timeout + extra));
}

async::Task<Result<Reservation>> RemoteAgent::reserve(Fence fence, ActorSpec spec) {
  CO_TRY(const auto reply,
         co_await call("Reserve", wire::encode(wire::ReserveCall{std::move(fence), std::move(spec)})));
  co_return wire::decode_reservation(reply);
}

async::Task<Result<ActorStatus>> RemoteAgent::start(Fence fence, Reservation reservation) {
  CO_TRY(const auto reply,
         co_await call("Start", wire::encode(wire::StartCall{std::move(fence), std::move(reservation)})));
  co_return wire::decode_started(reply);
}

async::Task<Result<void>> RemoteAgent::stop(Fence fence, std::string actor, Duration grace) {
  CO_TRY_VOID(co_await call("Stop", wire::encode(wire::StopCall{std::move(fence), std::move(actor), grace}), grace));
  co_return Result<void>{};
}

async::Task<Result<std::vector<ActorStatus>>> RemoteAgent::list(std::string app) {
  CO_TRY(const auto reply, co_await call("List", wire::encode_list(app)));
  co_return wire::decode_actors(reply);
}

std::unique_ptr<Subscription> RemoteAgent::watch(std::function<void(const Event&)> on_event) {
  return hub_.watch(std::move(on_event));
}

async::Task<Result<AgentPort::Node>> RemoteAgent::node() {
  CO_TRY(const auto reply, co_await call("GetNode", {}));
  co_return wire::decode_node(reply);
}

async::Task<Result<std::string>> RemoteAgent::logs(std::string actor, size_t lines) {
  CO_TRY(const auto reply, co_await call("Logs", wire::encode(wire::LogsCall{std::move(actor), lines})));
  co_return wire::decode_logs(reply);
}

}  // namespace colony::engine
