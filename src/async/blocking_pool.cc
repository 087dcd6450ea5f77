// See blocking_pool.h.
#include "async/blocking_pool.h"

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace colony::async {
namespace {

class ThreadPool final : public BlockingPool {
 public:
  explicit ThreadPool(Options options) : options_(std::move(options)) {
    const size_t n = options_.threads > 0 ? options_.threads : 1;
    threads_.reserve(n);
    for (size_t i = 0; i < n; ++i) {
      threads_.emplace_back([this] { work(); });
      // The kernel keeps 15 characters.
      const std::string name = options_.name.substr(0, 12) + "/" + std::to_string(i);
      pthread_setname_np(threads_.back().native_handle(), name.substr(0, 15).c_str());
    }
  }
  ~ThreadPool() override {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    for (auto& t : threads_) t.join();
  }

  bool submit(std::function<void()> work) override {
    {
      std::lock_guard lock(mutex_);
      if (queue_.size() >= options_.max_queued) {
        ++refused_;
        return false;
      }
      queue_.push_back(std::move(work));
    }
    wake_.notify_one();
    return true;
  }
  size_t queued() const override {
    std::lock_guard lock(mutex_);
    return queue_.size();
  }
  size_t refused() const override {
    std::lock_guard lock(mutex_);
    return refused_;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return ending_ || !queue_.empty(); });
      if (queue_.empty()) return;
      auto task = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      task();
      task = nullptr;
      lock.lock();
    }
  }

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  size_t refused_ = 0;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

class InlinePool final : public BlockingPool {
 public:
  bool submit(std::function<void()> work) override {
    work();
    return true;
  }
  size_t queued() const override { return 0; }
  size_t refused() const override { return 0; }
};

}  // namespace

std::unique_ptr<BlockingPool> BlockingPool::threads(Options options) {
  return std::make_unique<ThreadPool>(std::move(options));
}

std::unique_ptr<BlockingPool> BlockingPool::inline_for_tests() { return std::make_unique<InlinePool>(); }

}  // namespace colony::async
