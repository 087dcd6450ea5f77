// What the loops of one proxy share about a deployment: how many requests each replica has outstanding (exact, by
// compare-and-swap) and who waits for a slot. A loop that frees a slot while others wait hands the slot itself over, so
// nobody can overtake and no wake-up is lost. Everything here is safe from any loop; the objects live as long as a
// table, a link or a posted hand-over refers to them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "async/loop.h"
#include "request/proxy/stats.h"

namespace colony::proxy {

// The bound of one replica, over all loops.
class ReplicaSlots {
 public:
  explicit ReplicaSlots(uint32_t limit) : limit_(limit) {}
  bool try_acquire() {
    uint32_t n = outstanding_.load();
    while (n < limit_.load(std::memory_order_relaxed))
      if (outstanding_.compare_exchange_weak(n, n + 1)) return true;
    return false;
  }
  void release() { outstanding_.fetch_sub(1); }
  uint32_t outstanding() const { return outstanding_.load(); }
  uint32_t limit() const { return limit_.load(std::memory_order_relaxed); }
  bool free() const { return outstanding() < limit(); }
  void set_limit(uint32_t limit) { limit_.store(limit, std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> outstanding_{0}, limit_;
};

// Told on its own loop that a slot was handed to it: it uses the slot or gives it back to the gate.
class SlotTaker {
 public:
  virtual void on_handed(const std::shared_ptr<ReplicaSlots>& slots) = 0;
  // A slot was given back that it may not have seen: it looks again.
  virtual void on_maybe_free() = 0;

 protected:
  ~SlotTaker() = default;
};

// Who waits for one deployment, over all loops.
class DeploymentGate : public std::enable_shared_from_this<DeploymentGate> {
 public:
  explicit DeploymentGate(std::vector<async::Loop*> loops);

  // On loop `index` only.
  void attach(size_t index, SlotTaker* taker) { per_loop_[index]->taker = taker; }

  // One more waits on that loop, unless `max_queued` over all loops do already.
  bool enter(size_t index, size_t max_queued);
  // A second try of a request that was admitted once: neither bounded nor counted against the bound of others.
  void enter_again(size_t index);
  void leave(size_t index, bool again = false);
  // All that wait. Never less than those that wait throughout the call.
  size_t queued() const { return bounded_.load() + again_.load(); }
  size_t bounded() const { return bounded_.load(); }  // what counts against `max_queued`

  // A slot is free again on loop `index`. True: keep it for one that waits there (only when that loop can use it).
  // False: it was given back, or handed to another loop.
  bool keep_released(size_t index, bool can_use, const std::shared_ptr<ReplicaSlots>& slots);
  // Loop `index` has no use for the slot: it becomes free, and the other loops that wait look again. Never handed on from
  // here: two loops that both cannot reach the replica would play it back and forth.
  void give_back(size_t index, const std::shared_ptr<ReplicaSlots>& slots);

  // What each loop counts of the deployment. Any thread.
  void count_with(size_t index, std::shared_ptr<const RouteStats> stats);
  std::vector<std::shared_ptr<const RouteStats>> stats() const;

  Duration mean_service() const { return Duration(mean_service_.load(std::memory_order_relaxed)); }
  void served(Duration service);

 private:
  struct PerLoop {
    async::Loop* loop = nullptr;
    std::atomic<uint32_t> waiting{0};
    SlotTaker* taker = nullptr;  // read and written on `loop` only
  };
  void hand_over(size_t to, const std::shared_ptr<ReplicaSlots>& slots);
  std::vector<std::unique_ptr<PerLoop>> per_loop_;
  mutable std::mutex stats_mutex_;
  std::vector<std::shared_ptr<const RouteStats>> stats_;  // per loop; null: it has not seen the deployment yet
  std::atomic<uint32_t> bounded_{0}, again_{0}, turn_{0};
  std::atomic<int64_t> mean_service_{0};
};

}  // namespace colony::proxy
