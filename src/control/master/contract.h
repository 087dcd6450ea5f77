// What the keeper calls: a host of app masters. One master owns one app in one cluster and keeps no state of its own; the
// keeper tells it what should be, it derives the rest from the engine. Adapters: master/host.h (this process),
// master/remote.h (a master host process, by address).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "domain/app_spec.h"
#include "domain/status.h"

namespace colony::master {

struct Assignment {
  AppSpec spec;
  uint64_t revision = 0;
  uint64_t epoch = 0;   // of (app, cluster), counted by the keeper's store; higher replaces lower
  bool remove = false;  // drain and stop everything of this app, then forget it
};

class Subscription {
 public:
  virtual ~Subscription() = default;
};

class Host {
 public:
  virtual ~Host() = default;
  // Idempotent; an older revision or epoch is refused with reason "stale_epoch". Returns once it is taken, not once it is done.
  virtual async::Task<Result<void>> assign(Assignment assignment) = 0;
  virtual async::Task<Result<std::vector<AppStatus>>> list() = 0;
  // Pushed on every change of an app's status, and for every app once after subscribing. An app that has been removed
  // comes a last time with status "DELETED".
  virtual std::unique_ptr<Subscription> watch(std::function<void(const AppStatus&)> on_status) = 0;
  // Called whenever a host that may know nothing is reached (again): the keeper then assigns every app once more. A host in
  // the same process never calls it.
  virtual std::unique_ptr<Subscription> on_connected(std::function<void()> fn) = 0;
};

}  // namespace colony::master
