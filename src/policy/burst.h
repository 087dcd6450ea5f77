// Does the next request go where the last one went? Requests that come together had better wake one process than many: with
// 64 replicas behind a proxy, waking costs more than the answers. That is only right while the replica answers on its
// loop, in its own turn, and is done with all of them about as soon as another one would have woken up. Pure: what the
// replica says about itself, its load and the time are arguments. Which replica gets a new burst is policy/balance.h.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"
#include "policy/balance.h"

namespace colony::policy {

// For how long a request keeps a replica's loop busy, as a moving mean of what its answers say.
class BusyEstimate {
 public:
  static constexpr uint32_t kMostNs = 2'000'000;  // LIMIT: one worse answer is forgotten as soon as this
  static constexpr uint64_t kMemory = 16;         // answers

  uint64_t ns() const { return ns_; }

 private:
  friend class Bursts;
  void note(uint64_t busy_ns) { ns_ = ns_ == 0 ? busy_ns : (ns_ * (kMemory - 1) + busy_ns) / kMemory; }
  uint64_t ns_ = 0;  // 0: there was no answer yet
};

// Of one deployment, on one loop of a proxy.
class Bursts {
 public:
  // What one more in the queue may cost a request. Waking a sleeping process on another core takes 25 to 50 us, and it
  // finds its memory out of the caches, which costs as much again; so up to here the others would hardly have answered
  // earlier.
  static constexpr uint64_t kMostWaitNs = 100'000;
  // A single request of more than this is slow, and no other is to wait for it. Much above what a cheap one takes in a
  // process that was put aside for a moment.
  static constexpr uint64_t kSlowNs = 250'000;
  // Then there is a new choice: over a longer time all replicas get their share.
  static constexpr Duration kLongest = 10ms;
  // WHY bursts grow with the answers since the slow ones, one place for so many, and by half after each of those: when
  // a slow one comes, all of its burst wait for it. These are then two in kPerPlace at most, however often that happens,
  // and no 99th percentile shows them; and a replica that the system made wait once is not out for long.
  static constexpr uint32_t kPerPlace = 400;
  static constexpr uint32_t kMostPlaces = 32;

  // An answer came. 0: it was made elsewhere than on the replica's loop (its model runs on threads), so what stands before
  // it there is not known.
  void note(BusyEstimate& replica, uint32_t busy_ns) {
    const uint64_t ns = busy_ns == 0 ? BusyEstimate::kMostNs : std::min(busy_ns, BusyEstimate::kMostNs);
    replica.note(ns);
    if (ns > kSlowNs)
      calm_ /= 2;
    else if (calm_ < kMostCalm)
      ++calm_;
  }
  // None came, or a bad one.
  void note_failure(BusyEstimate& replica) { note(replica, 0); }

  // `since_chosen`: the time since the choice that led to this replica.
  bool goes_on(const CandidateLoad& load, const BusyEstimate& replica, Duration since_chosen) const {
    return load.usable && since_chosen < kLongest && replica.ns() != 0 && load.outstanding < calm_ / kPerPlace &&
           (uint64_t{load.outstanding} + 1) * replica.ns() <= kMostWaitNs;
  }

 private:
  static constexpr uint32_t kMostCalm = kPerPlace * kMostPlaces;
  uint32_t calm_ = 0;  // answers of all replicas
};

}  // namespace colony::policy
