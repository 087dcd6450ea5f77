// Where work waits for its turn inside a replica: at most max_ongoing run, a few more wait (several proxies that each keep
// to the bound may overshoot together), further ones are refused at once. What is past its deadline is never begun; what
// runs too long or has lost its client is told to stop.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_set>

#include "async/blocking_pool.h"
#include "async/scope.h"
#include "request/runtime/contract.h"

namespace colony::replica {

class Inbox;

// A unit of work, shared by the inbox and whoever asked for it.
class Job {
 public:
  virtual ~Job() = default;
  // A pool thread; or the loop, inside submit(), when the work is cheap. Called at most once.
  virtual void run() = 0;
  // The loop, exactly once unless the job was abandoned; possibly inside submit(). `refused`: why there is no outcome of
  // run() (never begun, or its deadline passed while it ran); null when run() has returned.
  virtual void finish(const Error* refused) = 0;

  Deadline deadline = Deadline::never();
  std::shared_ptr<runtime::CancelFlag> cancel;  // made by the inbox when the job does not run at once
  uint64_t waited_ns = 0;                       // in the inbox and in the pool's queue

 protected:
  TimePoint submitted_{};

 private:
  friend class Inbox;
  enum class Stage : uint8_t { kNew, kWaiting, kRunning, kOver };
  Stage stage_ = Stage::kNew;
  std::optional<async::Timer> timer_;
};

// Whoever can leave its work with the sender until there is a place for it.
class RoomWaiter {
 public:
  virtual void on_room() = 0;  // the loop; once for each await_room(); heavy work that is submitted now is not refused

 protected:
  ~RoomWaiter() = default;
};

struct InboxStats {
  uint64_t begun = 0, refused = 0, expired = 0, abandoned = 0;
};

// Lives on its loop, owned by the replica. join() must have been awaited before it dies.
class Inbox {
 public:
  Inbox(async::Loop& loop, async::BlockingPool& pool);
  ~Inbox();

  // LIMIT: as many may wait as may run.
  void set_max_ongoing(size_t n) { max_ongoing_ = n; }
  enum class Cost : uint8_t { kCheap, kHeavy };  // kCheap: microseconds, runs on the loop
  void submit(std::shared_ptr<Job> job, Cost cost);
  bool has_room() const { return running_.size() < max_ongoing_ || waiting_.size() < max_ongoing_; }
  void await_room(RoomWaiter& waiter) { room_waiters_.push_back(&waiter); }
  void forget(RoomWaiter& waiter) { std::erase(room_waiters_, &waiter); }
  // Nobody wants the outcome any more: no finish() will come.
  void abandon(const std::shared_ptr<Job>& job);

  size_t running() const { return running_.size(); }
  size_t waiting() const { return waiting_.size(); }
  const InboxStats& stats() const { return stats_; }
  // The longest time by which running work has outlived its deadline: it ignores being told to stop.
  Duration overdue() const;
  // The soonest deadline of running work that has passed.
  std::optional<TimePoint> late_since() const;
  // Called when running work begins to outlive its deadline, and when work has ended that was told to stop.
  std::function<void()> on_late;
  // What waits is refused, what runs is told to stop; for the end of the replica.
  void close();
  // Until nothing runs and nothing waits.
  async::Task<void> join();

 private:
  void start(std::shared_ptr<Job> job);
  void ran(const std::shared_ptr<Job>& job);
  void expire(Job& job);
  void take_next();
  void room_came();
  void offer_room();

  async::Loop& loop_;
  async::BlockingPool& pool_;
  size_t max_ongoing_ = 1;
  std::deque<std::shared_ptr<Job>> waiting_;
  std::unordered_set<std::shared_ptr<Job>> running_;
  std::deque<RoomWaiter*> room_waiters_;
  async::Timer offer_;
  InboxStats stats_;
  async::Scope scope_;
  async::Signal idle_;
};

}  // namespace colony::replica
