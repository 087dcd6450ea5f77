// Which replicas of a deployment answer so much worse than the others that they had better get nothing for a while? One
// object per deployment and loop of a proxy, fed with the outcome of every request; time and chance are arguments.
//
// A replica is ejected after five failures in a row, or when at least half of its recent requests (twenty or more) failed;
// never when the others fail as much (then the requests are to blame, or something behind all replicas), and never so many
// that less than half of them is left. It stays out for a second, twice as long each time it is ejected again, to a bound,
// with a spread so that the threads of a proxy do not come back together. Then one request probes it: a good answer brings
// it back in full, a failure ejects it again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/rng.h"
#include "base/time.h"

namespace colony::policy {

class Outliers;

// One replica as a member of Outliers.
class OutlierMember {
 public:
  bool ejected() const { return state_ != State::kIn; }
  TimePoint until() const { return until_; }  // of an ejected one: from then on it may be probed
  // May it get a request now? An ejected one may when its time is over and no probe is under way.
  bool admits(TimePoint now) const { return state_ == State::kIn || (state_ == State::kOut && now >= until_); }

 private:
  friend class Outliers;
  enum class State : uint8_t { kIn, kOut, kProbed };
  struct Window {
    uint32_t requests = 0, failures = 0;
  };
  State state_ = State::kIn;
  uint8_t times_ = 0;  // ejected in a row
  uint32_t in_a_row_ = 0;
  Window now_, before_;  // two halves of the time that counts
  uint64_t half_ = 0;    // number of the half that now_ is
  TimePoint until_{}, back_at_{};
};

class Outliers {
 public:
  static constexpr uint32_t kInARow = 5;
  static constexpr uint32_t kEnough = 20;  // requests of a replica in the window, before a rate says anything
  static constexpr Duration kHalfWindow = 5s;
  static constexpr Duration kFirst = 1s;        // of the first ejection
  static constexpr uint8_t kMostDoublings = 6;  // LIMIT: 64 s
  static constexpr Duration kForgiven = 60s;    // back for so long: the next ejection is a first one again

  enum class Change : uint8_t { kNone, kEjected, kBack };

  size_t size() const { return size_; }
  size_t ejected() const { return ejected_; }
  void join(OutlierMember&) { ++size_; }
  void leave(OutlierMember& m) {
    --size_;
    if (m.ejected()) --ejected_;
    m = {};
  }

  // A request is sent to this member. Answers whether it is the probe of an ejected one; then exactly one of on_result() and
  // on_no_result() has to follow for it.
  bool on_sent(OutlierMember& m) {
    if (!m.ejected()) return false;
    m.state_ = OutlierMember::State::kProbed;
    return true;
  }
  // The probe ended without telling anything about the replica (its client left): another one may follow.
  void on_no_result(OutlierMember& m, bool probe) {
    if (probe && m.state_ == OutlierMember::State::kProbed) m.state_ = OutlierMember::State::kOut;
  }
  // `peers` visits the other members: peers([](const OutlierMember&) {...}); only asked when an ejection is near.
  template <class Peers>
  Change on_result(OutlierMember& m, bool good, bool probe, TimePoint now, Rng& rng, Peers&& peers) {
    advance(m, now);
    ++m.now_.requests;
    if (good) {
      m.in_a_row_ = 0;
      if (!probe || m.state_ != OutlierMember::State::kProbed) return Change::kNone;
      m.state_ = OutlierMember::State::kIn;
      m.now_ = m.before_ = {};
      m.back_at_ = now;
      --ejected_;
      return Change::kBack;
    }
    ++m.now_.failures;
    ++m.in_a_row_;
    if (m.ejected()) {  // what was under way when it was ejected changes nothing; a probe does
      if (!probe) return Change::kNone;
      eject(m, now, rng);
      return Change::kEjected;
    }
    if (!conspicuous(m) || (ejected_ + 1) * 2 > size_) return Change::kNone;
    uint64_t requests = 0, failures = 0;
    peers([&](OutlierMember& other) {
      if (&other == &m || other.ejected()) return;
      advance(other, now);
      requests += other.now_.requests + other.before_.requests;
      failures += other.now_.failures + other.before_.failures;
    });
    // Half as often as this one, or less: then it is this one.
    const uint64_t own_requests = m.now_.requests + m.before_.requests,
                   own_failures = m.now_.failures + m.before_.failures;
    if (2 * failures * own_requests > own_failures * requests) return Change::kNone;
    ++ejected_;
    if (m.times_ > 0 && now - m.back_at_ >= kForgiven) m.times_ = 0;
    eject(m, now, rng);
    return Change::kEjected;
  }

 private:
  static bool conspicuous(const OutlierMember& m) {
    const uint32_t requests = m.now_.requests + m.before_.requests, failures = m.now_.failures + m.before_.failures;
    return m.in_a_row_ >= kInARow || (requests >= kEnough && failures * 2 >= requests);
  }
  static void eject(OutlierMember& m, TimePoint now, Rng& rng) {
    const Duration time = kFirst * (1 << std::min(m.times_, kMostDoublings));
    if (m.times_ < kMostDoublings) ++m.times_;
    m.state_ = OutlierMember::State::kOut;
    m.in_a_row_ = 0;
    // From three quarters to five quarters of it.
    m.until_ = now + time * 3 / 4 + Duration(rng.below(static_cast<uint64_t>(time.count()) / 2 + 1));
  }
  static void advance(OutlierMember& m, TimePoint now) {
    const auto half = static_cast<uint64_t>(now.time_since_epoch() / kHalfWindow);
    if (half == m.half_) return;
    m.before_ = half == m.half_ + 1 ? m.now_ : OutlierMember::Window{};
    m.now_ = {};
    m.half_ = half;
  }

  size_t size_ = 0, ejected_ = 0;
};

}  // namespace colony::policy
