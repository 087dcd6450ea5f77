// See embedded.h. With one agent its own accounting is the placement; with several the least loaded that fits is asked,
// and the next one when a faster master has taken the room meanwhile.
#include "engine/embedded/embedded.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/log.h"

namespace colony::engine {

EmbeddedEngine::EmbeddedEngine(async::Loop& loop, std::vector<AgentPort*> agents) : loop_(loop), hub_(loop) {
  CHECK(!agents.empty());
  for (size_t i = 0; i < agents.size(); ++i) {
    seats_.push_back({.agent = agents[i], .node = {}, .last = {}, .watching = {}});
    seats_.back().watching = agents[i]->watch([this, i](const Event& event) {
      if (event.kind == Event::Kind::kChanged) where_[event.actor.spec.id] = i;
      if (event.kind == Event::Kind::kGone) where_.erase(event.actor.spec.id);
      hub_.emit(event);
    });
  }
}

EmbeddedEngine::~EmbeddedEngine() = default;

EmbeddedEngine::Seat* EmbeddedEngine::seat_of_node(std::string_view node) {
  auto it = std::ranges::find_if(seats_, [&](const Seat& seat) { return seat.node == node; });
  return it == seats_.end() ? nullptr : &*it;
}

EmbeddedEngine::Seat* EmbeddedEngine::seat_of_actor(const std::string& actor) {
  if (seats_.size() == 1) return &seats_[0];
  auto it = where_.find(actor);
  return it == where_.end() ? nullptr : &seats_[it->second];
}

async::Task<Result<size_t>> EmbeddedEngine::choose(const ActorSpec& spec) {
  policy::Ledger ledger;
  for (size_t i = 0; i < seats_.size(); ++i) {
    auto node = co_await seats_[i].agent->node();
    if (!node) continue;
    seats_[i].node = node->status.id;
    seats_[i].last = node->status;
    ledger.set_node(node->capacity);
    auto actors = co_await seats_[i].agent->list({});
    if (!actors) continue;
    for (const auto& actor : *actors) {
      where_[actor.spec.id] = i;
      ledger.hold({.actor = actor.spec.id,
                   .app = actor.spec.app,
                   .deployment = actor.spec.deployment,
                   .need = actor.spec.resources,
                   .node = {}},
                  node->status.id);
    }
  }
  CO_TRY(const std::string chosen, ledger.choose({.actor = spec.id,
                                                  .app = spec.app,
                                                  .deployment = spec.deployment,
                                                  .need = spec.resources,
                                                  .node = spec.placement.node,
                                                  .spread = spec.placement.spread,
                                                  .max_per_node = spec.placement.max_per_node}));
  Seat* seat = seat_of_node(chosen);
  CHECK(seat != nullptr);
  co_return static_cast<size_t>(seat - seats_.data());
}

async::Task<Result<Reservation>> EmbeddedEngine::reserve(Fence fence, ActorSpec spec) {
  if (seats_.size() == 1) co_return co_await seats_[0].agent->reserve(std::move(fence), std::move(spec));
  Error last;
  for (size_t attempt = 0; attempt <= seats_.size(); ++attempt) {
    CO_TRY(const size_t i, co_await choose(spec));
    auto reserved = co_await seats_[i].agent->reserve(fence, spec);
    if (reserved) where_[spec.id] = i;
    if (reserved || reserved.error().reason != "no_capacity") co_return reserved;
    last = std::move(reserved).error();
  }
  co_return fail(std::move(last));
}

async::Task<Result<ActorStatus>> EmbeddedEngine::start(Fence fence, Reservation reservation) {
  Seat* seat = seats_.size() == 1 ? &seats_[0] : seat_of_node(reservation.node);
  if (seat == nullptr) {
    for (Seat& other : seats_) {  // an engine that has just been made knows no names yet
      if (auto node = co_await other.agent->node()) other.node = node->status.id;
    }
    seat = seat_of_node(reservation.node);
  }
  if (seat == nullptr)
    co_return fail(unavailable(fmt::format("node '{}' does not answer", reservation.node), "no_such_node"));
  co_return co_await seat->agent->start(std::move(fence), std::move(reservation));
}

async::Task<Result<void>> EmbeddedEngine::stop(Fence fence, std::string actor, Duration grace) {
  if (Seat* seat = seat_of_actor(actor))
    co_return co_await seat->agent->stop(std::move(fence), std::move(actor), grace);
  // Where it is nobody knows: everybody is told, and those that do not have it say yes at once.
  for (Seat& seat : seats_) CO_TRY_VOID(co_await seat.agent->stop(fence, actor, grace));
  co_return Result<void>{};
}

async::Task<Result<std::vector<ActorStatus>>> EmbeddedEngine::list(std::string app) {
  std::vector<ActorStatus> out;
  for (size_t i = 0; i < seats_.size(); ++i) {
    CO_TRY(auto actors, co_await seats_[i].agent->list(app));
    for (auto& actor : actors) {
      where_[actor.spec.id] = i;
      out.push_back(std::move(actor));
    }
  }
  co_return out;
}

std::unique_ptr<Subscription> EmbeddedEngine::watch(std::function<void(const Event&)> on_event) {
  return hub_.watch(std::move(on_event));
}

async::Task<Result<std::vector<NodeStatus>>> EmbeddedEngine::nodes() {
  std::vector<NodeStatus> out;
  for (Seat& seat : seats_) {
    auto node = co_await seat.agent->node();
    if (node) {
      seat.node = node->status.id;
      seat.last = node->status;
    }
    seat.last.alive = node.has_value();
    out.push_back(seat.last);
  }
  co_return out;
}

async::Task<Result<std::string>> EmbeddedEngine::logs(std::string actor, size_t lines) {
  if (Seat* seat = seat_of_actor(actor)) co_return co_await seat->agent->logs(std::move(actor), lines);
  Result<std::string> last = fail(not_found(fmt::format("no actor '{}'", actor), "no_such_actor"));
  for (Seat& seat : seats_) {
    last = co_await seat.agent->logs(actor, lines);
    if (last) break;
  }
  co_return last;
}

policy::NodeCapacity local_capacity(std::string node, double cpus, double cpus_per_core) {
  const double cores = std::max(1U, std::thread::hardware_concurrency());
  const auto pages = static_cast<uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
  policy::NodeCapacity capacity{.id = std::move(node),
                                .cpus = cpus > 0 ? cpus : cores * cpus_per_core,
                                .memory = pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE))};
  if (cpus <= 0) capacity.cpu_note = fmt::format("{:g} per core, {:g} cores", cpus_per_core, cores);
  return capacity;
}

}  // namespace colony::engine
