// See agent.h.
#include "engine/agent/agent.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>

#include "base/log.h"

namespace colony::engine {
namespace {

constexpr Duration kPredecessor = 2s;  // how long an agent that is just ending may keep the run directory
constexpr Duration kAdoption = 1s;     // how long open() waits for adopted actors to answer
constexpr Duration kLogCheck = 1s;
constexpr size_t kMaxLogLines = 100'000;  // LIMIT: of one logs() call

policy::Demand demand_of(const ActorSpec& spec, const std::string& node) {
  return {.actor = spec.id,
          .app = spec.app,
          .deployment = spec.deployment,
          .need = spec.resources,
          .node = node,
          .spread = spec.placement.spread,
          .max_per_node = spec.placement.max_per_node};
}

std::string scope_name(const std::string& run_dir) {
  uint32_t h = 2166136261U;
  for (const char c : run_dir) h = (h ^ static_cast<unsigned char>(c)) * 16777619U;
  return fmt::format("{:08x}", h);
}

}  // namespace

Agent::Agent(async::Loop& loop, AgentOptions options, std::unique_ptr<RunDir> dir, Fences fences)
    : loop_(loop),
      options_(std::move(options)),
      dir_(std::move(dir)),
      limits_(scope_name(options_.run_dir), options_.cgroup_root),
      fences_(std::move(fences)),
      hub_(loop),
      scope_(loop),
      moved_(loop) {
  options_.actors.node = options_.capacity.id;
  ledger_.set_node(options_.capacity);
}

Agent::~Agent() = default;

async::Task<Result<std::unique_ptr<Agent>>> Agent::open(async::Loop& loop, AgentOptions options) {
  CO_TRY_VOID(check_id(options.capacity.id, "the node's id"));
  if (!options.actors.binary.starts_with('/')) {
    co_return fail(invalid_argument(fmt::format("binary '{}' must be an absolute path", options.actors.binary)));
  }
  // A predecessor that was killed gives its lock back a moment later: a child of it may hold it until it has become its
  // program.
  const Deadline deadline = Deadline::after(loop.now(), kPredecessor);
  auto dir = RunDir::open(options.run_dir, options.log_dir, options.logs);
  while (!dir && dir.error().reason == "run_dir_in_use" && !deadline.passed(loop.now())) {
    co_await loop.sleep(50ms);
    dir = RunDir::open(options.run_dir, options.log_dir, options.logs);
  }
  if (!dir) co_return fail(std::move(dir).error());
  CO_TRY(Fences fences, (*dir)->read_epochs());
  std::unique_ptr<Agent> agent(new Agent(loop, std::move(options), std::move(*dir), std::move(fences)));
  agent->adopt_all();
  agent->scope_.spawn(agent->rotate_logs());
  const Deadline settle_by = Deadline::after(loop.now(), kAdoption);
  while (!agent->settled() && !settle_by.passed(loop.now())) co_await agent->moved_.wait(agent->scope_, settle_by);
  co_return agent;
}

void Agent::adopt_all() {
  for (const auto& id : dir_->actors()) {
    auto record = read_record(dir_->folder(id));
    if (!record) {
      sweep_unreadable(id, record.error());
      continue;
    }
    ledger_.hold(demand_of(record->spec, options_.capacity.id), options_.capacity.id);
    add(std::move(*record), Actor::Begin::kAdopt);
  }
}

// A folder without a record that can be read: whoever holds its lock is a process that nobody can speak for any more.
void Agent::sweep_unreadable(const std::string& id, const Error& why) {
  LOG(error, "the actor {} cannot be adopted and is removed: {}", id, why.message);
  if (const auto holder = ActorLock::holder(dir_->folder(id))) ::kill(*holder, SIGKILL);
  dir_->forget(id, dir_->folder(id) + "/sock");
}

bool Agent::settled() const {
  return std::ranges::all_of(actors_, [](const auto& entry) { return entry.second->settled(); });
}

Actor* Agent::find(const std::string& id) const {
  auto it = actors_.find(id);
  return it == actors_.end() ? nullptr : it->second.get();
}

Actor& Agent::add(ActorRecord record, Actor::Begin begin) {
  const std::string id = record.spec.id;
  auto actor = std::make_unique<Actor>(loop_, options_.actors, *dir_, limits_, std::move(record),
                                       [this](Actor& a) { changed(a); });
  Actor& added = *actor;
  actors_.emplace(id, std::move(actor));
  scope_.spawn(added.live(scope_, begin));
  return added;
}

void Agent::changed(Actor& actor) {
  moved_.notify();
  if (!actor.over()) {
    hub_.emit({.kind = Event::Kind::kChanged, .actor = actor.status()});
    return;
  }
  hub_.emit({.kind = Event::Kind::kGone, .actor = actor.status()});
  const std::string id = actor.record().spec.id;
  ledger_.release(id);
  // Its coroutine is about to return: the object goes in a later turn, its place in the table now.
  std::shared_ptr<Actor> last(std::move(actors_.extract(id).mapped()));
  loop_.post([last] {});
}

async::Task<void> Agent::close() {
  scope_.stop();
  co_await scope_.join();
}

async::Task<void> Agent::stop_all(Duration grace) {
  for (const auto& [id, actor] : actors_) actor->stop(grace);
  while (!actors_.empty() && !scope_.stopping()) co_await moved_.wait(scope_);
}

async::Task<void> Agent::rotate_logs() {
  while (co_await scope_.sleep(kLogCheck)) {
    for (const auto& [id, actor] : actors_) actor->rotate_log();
    dir_->rotate_log(options_.own_log);
  }
}

Result<void> Agent::admit(const Fence& fence) {
  if (scope_.stopping()) return fail(unavailable("the agent is closing", "closing"));
  Fences next = fences_;
  TRY(const auto admitted, next.admit(fence));
  // Kept before it counts: after a crash the agent must not take orders that it has refused before.
  if (admitted.changed) TRY_VOID(dir_->write_epochs(next));
  fences_ = std::move(next);
  return {};
}

async::Task<Result<Reservation>> Agent::reserve(Fence fence, ActorSpec spec) {
  CO_TRY_VOID(check_spec(spec));
  CO_TRY_VOID(admit(fence));
  const std::string& node = options_.capacity.id;
  if (!spec.placement.node.empty() && spec.placement.node != node) {
    co_return fail(resource_exhausted(fmt::format("node '{}' is not known", spec.placement.node), "no_such_node"));
  }
  if (Actor* known = find(spec.id)) {
    if (known->record().stopping)
      co_return fail(failed_precondition(fmt::format("{} is being stopped", spec.id), "stopping"));
    Reservation kept{spec.id, node};
    CO_TRY_VOID(known->renew(std::move(spec)));
    co_return kept;
  }
  if (actors_.size() >= kMaxActors) {
    co_return fail(resource_exhausted(fmt::format("{} runs {} actors, the most that it takes", node, kMaxActors),
                                      "too_many_actors"));
  }
  CO_TRY(const std::string chosen, ledger_.choose(demand_of(spec, node)));
  ActorRecord record{.spec = std::move(spec), .fence = std::move(fence), .node = chosen};
  if (auto made = dir_->prepare(record); !made) co_return fail(std::move(made).error());
  if (auto written = write_record(dir_->folder(record.spec.id), record); !written) {
    dir_->forget(record.spec.id, record.socket);
    co_return fail(std::move(written).error());
  }
  ledger_.hold(demand_of(record.spec, node), node);
  Actor& actor = add(std::move(record), Actor::Begin::kFresh);
  changed(actor);
  co_return Reservation{actor.record().spec.id, node};
}

async::Task<Result<ActorStatus>> Agent::start(Fence fence, Reservation reservation) {
  CO_TRY_VOID(admit(fence));
  Actor* actor = find(reservation.actor);
  if (actor == nullptr)
    co_return fail(not_found(fmt::format("no reservation '{}'", reservation.actor), "no_such_actor"));
  CO_TRY_VOID(actor->start());
  while (actor->state() == ActorState::kReserved && !scope_.stopping()) {
    co_await moved_.wait(scope_);
    actor = find(reservation.actor);
    if (actor == nullptr) co_return fail(not_found(fmt::format("{} was stopped", reservation.actor), "no_such_actor"));
  }
  co_return actor->status();
}

async::Task<Result<void>> Agent::stop(Fence fence, std::string id, Duration grace) {
  CO_TRY_VOID(admit(fence));
  const Actor* actor = find(id);
  if (actor == nullptr) co_return Result<void>{};
  find(id)->stop(grace);
  while (find(id) == actor && !scope_.stopping()) co_await moved_.wait(scope_);
  if (find(id) == actor) co_return fail(unavailable("the agent is closing", "closing"));
  co_return Result<void>{};
}

async::Task<Result<std::vector<ActorStatus>>> Agent::list(std::string app) {
  std::vector<ActorStatus> out;
  for (const auto& [id, actor] : actors_) {
    if (app.empty() || actor->record().spec.app == app) out.push_back(actor->status());
  }
  co_return out;
}

std::unique_ptr<Subscription> Agent::watch(std::function<void(const Event&)> on_event) {
  return hub_.watch(std::move(on_event));
}

async::Task<Result<AgentPort::Node>> Agent::node() {
  const auto used = ledger_.usage(options_.capacity.id);
  Node out{.status = {}, .capacity = options_.capacity};
  out.status.id = options_.capacity.id;
  out.status.host = options_.host;
  out.status.zone = options_.zone;
  out.status.agent_address = options_.address;
  out.status.cpus = options_.capacity.cpus;
  out.status.cpus_used = used.cpus;
  out.status.gpus = options_.capacity.gpus;
  out.status.gpus_used = used.gpus;
  out.status.memory = options_.capacity.memory;
  out.status.memory_used = used.memory;
  co_return out;
}

async::Task<Result<std::string>> Agent::logs(std::string id, size_t lines) {
  CO_TRY_VOID(check_id(id, "actor"));
  if (find(id) == nullptr && !dir_->has_log(id))
    co_return fail(not_found(fmt::format("no actor '{}'", id), "no_such_actor"));
  co_return dir_->tail_log(id, std::min(lines, kMaxLogLines));
}

}  // namespace colony::engine
