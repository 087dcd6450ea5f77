// Time as plain values. Nothing here reads a clock: `now` comes from a Loop (async/loop.h), real or simulated.
#pragma once

#include <chrono>
#include <cstdint>

namespace colony {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;  // monotonic
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;   // for people and for disk

using std::chrono::duration_cast;
using namespace std::chrono_literals;

inline double to_seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
inline Duration from_seconds(double s) { return Duration(static_cast<int64_t>(s * 1e9)); }
inline int64_t to_ms(Duration d) { return duration_cast<std::chrono::milliseconds>(d).count(); }

// The latest moment at which an answer is of use; passed by value through every call that may wait.
class Deadline {
 public:
  static constexpr Deadline never() { return Deadline(TimePoint::max()); }
  static constexpr Deadline at(TimePoint t) { return Deadline(t); }
  static constexpr Deadline after(TimePoint now, Duration d) {
    return d >= TimePoint::max() - now ? never() : Deadline(now + d);
  }
  constexpr TimePoint time() const { return at_; }
  constexpr bool is_never() const { return at_ == TimePoint::max(); }
  constexpr bool passed(TimePoint now) const { return now >= at_; }
  constexpr Duration left(TimePoint now) const { return now >= at_ ? Duration::zero() : at_ - now; }
  constexpr Deadline sooner(Deadline other) const { return at_ < other.at_ ? *this : other; }
  constexpr auto operator<=>(const Deadline&) const = default;

 private:
  constexpr explicit Deadline(TimePoint at) : at_(at) {}
  TimePoint at_;
};

}  // namespace colony
