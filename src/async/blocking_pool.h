// Threads for work that blocks or computes for long: SQLite, file trees, model loading, inference. A bounded queue in
// front; when it is full the call fails with kResourceExhausted at once. Results come back on the caller's loop.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>

#include "async/loop.h"
#include "async/scope.h"

namespace colony::async {

class BlockingPool {
 public:
  struct Options {
    std::string name;  // thread names "name/0", ...
    size_t threads = 1;
    size_t max_queued = 1024;
  };
  static std::unique_ptr<BlockingPool> threads(Options options);
  // Runs the work inside submit(); run()'s result comes with the next post. For simulated time, where no thread may exist.
  static std::unique_ptr<BlockingPool> inline_for_tests();

  virtual ~BlockingPool() = default;  // finishes what is queued, joins the threads
  // Any thread. False: the queue is full and `work` was not taken.
  virtual bool submit(std::function<void()> work) = 0;
  virtual size_t queued() const = 0;
  virtual size_t refused() const = 0;  // counter

  // co_await pool.run(loop, fn): fn() on a pool thread, its Result<T> back on `loop`.
  template <class F>
  auto run(Loop& loop, F fn) -> Task<std::invoke_result_t<F>>;  // F returns Result<T>
};

template <class F>
auto BlockingPool::run(Loop& loop, F fn) -> Task<std::invoke_result_t<F>> {
  using R = std::invoke_result_t<F>;
  struct Wait {
    BlockingPool& pool;
    Loop& loop;
    F& fn;
    std::optional<R> result{};
    bool taken = true;
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> h) {
      taken = pool.submit([this, h] {
        result.emplace(fn());
        loop.post([h] { h.resume(); });
      });
      return taken;
    }
    void await_resume() {}
  };
  Wait wait{*this, loop, fn};
  co_await wait;
  if (!wait.taken) co_return fail(resource_exhausted("the blocking pool's queue is full", "pool_full"));
  co_return std::move(*wait.result);
}

}  // namespace colony::async
