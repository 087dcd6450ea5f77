// What every adapter of engine/contract.h must do, as one suite. An adapter joins by a harness: how its loop is driven
// and how an actor is crashed from outside. Scripts of actors: tests/support/actor_script.h.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "async/scope.h"
#include "engine/contract.h"

namespace colony::testing {

class EngineHarness {
 public:
  virtual ~EngineHarness() = default;
  virtual async::Loop& loop() = 0;
  virtual engine::Engine& engine() = 0;
  virtual bool run_until(std::function<bool()> done, Duration limit) = 0;
  virtual void crash(const std::string& actor) = 0;  // kill -9 of its process
  virtual std::string node() const = 0;              // with 16 cpus
  // Restarts of all harnesses wait 0, 200 ms, 400 ms, ...

  template <class T>
  T run(async::Task<T> task, Duration limit = 20s) {
    async::Scope scope(loop());
    std::optional<T> out;
    scope.spawn(drive(std::move(task), &out));
    CHECK(run_until([&] { return scope.running() == 0; }, limit));
    return std::move(*out);
  }

 private:
  template <class T>
  static async::Task<void> drive(async::Task<T> task, std::optional<T>* out) {
    out->emplace(co_await std::move(task));
  }
};

struct EngineAdapter {
  std::string name;
  std::function<std::unique_ptr<EngineHarness>()> make;
};
inline void PrintTo(const EngineAdapter& adapter, std::ostream* out) { *out << adapter.name; }

class EngineConformance : public ::testing::TestWithParam<EngineAdapter> {
 protected:
  void SetUp() override { harness_ = GetParam().make(); }
  void TearDown() override { harness_.reset(); }

  engine::Engine& engine() { return harness_->engine(); }
  engine::ActorSpec spec(std::string id, std::string script = {}) const {
    engine::ActorSpec s;
    s.id = std::move(id);
    s.role = "replica";
    s.app = "app";
    s.deployment = "d";
    s.payload = std::move(script);
    s.labels = {{"revision", "7"}};
    return s;
  }
  engine::ActorStatus status(const std::string& id);  // CHECK: it is listed
  bool listed(const std::string& id);
  engine::ActorStatus run_actor(engine::ActorSpec spec);  // reserve, start, until kRunning
  bool wait_for_state(const std::string& id, engine::ActorState state, uint64_t incarnation = 0, Duration limit = 20s);

  std::unique_ptr<EngineHarness> harness_;
  const engine::Fence fence_{.owner = "app", .epoch = 5};
};

}  // namespace colony::testing
