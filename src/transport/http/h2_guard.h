// What a server of HTTP/2 must remember to defend itself: budgets for frames that are cheap to send and costly to serve
// (rapid reset, floods of PING, SETTINGS, PRIORITY, WINDOW_UPDATE and empty DATA, endless or exploding header blocks), and which stream ids a client has skipped.
// Pure; h2_input.cc asks it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
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
      if (filled_at_ == TimePoint::min()) filled_at_ = now;
      const double earned = to_seconds(now - filled_at_) * kPerSecond;
      if (earned < 1) return false;
      left_ = static_cast<int32_t>(std::min<double>(kBurst, earned));
      filled_at_ = now;
    } else if (left_ == kBurst) {
      filled_at_ = now;
    }
    --left_;
    return true;
  }
  // For honest work that explains frames of this kind; never above the burst.
  void earn(int32_t n) { left_ = std::min(kBurst, left_ + n); }

 private:
  int32_t left_ = kBurst;
  TimePoint filled_at_ = TimePoint::min();
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
  void ended(uint32_t id) { ended_[ends_++ % kEnded] = id; }

 private:
  // LIMIT: the ranges skipped and the ids ended last. What is forgotten counts as used, and what comes for it is dropped.
  static constexpr size_t kRanges = 32, kEnded = 16;
  uint32_t highest_ = 0;
  uint32_t ranges_ = 0, ends_ = 0;
  std::vector<std::pair<uint32_t, uint32_t>> skipped_;  // first and last id, a ring; hardly any client skips
  std::array<uint32_t, kEnded> ended_{};                // a ring
};

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
  int continuations = 0;
  size_t block_bytes = 0;
};

}  // namespace colony::http
