// See service.h.
#include "engine/agent/service.h"

#include <deque>

#include "engine/agent/wire.h"
#include "transport/rpc/rpc.h"

namespace colony::engine {
namespace {

constexpr size_t kMaxQueued = 4096;  // LIMIT: events that one watcher may lag behind; then it lists again
constexpr Duration kLookAgain = 5s;  // how often a quiet watch learns whether its client is still there

const Event kResyncEvent{.kind = Event::Kind::kResync, .actor = {}};

}  // namespace

AgentService::AgentService(http::Router& router, AgentPort& agent)
    : loop_(router.loop()), agent_(agent), scope_(router.loop()) {
  const auto add = [&](std::string_view name, async::Task<Result<std::string>> (AgentService::*method)(std::string)) {
    rpc::mount(router, wire::kAgentService, name,
               [this, method](std::string bytes) { return (this->*method)(std::move(bytes)); });
  };
  add("Reserve", &AgentService::reserve);
  add("Start", &AgentService::start);
  add("Stop", &AgentService::stop_actor);
  add("List", &AgentService::list);
  add("GetNode", &AgentService::node);
  add("Logs", &AgentService::logs);
  rpc::mount_stream(router, wire::kAgentService, "Watch",
                    [this](std::string, rpc::SendFn send) { return watch(std::move(send)); });
}

void AgentService::stop() { scope_.stop(); }

async::Task<Result<std::string>> AgentService::reserve(std::string bytes) {
  CO_TRY(auto call, wire::decode_reserve(bytes));
  CO_TRY(const auto reservation, co_await agent_.reserve(std::move(call.fence), std::move(call.spec)));
  co_return wire::encode(reservation);
}

async::Task<Result<std::string>> AgentService::start(std::string bytes) {
  CO_TRY(auto call, wire::decode_start(bytes));
  CO_TRY(const auto status, co_await agent_.start(std::move(call.fence), std::move(call.reservation)));
  co_return wire::encode(status);
}

async::Task<Result<std::string>> AgentService::stop_actor(std::string bytes) {
  CO_TRY(auto call, wire::decode_stop(bytes));
  CO_TRY_VOID(co_await agent_.stop(std::move(call.fence), std::move(call.actor), call.grace));
  co_return std::string();
}

async::Task<Result<std::string>> AgentService::list(std::string bytes) {
  CO_TRY(auto app, wire::decode_list_app(bytes));
  CO_TRY(const auto actors, co_await agent_.list(std::move(app)));
  co_return wire::encode(actors);
}

async::Task<Result<std::string>> AgentService::node(std::string) {
  CO_TRY(const auto node, co_await agent_.node());
  co_return wire::encode(node);
}

async::Task<Result<std::string>> AgentService::logs(std::string bytes) {
  CO_TRY(auto call, wire::decode_logs_call(bytes));
  CO_TRY(const auto text, co_await agent_.logs(std::move(call.actor), call.lines));
  co_return wire::encode_logs(text);
}

async::Task<void> AgentService::watch(rpc::SendFn send) {
  async::Signal dirty(loop_);
  std::deque<std::string> queue{wire::encode(kResyncEvent)};
  const auto subscription = agent_.watch([&queue, &dirty](const Event& event) {
    const bool lost = queue.size() >= kMaxQueued;
    if (lost) queue.clear();
    queue.push_back(wire::encode(lost ? kResyncEvent : event));
    dirty.notify();
  });
  while (!scope_.stopping()) {
    if (queue.empty()) {
      if (co_await dirty.wait(scope_, Deadline::after(loop_.now(), kLookAgain))) continue;
      if (scope_.stopping() || !co_await send({})) co_return;
      continue;
    }
    std::string next = std::move(queue.front());
    queue.pop_front();
    if (!co_await send(std::move(next))) co_return;
  }
}

}  // namespace colony::engine
