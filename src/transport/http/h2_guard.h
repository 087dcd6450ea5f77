// What a server of HTTP/2 must remember to defend itself: budgets for frames that are cheap to send and costly to serve
// (rapid reset, floods of PING, SETTINGS, PRIORITY, WINDOW_UPDATE and empty DATA, endless or exploding header blocks), and which stream ids a client has skipped.
// Pure; h2_input.cc asks it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/time.h"

namespace colony::http {

// So many at once, then so many per second.
template <int32_t kBurst, int32_t kPerSecond>
class H2Budget {
 public:
  // False: more than the budget allows.
  bool take(TimePoint now) {
    if (left_ == 0) {
      const double earned = static_cast<double>(milliseconds(now) - filled_at_) * kPerSecond / 1000;
      if (earned < 1) return false;
      left_ = static_cast<int32_t>(std::min<double>(kBurst, earned));
      filled_at_ = milliseconds(now);
    } else if (left_ == kBurst) {
      filled_at_ = milliseconds(now);
    }
    --left_;
    return true;
  }
  // For honest work that explains frames of this kind; never above the burst.
  void earn(int32_t n) { left_ = std::min(kBurst, left_ + n); }

 private:
  // Wraps around after 49 days, which can only make what was earned less.
  static uint32_t milliseconds(TimePoint t) { return static_cast<uint32_t>(t.time_since_epoch() / 1ms); }

  int32_t left_ = kBurst;
  uint32_t filled_at_ = 0;
};

// RFC 9113, 5.1.1: the first use of an id closes every lower id that was never used. A frame that opens such an id later
// is a connection error; so is one for an id whose client has ended or reset it. Any other for an id that was in use is a
// late frame and harmless. So the skipped and the ended ones are remembered.
class H2Ids {
 public:
  enum class Kind : uint8_t { kNew, kUsed, kSkipped, kEnded };
  Kind headers_on(uint32_t id);
  // The same for a frame that opens nothing. kNew: nobody has used it yet.
  Kind used(uint32_t id) const;
  // The stream is closed, and its client had said that nothing more comes.
  void ended(uint32_t id) {
    const uint32_t steps = (highest_ - id) / 2;
    if (id <= highest_ && steps < kEnded) ended_ |= uint64_t{1} << steps;
  }

 private:
  // LIMIT: the ranges skipped last, and how far back from the highest id. What is forgotten counts as used, and what comes
  // for it is dropped.
  static constexpr uint32_t kRanges = 32, kEnded = 64;
  uint32_t highest_ = 0;
  uint32_t ranges_ = 0;
  uint64_t ended_ = 0;  // a bit per id, the highest first
  // First and last id, a ring. Null while nothing was skipped: hardly any client does, and thousands are idle.
  std::unique_ptr<std::vector<std::pair<uint32_t, uint32_t>>> skipped_;
};

// Lasts as long as its connection: a client that was idle has not earned a fresh one.
struct H2Guard {
  // LIMIT: per header block; 64 KiB of fields need five at most.
  static constexpr int kMaxContinuations = 7;
  // LIMIT: fields of one header block once decoded (a list above 64 KiB is answered 431): few bytes that name one large
  // table entry again and again are no request but a bomb.
  static constexpr size_t kMaxBlock = 256 * 1024;
  static constexpr int32_t kWindowsPerData = 10;

  H2Ids ids;
  H2Budget<1000, 100> control;  // PING, SETTINGS, PRIORITY; every frame of a reply earns one (clients that measure
                                // their round trip send a PING for each)
  H2Budget<2000, 200> windows;  // WINDOW_UPDATE; every DATA frame of a reply earns kWindowsPerData
  H2Budget<500, 100> resets;    // streams that ended without a whole reply and not by our own will; a whole one earns
  H2Budget<1000, 100> empty_data;  // DATA without content that does not end its stream
};

}  // namespace colony::http
