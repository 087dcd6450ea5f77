// INVARIANT: whoever waits has entered the gate before it looked for a free slot a last time, and whoever frees a slot
// looks at the gate after it has freed it (both sequentially consistent), so one of the two sees the other.
#include "request/proxy/admit/slots.h"

#include "policy/admit.h"

namespace colony::proxy {

DeploymentGate::DeploymentGate(std::vector<async::Loop*> loops) {
  for (async::Loop* loop : loops) {
    per_loop_.push_back(std::make_unique<PerLoop>());
    per_loop_.back()->loop = loop;
  }
}

void DeploymentGate::count_with(size_t index, std::shared_ptr<const RouteStats> stats) {
  const std::lock_guard lock(stats_mutex_);
  stats_.resize(std::max(stats_.size(), index + 1));
  stats_[index] = std::move(stats);
}

std::vector<std::shared_ptr<const RouteStats>> DeploymentGate::stats() const {
  const std::lock_guard lock(stats_mutex_);
  std::vector<std::shared_ptr<const RouteStats>> out = stats_;
  std::erase(out, nullptr);
  return out;
}

bool DeploymentGate::enter(size_t index, size_t max_queued) {
  uint32_t n = bounded_.load();
  do {
    if (n >= max_queued) return false;
  } while (!bounded_.compare_exchange_weak(n, n + 1));
  per_loop_[index]->waiting.fetch_add(1);
  return true;
}

void DeploymentGate::enter_again(size_t index) {
  again_.fetch_add(1);
  per_loop_[index]->waiting.fetch_add(1);
}

void DeploymentGate::leave(size_t index, bool again) {
  per_loop_[index]->waiting.fetch_sub(1);
  (again ? again_ : bounded_).fetch_sub(1);
}

void DeploymentGate::hand_over(size_t to, const std::shared_ptr<ReplicaSlots>& slots) {
  per_loop_[to]->loop->post([self = shared_from_this(), to, slots] {
    if (SlotTaker* taker = self->per_loop_[to]->taker)
      taker->on_handed(slots);
    else
      self->give_back(to, slots);
  });
}

void DeploymentGate::give_back(size_t index, const std::shared_ptr<ReplicaSlots>& slots) {
  slots->release();
  // Whoever began to wait while the slot was in hand has not seen it free.
  if (per_loop_.size() == 1 || queued() <= per_loop_[index]->waiting.load()) return;
  for (size_t i = 0; i < per_loop_.size(); ++i) {
    if (i == index || per_loop_[i]->waiting.load() == 0) continue;
    per_loop_[i]->loop->post([self = shared_from_this(), i] {
      if (SlotTaker* taker = self->per_loop_[i]->taker) taker->on_maybe_free();
    });
  }
}

bool DeploymentGate::keep_released(size_t index, bool can_use, const std::shared_ptr<ReplicaSlots>& slots) {
  const size_t n = per_loop_.size();
  const size_t own = per_loop_[index]->waiting.load();
  if (n > 1 && queued() > own) {
    // In turn, beginning after the loop that was served last.
    const size_t start = turn_.fetch_add(1);
    for (size_t k = 0; k < n; ++k) {
      const size_t i = (start + k) % n;
      if (per_loop_[i]->waiting.load() == 0) continue;
      if (i == index && !can_use) continue;
      if (i == index) return true;
      hand_over(i, slots);
      return false;
    }
  }
  if (can_use && own > 0) return true;
  give_back(index, slots);
  return false;
}

void DeploymentGate::served(Duration service) {
  mean_service_.store(policy::smooth(mean_service(), service).count(), std::memory_order_relaxed);
}

}  // namespace colony::proxy
