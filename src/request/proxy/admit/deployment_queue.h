// One deployment as one loop of a proxy sees it: its links, the requests that wait here, and the decision which of them
// goes where and when. FIFO per loop; the bounds are over all loops (admit/slots.h).
// Owned by the ProxyLoop, lives on its loop. Requests that are running or waiting are counted in users(): a deployment
// that is gone from the table lives on until they have ended.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "policy/admit.h"
#include "policy/outlier.h"
#include "policy/retry.h"
#include "request/proxy/admit/slots.h"
#include "request/proxy/links/replica_link.h"
#include "request/proxy/stats.h"

namespace colony::proxy {

// What a call says about its replica.
enum class Outcome : uint8_t {
  kGood,
  kBad,      // broken off, out of time, or answered with a status of 500 and above
  kLost,     // the connection broke
  kNothing,  // the client went away, or the replica had no room
};

// A request that wants a replica: a node of the FIFO, so that waiting allocates nothing.
class Waiter {
 public:
  // The slot is taken; the call is to be made on the link now. DeploymentQueue::call_over() and release() have to follow.
  virtual void on_slot(ReplicaLink& link) = 0;
  // The deployment is gone from the table while this waited.
  virtual void on_removed() = 0;
  bool waiting() const { return waiting_; }
  int tries() const { return tries_; }

 protected:
  ~Waiter() = default;
  void forget_tries() { tries_ = 0; }

 private:
  friend class DeploymentQueue;
  bool has_tried(const ReplicaLink& link) const {
    for (size_t i = 0; i < tries_; ++i)
      if (tried_[i] == link.connection()) return true;
    return false;
  }
  std::array<uint64_t, policy::kMostFreshTries> tried_;  // ReplicaLink::connection()
  uint8_t tries_ = 0;
  bool probe_ = false;  // of a replica that was ejected
  Waiter* next_ = nullptr;
  Waiter* previous_ = nullptr;
  bool waiting_ = false;
};

class DeploymentQueue final : public SlotTaker {
 public:
  static constexpr size_t kDefaultMaxQueued = 1000;  // LIMIT: for max_queued_requests -1

  DeploymentQueue(async::Loop& loop, size_t loop_index, std::string node, std::string key, std::string app,
                  std::shared_ptr<DeploymentGate> gate, std::shared_ptr<RouteStats> stats);
  ~DeploymentQueue();
  DeploymentQueue(const DeploymentQueue&) = delete;
  DeploymentQueue& operator=(const DeploymentQueue&) = delete;

  // From a new table: `slots` runs parallel to record.replicas.
  void update(const DeploymentRecord& record, const std::vector<std::shared_ptr<ReplicaSlots>>& slots);
  // Gone from the table: what waits is told, links drain.
  void remove();
  bool removed() const { return removed_; }
  bool finished() const { return removed_ && users_ == 0 && links_.empty() && leaving_.empty(); }
  // Destroys links that have nothing to do any more. Not from inside a link's callback.
  void reap();

  // kRun: on_slot() was called. kQueue: it will be, unless cancel() comes first. Not after remove().
  policy::Admission submit(Waiter& waiter, Deadline deadline);
  // A request that was running and lost its replica: before all others, without regard to the bound or part in it, and to
  // a replica that it has not tried.
  void submit_again(Waiter& waiter);
  // A replica is ready that this request has not tried.
  bool other_ready(const Waiter& waiter) const;
  policy::RetryBudget& retry_budget() { return retry_budget_; }
  void cancel(Waiter& waiter);
  // The call that started on `link` is over; before release(), unless the slot went back earlier.
  void call_over(Waiter& waiter, ReplicaLink& link, Outcome outcome);
  // Gives the slot back: may start another call on this link at once. `service`: how long the replica needed; zero: not
  // known.
  void release(ReplicaLink& link, Duration service);

  const std::string& key() const { return key_; }
  const std::string& app() const { return app_; }
  const DeploymentRecord& record() const { return record_; }
  Duration request_timeout() const { return timeout_; }
  size_t waiting() const { return waiting_; }
  size_t ready_links() const;
  size_t ejected() const { return outliers_.ejected(); }
  int retry_after() const;
  void add_user() { ++users_; }
  void drop_user() { --users_; }
  RouteStats& stats() { return *stats_; }
  std::shared_ptr<const RouteStats> shared_stats() const { return stats_; }
  bool has_leaving() const { return !leaving_.empty(); }

  void on_handed(const std::shared_ptr<ReplicaSlots>& slots) override;
  void on_maybe_free() override { pump(); }

 private:
  ReplicaLink* acquire(const Waiter& waiter, TimePoint now);
  ReplicaLink* choose(const Waiter& waiter, TimePoint now);
  bool enough_without_ejected() const;
  void judge(Waiter& waiter, ReplicaLink& link, Outcome outcome);
  void push(Waiter& waiter, bool front);
  void take(Waiter& waiter);
  Waiter* first_for(const ReplicaLink& link);
  bool may_start(ReplicaLink& link);
  void retire(std::unique_ptr<ReplicaLink> link);
  void start(Waiter& waiter, ReplicaLink& link);
  void pump();
  size_t max_queued() const;

  async::Loop& loop_;
  const size_t index_;
  const std::string node_, key_, app_;
  std::shared_ptr<DeploymentGate> gate_;
  DeploymentRecord record_;
  Duration timeout_ = 60s;
  bool removed_ = false;
  std::vector<std::unique_ptr<ReplicaLink>> links_;    // may get new calls; those of this node first
  std::vector<std::unique_ptr<ReplicaLink>> leaving_;  // finish what runs
  size_t local_links_ = 0;
  // By the last choices, the latest first: a large burst goes to the same few replicas, whose memory is in the caches.
  struct Chosen {
    ReplicaLink* link = nullptr;  // of links_
    TimePoint at{};
  };
  std::array<Chosen, 4> chosen_;
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
  size_t waiting_ = 0;
  size_t again_ = 0;  // of them, those that have tried a replica
  size_t running_ = 0;
  size_t users_ = 0;
  uint32_t next_link_ = 0;
  policy::RetryBudget retry_budget_;
  policy::Outliers outliers_;
  policy::Bursts bursts_;
  async::Timer probe_timer_;  // an ejected replica may be probed by what waits
  std::shared_ptr<RouteStats> stats_;
};

}  // namespace colony::proxy
