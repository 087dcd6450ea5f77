// What a server of HTTP/2 must remember to defend itself: budgets for frames that are cheap to send and costly to serve
// (rapid reset, PING and SETTINGS floods, empty DATA, endless CONTINUATION), and which stream ids a client has skipped.
// Pure: no I/O, no library types; h2_callbacks.cc asks it. The library has bounds of its own, which differ by version.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "base/time.h"

namespace colony::http {

// So many at once, then so many per second.
class H2Budget {
 public:
  H2Budget(int64_t burst, int64_t per_second) : left_(burst), burst_(burst), per_second_(per_second) {}
  // False: more than the budget allows.
  bool take(TimePoint now);

 private:
  int64_t left_, burst_, per_second_;
  TimePoint filled_at_ = TimePoint::min();
};

// RFC 9113, 5.1.1: the first use of an id closes every lower id that was never used. A frame that opens such an id later
// is a connection error, one for an id that was in use is a late frame and harmless: so the skipped ones are remembered.
class H2Ids {
 public:
  enum class Kind : uint8_t { kNew, kUsed, kSkipped };
  Kind headers_on(uint32_t id);

 private:
  // LIMIT: the ranges skipped last. What is forgotten counts as used, which the library ignores.
  static constexpr size_t kRanges = 32;
  uint32_t highest_ = 0;
  uint32_t ranges_ = 0;
  std::array<std::pair<uint32_t, uint32_t>, kRanges> skipped_{};  // first and last id, a ring
};

struct H2Guard {
  static constexpr int kMaxContinuations = 16;  // LIMIT: per header block; 64 KiB of fields need five at most

  H2Ids ids;
  H2Budget control{1000, 100};     // PING, SETTINGS, PRIORITY
  H2Budget resets{500, 100};       // streams that ended without a whole reply and not by our own will
  H2Budget empty_data{1000, 100};  // DATA without content that does not end its stream
  int continuations = 0;
};

}  // namespace colony::http
