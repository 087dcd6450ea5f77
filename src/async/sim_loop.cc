// SimLoop: the turn over a heap of events in virtual time. See sim_loop.h; the streams are sim_stream.cc, what they do
// with bytes is buffered_stream.cc, the same code as under sockets.
#include "async/sim_loop.h"

#include <fmt/core.h>

#include <algorithm>
#include <thread>

#include "async/sim_spend.h"
#include "async/sim_stream.h"
#include "async/socket_address.h"

namespace colony::async {
namespace {

constexpr TimePoint kStart{1000s};
constexpr WallTime kWallStart{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}.time_since_epoch()};
constexpr uint64_t kTurnsInOneInstant = 20'000'000;  // more than this is a loop that feeds itself

class Sim;

class SimListener final : public Listener, public Source {
 public:
  SimListener(Sim& sim, Endpoint at, Loop::AcceptFn on_accept);
  ~SimListener() override;
  Endpoint endpoint() const override { return at_; }
  void service() override {}
  void abandon() override { sim_ = nullptr; }
  std::shared_ptr<Loop::AcceptFn> accept_fn() const { return on_accept_; }

 private:
  Sim* sim_;
  Endpoint at_;
  std::shared_ptr<Loop::AcceptFn> on_accept_;
};

class Sim final : public SimLoop {
 public:
  explicit Sim(Options options) : world_(options, kStart), owner_(std::this_thread::get_id()) {}
  ~Sim() override {
    attempts_.clear();
    world_.turn.abandon_all();
  }

  TimePoint now() const override { return world_.now; }
  void spend(Duration d) { world_.spent += d; }
  WallTime wall_now() const override { return kWallStart + (world_.now - kStart); }
  Rng& rng() override { return world_.rng; }
  TimerWheel& timers() override { return world_.turn.wheel; }
  void post(std::function<void()> fn) override { world_.turn.post(std::move(fn)); }
  void defer(std::function<void()> fn) override { world_.turn.deferred.push_back(std::move(fn)); }
  bool on_thread() const override { return owner_ == std::this_thread::get_id(); }
  Result<std::unique_ptr<FdWatch>> watch_fd(int, std::function<void()>) override {
    return fail(unimplemented("a simulated loop has no descriptors to watch"));
  }
  Result<std::unique_ptr<Listener>> listen(const Endpoint& at, AcceptFn on_accept, ListenOptions options) override;
  void connect(const Endpoint& to, Deadline deadline, ConnectFn done) override;

  bool run_until(std::function<bool()> done, Duration limit) override;
  void run_for(Duration d) override {
    run_until([] { return false; }, d);
  }
  void run_ready() override {
    CHECK(!running_);
    running_ = true;
    while (has_ready()) one_turn();
    running_ = false;
  }

  void partition(const Endpoint& at) override { world_.cut.insert(at.text); }
  void heal(const Endpoint& at) override;
  void reset_all(const Endpoint& at) override;

 private:
  friend class SimListener;
  struct Attempt {
    Endpoint to;
    ConnectFn done;
    std::unique_ptr<Timer> expiry;
  };
  void arrive(uint64_t attempt);
  void finish(uint64_t attempt, Result<std::unique_ptr<Stream>> result);
  bool has_ready();
  TimePoint next_time();
  void one_turn();

  SimWorld world_;
  std::thread::id owner_;
  std::map<std::string, std::vector<SimListener*>> listeners_;
  std::map<uint64_t, Attempt> attempts_;
  uint64_t next_attempt_ = 1, accepted_ = 0;
  int next_port_ = 40000;
  TimePoint instant_{};
  uint64_t turns_in_instant_ = 0;
  bool running_ = false;
};

SimListener::SimListener(Sim& sim, Endpoint at, Loop::AcceptFn on_accept)
    : sim_(&sim), at_(std::move(at)), on_accept_(std::make_shared<Loop::AcceptFn>(std::move(on_accept))) {
  sim.world_.turn.all.push_back(*this);
  sim.listeners_[at_.text].push_back(this);
}

SimListener::~SimListener() {
  if (!sim_) return;
  auto it = sim_->listeners_.find(at_.text);
  std::erase(it->second, this);
  if (it->second.empty()) sim_->listeners_.erase(it);
}

Result<std::unique_ptr<Listener>> Sim::listen(const Endpoint& at, AcceptFn on_accept, ListenOptions options) {
  Endpoint actual = at;
  if (at.is_unix()) TRY_VOID(parse_address(at));
  if (!at.is_unix() && at.text.ends_with(":0"))
    actual.text = fmt::format("{}{}", std::string_view(at.text).substr(0, at.text.size() - 1), next_port_++);
  if (listeners_.contains(actual.text) && !options.reuse_port)
    return fail(errno_error("listen on " + actual.text, EADDRINUSE));
  return std::make_unique<SimListener>(*this, std::move(actual), std::move(on_accept));
}

void Sim::connect(const Endpoint& to, Deadline deadline, ConnectFn done) {
  const uint64_t id = next_attempt_++;
  auto expiry = std::make_unique<Timer>(*this, [this, id, to] {
    finish(id, fail(deadline_exceeded("connect to " + to.text + ": no answer within the deadline", "connect_timeout")));
  });
  expiry->arm(deadline.time());
  attempts_.emplace(id, Attempt{to, std::move(done), std::move(expiry)});
  if (!deadline.passed(world_.now)) world_.at(world_.now + world_.options.latency, [this, id] { arrive(id); });
}

void Sim::arrive(uint64_t attempt) {
  auto it = attempts_.find(attempt);
  if (it == attempts_.end()) return;
  const Endpoint to = it->second.to;
  if (world_.partitioned(to.text)) return;  // heal() comes back to it
  auto found = listeners_.find(to.text);
  if (found == listeners_.end()) {
    finish(attempt, fail(errno_error("connect to " + to.text, ECONNREFUSED)));
    return;
  }
  auto connection = std::make_shared<SimConnection>();
  connection->endpoint = to.text;
  connection->unix_like = to.is_unix();
  const auto n = accepted_++;
  auto near = std::make_shared<std::unique_ptr<Stream>>(
      std::make_unique<SimStream>(world_, connection, 0, to.is_unix() ? "unix" : to.text));
  auto far = std::make_unique<SimStream>(world_, connection, 1,
                                         to.is_unix() ? "unix" : fmt::format("127.0.0.1:{}", 50000 + n % 10000));
  world_.at(world_.now + world_.options.latency, [this, attempt, near] { finish(attempt, std::move(*near)); });
  auto accept = found->second[n % found->second.size()]->accept_fn();
  (*accept)(std::move(far));
}

void Sim::finish(uint64_t attempt, Result<std::unique_ptr<Stream>> result) {
  auto it = attempts_.find(attempt);
  if (it == attempts_.end()) return;
  Attempt own = std::move(it->second);
  attempts_.erase(it);
  own.done(std::move(result));
}

void Sim::heal(const Endpoint& at) {
  world_.cut.erase(at.text);
  for (auto& [id, stream] : world_.streams) {
    if (stream->connection().endpoint == at.text) world_.poke_at(world_.now, id);
  }
  for (auto& [id, attempt] : attempts_) {
    if (attempt.to == at) world_.at(world_.now + world_.options.latency, [this, id] { arrive(id); });
  }
}

void Sim::reset_all(const Endpoint& at) {
  for (auto& [id, stream] : world_.streams) {
    if (stream->connection().endpoint != at.text) continue;
    stream->connection().broken = true;
    world_.poke_at(world_.now, id);
  }
}

bool Sim::has_ready() {
  Turn& turn = world_.turn;
  return turn.has_work() || turn.has_posted() || next_time() <= world_.now;
}

TimePoint Sim::next_time() {
  const TimePoint due = world_.turn.wheel.next_due();
  return world_.events.empty() ? due : std::min(due, world_.events.top().when);
}

void Sim::one_turn() {
  Turn& turn = world_.turn;
  if (instant_ != world_.now) turns_in_instant_ = 0;
  instant_ = world_.now;
  CHECK(++turns_in_instant_ < kTurnsInOneInstant);
  turn.begin();
  const uint64_t before = world_.next_event;  // an event that this turn makes belongs to the next one
  bool quiet = true;
  while (!world_.events.empty() && world_.events.top().when <= world_.now && world_.events.top().order < before) {
    quiet = false;
    auto fn = world_.events.top().fn;
    world_.events.pop();
    fn();
  }
  turn.serve();
  turn.run_posted();
  turn.serve();
  turn.run_deferred();
  turn.flush();
  turn.wheel.advance(world_.now);
  turn.run_deferred();
  turn.flush();
  turn.flush_gathered(quiet);
}

bool Sim::run_until(std::function<bool()> done, Duration limit) {
  CHECK(!running_);
  running_ = true;
  const TimePoint end = Deadline::after(world_.now, limit).time();
  bool met = done();
  while (!met) {
    if (!has_ready()) {
      const TimePoint next = next_time();
      if (next > end) {
        if (end != TimePoint::max()) world_.now = end;
        break;
      }
      world_.now = std::max(world_.now, next);
    }
    one_turn();
    met = done();
  }
  running_ = false;
  return met;
}

}  // namespace

void spend(SimLoop& loop, Duration d) { static_cast<Sim&>(loop).spend(d); }

std::unique_ptr<SimLoop> SimLoop::create(Options options) { return std::make_unique<Sim>(options); }

}  // namespace colony::async
