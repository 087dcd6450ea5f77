// See actor.h. One coroutine owns the order of things; callbacks (exit, answer, verbs) only set a field and wake it.
#include "engine/agent/actor.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/random_id.h"
#include "engine/agent/environment.h"
#include "engine/agent/kept_sockets.h"
#include "engine/agent/wire.h"

namespace colony::engine {
namespace {

constexpr size_t kDeathLines = 10;
constexpr Duration kFirstAsk = 2ms;
constexpr Duration kSlowestAsk = 100ms;
constexpr Duration kAdoptedGrace = 5s;     // of a stop that an earlier agent had begun
constexpr Duration kUnwrittenPid = 500ms;  // how long a process may take to its lock when nobody wrote its pid down

}  // namespace

Actor::Actor(async::Loop& loop, const ActorOptions& options, const RunDir& dir, const Limits& limits,
             ActorRecord record, std::function<void(Actor&)> on_changed)
    : loop_(loop),
      options_(options),
      dir_(dir),
      limits_(limits),
      record_(std::move(record)),
      on_changed_(std::move(on_changed)),
      restart_(options.restart),
      rpc_(loop, async::Endpoint{"unix:" + record_.socket}),
      wake_(loop),
      since_(loop.wall_now()) {}

ActorStatus Actor::status() const {
  ActorStatus s;
  s.spec = record_.spec;
  s.spec.payload.clear();
  s.state = state_;
  s.node = options_.node;
  s.pid = process_ ? process_->pid() : 0;
  s.incarnation = record_.incarnation;
  s.address = "unix:" + record_.socket;
  s.since = since_;
  s.last_exit = record_.last_exit;
  s.last_log_lines = last_log_lines_;
  if (state_ == ActorState::kBackoff) s.next_start_s = to_seconds(next_start_.left(loop_.now()));
  return s;
}

void Actor::enter(ActorState state) {
  state_ = state;
  since_ = loop_.wall_now();
  on_changed_(*this);
}

// What cannot be written is said and survived: the process runs, and its lock and cookie still prove who it is.
void Actor::save() {
  if (auto written = write_record(folder(), record_); !written) {
    LOG(warn, "actor {}: {}", record_.spec.id, written.error().message);
  }
}

Result<void> Actor::start() {
  if (record_.stopping)
    return fail(failed_precondition(fmt::format("{} is being stopped", record_.spec.id), "stopping"));
  if (record_.started) return {};
  record_.started = true;
  if (auto written = write_record(folder(), record_); !written) {
    record_.started = false;
    return written;
  }
  wake_.notify();
  return {};
}

Result<void> Actor::renew(ActorSpec spec) {
  auto& now = record_.spec;
  if (now.payload == spec.payload && now.env == spec.env && now.labels == spec.labels) return {};
  ActorRecord next = record_;
  next.spec.payload = std::move(spec.payload);
  next.spec.env = std::move(spec.env);
  next.spec.labels = std::move(spec.labels);
  TRY_VOID(write_record(folder(), next));
  record_ = std::move(next);
  on_changed_(*this);
  return {};
}

void Actor::stop(Duration grace) {
  kill_at_ = kill_at_.sooner(Deadline::after(loop_.now(), grace));
  sockets_.clear();  // nobody will answer there
  if (!record_.stopping) {
    record_.stopping = true;
    save();  // the next agent finishes it
    enter(ActorState::kStopping);
  }
  wake_.notify();
}

void Actor::watch_over(std::unique_ptr<async::Process> process) {
  process_ = std::move(process);
  exited_ = answered_ = false;
  ++life_;
  launched_ = loop_.now();
}

Result<void> Actor::launch() {
  ++record_.incarnation;
  record_.cookie = random_hex(16);
  record_.pid = 0;
  record_.start_time = 0;
  TRY_VOID(write_record(folder(), record_));
  ::unlink(record_.socket.c_str());
  async::SpawnOptions options;
  options.argv = {options_.binary, "actor", "--dir", folder()};
  options.env = actor_environment(::environ, options_.env, record_.spec.env);
  options.stdout_path = options.stderr_path = record_.log;
  for (const auto& socket : sockets_) options.inherit.push_back(socket.get());
  if (!sockets_.empty()) options.env.push_back(fmt::format("{}={}", kSocketsVariable, sockets_.size()));
  const uint64_t life = life_ + 1;
  TRY(auto process, async::spawn(loop_, options, [this, life](const async::ExitStatus& status) {
        if (life != life_) return;
        exited_ = true;
        exit_ = status.text();
        wake_.notify();
      }));
  watch_over(std::move(process));
  record_.pid = process_->pid();
  if (auto started_at = async::process_start_time(process_->pid())) record_.start_time = *started_at;
  save();
  if (const uint64_t memory = record_.spec.resources.memory; memory > 0) {
    if (auto limited = limits_.apply(record_.spec.id, process_->pid(), memory); !limited) {
      LOG(warn, "actor {}: {}", record_.spec.id, limited.error().message);
    }
  }
  enter(ActorState::kStarting);
  return {};
}

// The process of an earlier agent: by its record, else by who holds its lock. It is an actor of ours only after hello().
bool Actor::find_process() {
  int64_t pid = record_.pid;
  uint64_t start_time = record_.start_time;
  if (pid == 0 || start_time == 0) {
    const auto holder = ActorLock::holder(folder());
    if (!holder) return false;
    const auto started_at = async::process_start_time(*holder);
    if (!started_at) return false;
    pid = *holder;
    start_time = *started_at;
  }
  const uint64_t life = life_ + 1;
  auto process =
      async::adopt(loop_, static_cast<pid_t>(pid), start_time, [this, life](const async::ExitStatus& status) {
        if (life != life_) return;
        exited_ = true;
        exit_ = status.text();
        wake_.notify();
      });
  if (!process) return false;
  watch_over(std::move(*process));
  if (record_.pid != pid) {
    record_.pid = pid;
    record_.start_time = start_time;
    save();
  }
  return true;
}

void Actor::died(std::string how) {
  const Duration lived = process_ ? loop_.now() - launched_ : Duration::zero();
  process_.reset();
  exited_ = answered_ = false;
  ++life_;
  record_.last_exit = how + limits_.death_note(record_.spec.id, record_.spec.resources.memory);
  last_log_lines_ = last_lines(dir_.tail_log(record_.spec.id, kDeathLines), kDeathLines);
  const Duration wait = restart_.died(lived);
  next_start_ = Deadline::after(loop_.now(), wait);
  LOG(warn, "actor {} (incarnation {}) ended: {}; next start in {:g} s", record_.spec.id, record_.incarnation,
      record_.last_exit, to_seconds(wait));
  if (wait > kKeepSockets) sockets_.clear();
  if (!record_.stopping) enter(ActorState::kBackoff);
}

// A process lends its sockets once it listens.
async::Task<void> Actor::keep_sockets(async::Scope& scope, uint64_t life) {
  while (life == life_ && !exited_ && !record_.stopping && !scope.stopping()) {
    auto lent =
        co_await async::borrow_descriptors(loop_, lender_path(record_.socket), Deadline::after(loop_.now(), 100ms));
    if (life != life_ || exited_ || record_.stopping || scope.stopping()) co_return;
    if (lent) {
      sockets_ = std::move(*lent);
      co_return;
    }
  }
}

async::Task<Result<void>> Actor::hello() {
  auto reply = co_await rpc_.call(wire::kActorService, "Hello", wire::encode_greeting(options_.node),
                                  Deadline::after(loop_.now(), options_.hello_timeout));
  if (!reply) co_return fail(std::move(reply).error());
  CO_TRY(const auto who, wire::decode_hello(*reply));
  if (who.cookie != record_.cookie || who.id != record_.spec.id) {
    co_return fail(failed_precondition(
        fmt::format("its socket is answered by another process ({}, pid {})", who.id, who.pid), "wrong_cookie"));
  }
  co_return Result<void>{};
}

async::Task<void> Actor::ask_until_it_answers(async::Scope& scope, uint64_t life) {
  Duration wait = kFirstAsk;
  while (life == life_ && !exited_) {
    auto answer = co_await hello();
    if (life != life_ || exited_) co_return;
    if (answer) {
      answered_ = true;
      wake_.notify();
      co_return;
    }
    if (!co_await scope.sleep(wait)) co_return;
    wait = std::min(wait * 2, kSlowestAsk);
  }
}

async::Task<void> Actor::send_heartbeats(async::Scope& scope) {
  while (co_await scope.sleep(options_.heartbeat)) {
    if (state_ != ActorState::kRunning) continue;
    // A lost one is nothing: the actor counts them, and a death is known by other means.
    (void)co_await rpc_.call(wire::kActorService, "Heartbeat", wire::encode_greeting(options_.node),
                             Deadline::after(loop_.now(), options_.heartbeat));
  }
}

// From a process that exists until it has ended, or is to end, or we let go of it.
async::Task<void> Actor::run_once(async::Scope& scope) {
  async::Scope asking(loop_);
  asking.spawn(ask_until_it_answers(asking, life_));
  const Deadline answer_by = Deadline::after(loop_.now(), options_.start_timeout);
  while (!exited_ && !answered_ && !record_.stopping && !scope.stopping()) {
    if (answer_by.passed(loop_.now())) {
      LOG(warn, "actor {}: no answer from its socket within {:g} s", record_.spec.id,
          to_seconds(options_.start_timeout));
      process_->signal(SIGKILL);
      while (!exited_ && !scope.stopping()) co_await wake_.wait(scope);
      exit_ = fmt::format("its socket did not answer within {:g} s", to_seconds(options_.start_timeout));
      break;
    }
    co_await wake_.wait(scope, answer_by);
  }
  asking.stop();
  if (record_.stopping || scope.stopping()) rpc_.close();  // no further life: what is asked now need not be awaited
  if (!exited_ && answered_ && !record_.stopping && !scope.stopping()) {
    settled_ = true;
    enter(ActorState::kRunning);
  }
  co_await asking.join();
  async::Scope keeping(loop_);
  if (answered_ && keeps_sockets(record_.spec.role)) keeping.spawn(keep_sockets(keeping, life_));
  while (!exited_ && !record_.stopping && !scope.stopping()) co_await wake_.wait(scope);
  keeping.stop();
  co_await keeping.join();
}

async::Task<void> Actor::end(async::Scope& scope) {
  if (process_ && !exited_) process_->signal(SIGTERM);
  bool killed = false;
  while (process_ && !exited_ && !scope.stopping()) {
    if (!killed && kill_at_.passed(loop_.now())) {
      process_->signal(SIGKILL);
      killed = true;
    }
    co_await wake_.wait(scope, killed ? Deadline::after(loop_.now(), 5s) : kill_at_);
    if (killed && !exited_) LOG(warn, "actor {}: pid {} does not end after SIGKILL", record_.spec.id, process_->pid());
  }
}

async::Task<void> Actor::live(async::Scope& scope, Begin begin) {
  async::Scope beating(loop_);
  beating.spawn(send_heartbeats(beating));
  if (begin == Begin::kAdopt && record_.started && record_.incarnation > 0) {
    // A process that was started just before the agent died may not have come to its lock yet.
    const Deadline found_by = Deadline::after(loop_.now(), record_.pid == 0 ? kUnwrittenPid : Duration::zero());
    bool found = find_process();
    while (!found && !found_by.passed(loop_.now()) && co_await scope.sleep(20ms)) found = find_process();
    if (found) {
      if (!record_.stopping) enter(ActorState::kStarting);
    } else if (!scope.stopping()) {
      died("ended while no agent was there");
    }
  }
  if (record_.stopping && state_ != ActorState::kStopping) {
    kill_at_ = kill_at_.sooner(Deadline::after(loop_.now(), kAdoptedGrace));
    enter(ActorState::kStopping);
  }
  if (!process_) settled_ = true;

  while (!record_.stopping && !scope.stopping()) {
    if (!record_.started) {
      co_await wake_.wait(scope);
    } else if (process_) {
      co_await run_once(scope);
      if (exited_ && !record_.stopping) died(std::exchange(exit_, {}));
    } else if (state_ == ActorState::kBackoff && !next_start_.passed(loop_.now())) {
      co_await wake_.wait(scope, next_start_);
    } else if (auto launched = launch(); !launched) {
      died("could not be started: " + launched.error().message);
    }
    settled_ = settled_ || !process_;
  }
  if (record_.stopping) co_await end(scope);
  beating.stop();
  rpc_.close();
  co_await beating.join();
  if (!record_.stopping || (process_ && !exited_)) co_return;  // let go: the next agent finds it
  process_.reset();
  ++life_;
  limits_.remove(record_.spec.id);
  dir_.forget(record_.spec.id, record_.socket);
  over_ = true;
  on_changed_(*this);
}

}  // namespace colony::engine
