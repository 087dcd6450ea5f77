// See scope.h. A wait is one object in the frame of the coroutine that waits; whoever wakes it takes its handle first,
// so that it is resumed once. Wakes by stop() and notify() resume through post(): no task runs inside them.
#include "async/scope.h"

#include <utility>

namespace colony::async {
namespace {

// A coroutine that owns itself: the one place where a task is started without being awaited.
struct Started {
  struct promise_type {
    Started get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
  };
};

template <class F>
Started start(Task<void> task, F ended) {
  {
    Task<void> own = std::move(task);
    co_await std::move(own);
  }
  // The task's frame, with its parameters, is gone before anybody hears that it ended.
  ended();
}

}  // namespace

struct Scope::Waiter {
  Scope& scope;
  Deadline deadline;
  std::list<Waiter*>* also = nullptr;  // a Signal's waiters
  std::coroutine_handle<> handle{};
  bool woken = false;  // by notify()
  std::optional<Timer> timer{};
  std::list<Waiter*>::iterator in_scope{}, in_also{};

  bool await_ready() const { return scope.stopping_; }
  void await_suspend(std::coroutine_handle<> h) {
    handle = h;
    in_scope = scope.waiters_.insert(scope.waiters_.end(), this);
    if (also) in_also = also->insert(also->end(), this);
    if (deadline.is_never()) return;
    timer.emplace(scope.loop_, [this] {
      if (auto w = take()) w.resume();
    });
    timer->arm(deadline.time());
  }
  void await_resume() const {}

  std::coroutine_handle<> take() {
    if (handle) {
      scope.waiters_.erase(in_scope);
      if (also) also->erase(in_also);
    }
    return std::exchange(handle, {});
  }
  void wake() {
    if (auto w = take()) scope.loop_.post([w] { w.resume(); });
  }
};

Scope::Scope(Loop& loop) : loop_(loop) {}

Scope::~Scope() { CHECK(running_ == 0); }

void Scope::spawn(Task<void> task) {
  if (stopping_) return;
  ++running_;
  start(std::move(task), [this] {
    CHECK(running_ > 0);
    if (--running_ > 0) return;
    if (auto joiner = std::exchange(joiner_, {})) loop_.post([joiner] { joiner.resume(); });
  });
}

void Scope::stop() {
  stopping_ = true;
  while (!waiters_.empty()) waiters_.front()->wake();
}

Task<void> Scope::join() {
  struct Wait {
    Scope& scope;
    bool await_ready() const { return scope.running_ == 0; }
    void await_suspend(std::coroutine_handle<> h) {
      CHECK(!scope.joiner_);
      scope.joiner_ = h;
    }
    void await_resume() const {}
  };
  while (running_ > 0) co_await Wait{*this};
}

Task<bool> Scope::sleep(Duration d) {
  if (stopping_) co_return false;
  if (d > Duration::zero()) co_await Waiter{*this, Deadline::after(loop_.now(), d)};
  co_return !stopping_;
}

Signal::Signal(Loop& loop) : loop_(loop) {}

Signal::~Signal() { CHECK(waiters_.empty()); }

void Signal::notify() {
  if (waiters_.empty()) set_ = true;
  while (!waiters_.empty()) {
    waiters_.front()->woken = true;
    waiters_.front()->wake();
  }
}

Task<bool> Signal::wait(Scope& scope, Deadline deadline) {
  if (scope.stopping()) co_return false;
  if (std::exchange(set_, false)) co_return true;
  if (deadline.passed(loop_.now())) co_return false;
  Scope::Waiter waiter{scope, deadline, &waiters_};
  co_await waiter;
  co_return waiter.woken;
}

}  // namespace colony::async
