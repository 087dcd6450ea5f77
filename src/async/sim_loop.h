// The simulated twin of EpollLoop: one thread, virtual time that jumps to the next timer, in-memory streams between
// Endpoints of the same SimLoop. Deterministic for a seed. Faults are scripted with verbs.
#pragma once

#include <functional>
#include <memory>

#include "async/loop.h"
#include "async/scope.h"

namespace colony::async {

class SimLoop : public Loop {
 public:
  struct Options {
    uint64_t seed = 1;
    size_t max_chunk = 0;               // > 0: every read shows 1..max_chunk bytes (partial reads), chosen by the seed
    size_t stream_buffer = 256 * 1024;  // bytes in flight per direction before a writer's outbox fills up
    Duration latency = Duration::zero();  // one way, of every stream
  };
  static std::unique_ptr<SimLoop> create(Options options);

  // Runs turns, jumping the clock, until `done` holds (true) or `limit` of virtual time has gone by (false).
  virtual bool run_until(std::function<bool()> done, Duration limit = 60s) = 0;
  virtual void run_for(Duration d) = 0;  // exactly d of virtual time
  virtual void run_ready() = 0;          // everything that can run without time passing
  template <class T>
  T run(Task<T> task, Duration limit = 60s);  // drives one task to its end; CHECK on the limit

  // Faults. An endpoint is the text that was listened on.
  virtual void partition(const Endpoint& at) = 0;  // bytes to and from it are held, connects hang
  virtual void heal(const Endpoint& at) = 0;
  virtual void reset_all(const Endpoint& at) = 0;  // every stream to it breaks now, as after kill -9

 private:
  template <class T>
  static Task<void> drive(Task<T> t, std::optional<T>* slot) {
    slot->emplace(co_await std::move(t));
  }
};

template <class T>
T SimLoop::run(Task<T> task, Duration limit) {
  Scope scope(*this);
  if constexpr (std::is_void_v<T>) {
    scope.spawn(std::move(task));
    CHECK(run_until([&] { return scope.running() == 0; }, limit));
  } else {
    std::optional<T> out;
    scope.spawn(drive(std::move(task), &out));
    CHECK(run_until([&] { return scope.running() == 0; }, limit));
    return std::move(*out);
  }
}

}  // namespace colony::async
