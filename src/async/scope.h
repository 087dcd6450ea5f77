// Scope owns running tasks: every spawn belongs to one, its owner stops and joins it before it dies. stop() asks: it
// wakes every wait that was made through the scope; tasks see stopping() and return. join() waits for the last one.
// Lives on one loop; not thread-safe.
#pragma once

#include <functional>
#include <list>
#include <memory>

#include "async/loop.h"
#include "async/task.h"

namespace colony::async {

class Scope {
 public:
  explicit Scope(Loop& loop);
  ~Scope();  // CHECK: no task may be running any more
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  void spawn(Task<void> task);  // starts at once, until its first suspension; a spawn after stop() is dropped unstarted
  void stop();
  bool stopping() const { return stopping_; }
  Task<void> join();
  size_t running() const { return running_; }
  Loop& loop() const { return loop_; }

  // Sleeps for d; false when stop() woke it.
  Task<bool> sleep(Duration d);

 private:
  friend class Signal;
  struct Waiter;
  Loop& loop_;
  size_t running_ = 0;
  bool stopping_ = false;
  std::list<Waiter*> waiters_;  // woken by stop()
  std::coroutine_handle<> joiner_;
};

// An auto-reset event for one or more waiters on one loop: notify() wakes everybody who waits, and is remembered for
// the next wait() when nobody does.
class Signal {
 public:
  explicit Signal(Loop& loop);
  ~Signal();
  void notify();
  // True: notified. False: the deadline passed or the scope is stopping.
  Task<bool> wait(Scope& scope, Deadline deadline = Deadline::never());

 private:
  Loop& loop_;
  bool set_ = false;
  std::list<Scope::Waiter*> waiters_;
};

// A one-shot value for one waiter on the same loop (a reply that comes by callback). set() after the waiter has gone is
// ignored.
template <class T>
class OneShot {
 public:
  explicit OneShot(Loop& loop) : state_(std::make_shared<State>(loop)) {}
  // May be copied into a callback; keeps the state alive.
  class Setter;
  Setter setter() const;
  // The value, or the error kDeadlineExceeded.
  Task<Result<T>> wait(Deadline deadline);

 private:
  struct State {
    explicit State(Loop& l) : loop(l) {}
    Loop& loop;
    std::optional<T> value;
    std::coroutine_handle<> waiter;
  };
  std::shared_ptr<State> state_;
};

template <class T>
class OneShot<T>::Setter {
 public:
  explicit Setter(std::shared_ptr<State> s) : state_(std::move(s)) {}
  void set(T v) const {
    if (state_->value) return;
    state_->value.emplace(std::move(v));
    if (auto h = std::exchange(state_->waiter, {})) state_->loop.post([h] { h.resume(); });
  }

 private:
  std::shared_ptr<State> state_;
};

template <class T>
auto OneShot<T>::setter() const -> Setter {
  return Setter(state_);
}

template <class T>
Task<Result<T>> OneShot<T>::wait(Deadline deadline) {
  auto state = state_;
  struct Wait {
    State& s;
    Deadline deadline;
    std::optional<Timer> timer{};
    bool await_ready() const { return s.value.has_value(); }
    void await_suspend(std::coroutine_handle<> h) {
      s.waiter = h;
      if (deadline.is_never()) return;
      timer.emplace(s.loop, [this] {
        if (auto w = std::exchange(s.waiter, {})) w.resume();
      });
      timer->arm(deadline.time());
    }
    void await_resume() {}
  };
  co_await Wait{*state, deadline};
  if (!state->value) co_return fail(deadline_exceeded("no answer within the deadline"));
  co_return std::move(*state->value);
}

}  // namespace colony::async
