// May a request whose replica failed it be sent to another one? And how many such second tries are good for a deployment
// that is in trouble already? Pure: what happened and the time are arguments. Which replica comes next is balance.h; that
// it is none that was tried before is for the caller to hold.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/time.h"

namespace colony::policy {

// What went wrong, in order of what the replica can have done.
enum class Failure : uint8_t {
  kNotTaken,  // it never reached the replica's hands: the link was down or leaving. Costs nobody anything to send again
  kRefused,   // the replica answered that it did not begin: it is full or leaving
  kLost,      // the link broke under it: it may have run, in part or whole
  kBroken,    // the replica answered what cannot be passed on: it has run
};

struct RetryState {
  Failure failure = Failure::kBroken;
  bool reply_begun = false;  // a byte of a reply may have left for the client
  bool body_kept = false;    // all of the request that has come is still here
  bool idempotent = false;   // running it twice is the same as running it once
  bool other_ready = false;  // there is a replica, ready now, that this request has not tried
  bool still_ready = false;  // the one that failed takes requests still: it has broken one connection of several
  int tries = 1;             // made so far, with the one that failed
  TimePoint now{};
  Deadline deadline = Deadline::never();
};

enum class Retry : uint8_t {
  kNo,
  kFree,    // send it again
  kBudget,  // send it again if RetryBudget::take() agrees
};

inline constexpr int kMostTries = 3;       // LIMIT: of a request that a replica may have begun
inline constexpr int kMostFreshTries = 8;  // LIMIT: of one that no replica has begun

inline Retry may_retry(const RetryState& s) {
  if (s.reply_begun || !s.body_kept || s.deadline.passed(s.now)) return Retry::kNo;
  switch (s.failure) {
    case Failure::kNotTaken: return s.tries < kMostFreshTries ? Retry::kFree : Retry::kNo;
    // WHY only when another is ready: the refusal itself is an answer, and a better one than to wait for a deadline.
    case Failure::kRefused: return s.tries < kMostFreshTries && s.other_ready ? Retry::kBudget : Retry::kNo;
    // A replica that is lost comes back, or another in its place: the request may wait for it. One that is there still
    // comes back as nobody else: there is nothing to wait for.
    case Failure::kLost:
      return s.idempotent && s.tries < kMostTries && (s.other_ready || !s.still_ready) ? Retry::kBudget : Retry::kNo;
    case Failure::kBroken: return Retry::kNo;
  }
  return Retry::kNo;
}

// A reason (docs/errors.md) that says: the replica did not begin.
inline bool says_not_begun(std::string_view reason) {
  return reason == "replica_full" || reason == "replica_starting" || reason == "replica_failed" ||
         reason == "replica_ending";
}

// Second tries are at most a fifth of the requests of the last ten seconds, and a few more, so that a quiet deployment
// has some as well: retries never multiply the load on replicas that fail because of it.
class RetryBudget {
 public:
  static constexpr uint64_t kFloor = 100;  // in ten seconds, whatever the load
  static constexpr uint64_t kPart = 5;     // one in five

  void note_request(TimePoint now) {
    advance(now);
    ++slots_[at_].requests;
    ++requests_;
  }
  // Takes one retry out of the budget; false: there is none left.
  bool take(TimePoint now) {
    advance(now);
    if (retries_ >= kFloor + requests_ / kPart) return false;
    ++slots_[at_].retries;
    ++retries_;
    return true;
  }

 private:
  struct Slot {
    uint32_t requests = 0, retries = 0;
  };
  static constexpr Duration kSlot = 1s;
  static constexpr size_t kSlots = 10;

  void advance(TimePoint now) {
    if (now < slot_end_) return;
    const int64_t steps = (now - slot_end_) / kSlot + 1;
    for (int64_t i = 0; i < steps && i < static_cast<int64_t>(kSlots); ++i) {
      at_ = (at_ + 1) % kSlots;
      requests_ -= slots_[at_].requests;
      retries_ -= slots_[at_].retries;
      slots_[at_] = {};
    }
    slot_end_ += steps * kSlot;
  }

  std::array<Slot, kSlots> slots_{};
  size_t at_ = 0;
  TimePoint slot_end_{};
  uint64_t requests_ = 0, retries_ = 0;
};

}  // namespace colony::policy
