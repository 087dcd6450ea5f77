// The app master: owns one app in one cluster. Compares what should be (the keeper's assignment) with what is (the
// engine's actors and the replicas' own reports) and closes the gap: starts, reconfigures in place, drains, publishes.
// Keeps nothing on disk: a new master derives everything again from the engine and adopts what runs.
// Not here: which node (policy/place in the engine), how many at once (policy/rollout), restart of what died (the agent).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "async/scope.h"
#include "control/master/backend.h"
#include "control/master/contract.h"
#include "control/master/unit.h"
#include "discovery/contract.h"
#include "engine/contract.h"

namespace colony::master {

// Owner: Host. Executor: the loop of its Deps. Lifecycle: construct, stop() awaited, destroy; stop() leaves every replica
// running. A stale epoch (somebody newer is master) ends it by itself: on_finished with fenced = true.
class AppMaster {
 public:
  struct Deps {
    async::Loop& loop;
    engine::Engine& engine;
    discovery::Discovery& discovery;
  };
  struct Finished {
    bool fenced = false;
  };
  AppMaster(Deps deps, Assignment assignment, std::function<void(const AppStatus&)> on_status,
            std::function<void(const AppMaster*, Finished)> on_finished);
  ~AppMaster();

  Result<void> assign(Assignment assignment);
  const AppStatus& status() const { return shown_; }
  uint64_t epoch() const { return assignment_.epoch; }
  uint64_t revision() const { return assignment_.revision; }
  bool ended() const { return ended_; }  // removed or fenced: nothing more will come from it
  async::Task<void> stop();

 private:
  using UnitPtr = std::shared_ptr<Unit>;

  // app_master.cc: the loop and its decisions.
  async::Task<void> run();
  async::Task<bool> sync_with_engine();
  void on_event(const engine::Event& event);
  void take_actor(const engine::ActorStatus& actor);
  void reconcile();
  void reconcile_deployment(const DeploymentSpec* spec, const std::string& name);
  void start_one(const DeploymentSpec& spec);
  void forget(const UnitPtr& unit);
  bool finished() const;
  void fenced();
  engine::Fence fence() const { return {assignment_.spec.name, assignment_.epoch}; }
  engine::ActorSpec actor_spec(const DeploymentSpec& spec, const std::string& id) const;

  // backend.cc: addresses of external deployments.
  void reconcile_backends();
  async::Task<void> watch_backend(std::shared_ptr<Backend> backend);
  bool any_ready(const std::string& deployment) const;    // a current replica with a process
  bool any_healthy(const std::string& deployment) const;  // an address
  bool all_looked_at() const;

  // publish.cc: what discovery is told.
  AppRecord build_record() const;
  async::Task<void> publish_loop();

  // describe.cc: what people are told.
  void emit();
  DeploymentStatus describe_deployment(const DeploymentSpec* spec, const std::string& name);

  // unit_tasks.cc: one replica's life.
  async::Task<void> start_unit(UnitPtr unit, engine::ActorSpec spec);
  async::Task<void> watch_unit(UnitPtr unit);
  async::Task<void> drain_unit(UnitPtr unit);
  async::Task<void> reconfigure_unit(UnitPtr unit, DeploymentSpec spec);
  async::Task<void> refresh_payload(UnitPtr unit, engine::ActorSpec spec);
  const DeploymentSpec* spec_of(const Unit& unit) const;
  bool is_current(const Unit& unit) const;

  Deps deps_;
  Assignment assignment_;
  std::function<void(const AppStatus&)> on_status_;
  std::function<void(const AppMaster*, Finished)> on_finished_;
  async::Scope scope_;
  async::Signal wake_;     // reconcile again
  async::Signal changed_;  // some actor changed: watchers look again
  async::Signal published_signal_;
  std::map<std::string, UnitPtr> units_;
  std::map<std::string, std::shared_ptr<Backend>> backends_;
  std::unique_ptr<engine::Subscription> watch_;
  bool resync_ = true;
  bool reconciled_ = false;  // at least once
  bool deploying_ = true;    // since the last assignment the app has not been RUNNING yet
  bool withdrawn_ = false;
  bool ended_ = false;
  uint64_t version_;  // of the next publication
  std::optional<AppRecord> published_;
  AppStatus shown_;
  WallTime last_deployed_;
};

}  // namespace colony::master
