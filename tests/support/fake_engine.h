// A hand fake of engine::Engine in simulated time: nodes with capacity, actors that run in this process through a
// factory, crashes, failed starts and silence as verbs. It keeps the port's promises (the conformance suite runs on it):
// idempotent verbs, fencing, restart in place with the real back-off, the real placement.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/scope.h"
#include "async/sim_loop.h"
#include "engine/admission.h"
#include "engine/contract.h"
#include "policy/place.h"
#include "policy/restart.h"

namespace colony::testing {

// What the factory makes in place of a process. Destroying it is its kill -9: everything it listens on must be gone
// afterwards.
class FakeActor {
 public:
  virtual ~FakeActor() = default;
  virtual void started() {}  // it runs; exit() works from here on
  // SIGTERM: ends when it is done, by exit(). An actor that never calls exit() is stubborn and is destroyed after grace.
  virtual void terminate() { exit("exit code 0"); }
  // The "process" ends by itself; the object is destroyed in a later turn. Twice is harmless.
  void exit(std::string how) {
    if (on_exit_) std::exchange(on_exit_, nullptr)(std::move(how));
  }

 private:
  friend class FakeEngine;
  std::function<void(std::string)> on_exit_;
};

class FakeEngine final : public engine::Engine {
 public:
  using Factory = std::function<std::unique_ptr<FakeActor>(const engine::ActorSpec& spec, uint64_t incarnation,
                                                           std::string address)>;
  struct Options {
    Duration start_latency = 5ms;  // of a process, until its socket answers
    policy::RestartOptions restart;
    bool default_node = true;  // "node-1" with 64 cpus
  };
  // Without a factory actors are records only: they run as soon as they are started and end when told.
  FakeEngine(async::SimLoop& loop, Options options, Factory factory = {});
  ~FakeEngine() override;  // destroys all actors; no verb may be in progress

  // ---- verbs for tests ----
  void set_node(policy::NodeCapacity node);
  void lose_node(const std::string& id);  // not alive; its actors are gone
  void crash(const std::string& actor, std::string how = "killed by signal 9 (SIGKILL)");
  void crash_all();
  void fail_next_start(int times = 1, std::string how = "exit code 1");
  void fail_next_reserve(Error error);
  void pause();   // every verb hangs and no event is delivered
  void resume();  // ... until here; watchers get kResync
  void resync();  // "events may have been lost"
  void append_log(const std::string& actor, std::string line);
  FakeActor* actor(const std::string& id);  // null when it has no process now
  const engine::ActorStatus* status(const std::string& id) const;
  size_t starts() const { return starts_; }  // processes made so far
  size_t actor_count() const { return actors_.size(); }

  // ---- the port ----
  async::Task<Result<engine::Reservation>> reserve(engine::Fence fence, engine::ActorSpec spec) override;
  async::Task<Result<engine::ActorStatus>> start(engine::Fence fence, engine::Reservation reservation) override;
  async::Task<Result<void>> stop(engine::Fence fence, std::string actor, Duration grace) override;
  async::Task<Result<std::vector<engine::ActorStatus>>> list(std::string app) override;
  std::unique_ptr<engine::Subscription> watch(std::function<void(const engine::Event&)> on_event) override;
  async::Task<Result<std::vector<engine::NodeStatus>>> nodes() override;
  async::Task<Result<std::string>> logs(std::string actor, size_t lines) override;

 private:
  struct Actor;
  struct Watcher;
  async::Task<Result<void>> enter(const engine::Fence* fence);  // waits while paused, then checks the fence
  void launch(Actor& actor);
  void launched(Actor& actor);
  void died(Actor& actor, std::string how);
  void remove(const std::string& id);
  void changed(Actor& actor, engine::ActorState state);
  void emit(engine::Event event);
  void deliver();
  engine::ActorStatus view(const Actor& actor) const;
  Actor* find(const std::string& id);

  async::SimLoop& loop_;
  Options options_;
  Factory factory_;
  async::Scope scope_;
  async::Signal unpaused_, gone_;
  engine::Fences fences_;
  policy::Ledger ledger_;
  std::map<std::string, std::unique_ptr<Actor>> actors_;
  std::vector<std::weak_ptr<Watcher>> watchers_;
  std::deque<engine::Event> events_;
  bool paused_ = false, delivery_posted_ = false;
  int failing_starts_ = 0;
  std::string failing_how_;
  std::vector<Error> failing_reserves_;
  size_t starts_ = 0;
  int64_t next_pid_ = 1000;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace colony::testing
