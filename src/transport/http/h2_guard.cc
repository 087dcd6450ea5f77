// See h2_guard.h.
#include "transport/http/h2_guard.h"

#include <algorithm>

namespace colony::http {

bool H2Budget::take(TimePoint now) {
  if (left_ == 0) {
    if (filled_at_ == TimePoint::min()) filled_at_ = now;
    const auto earned = static_cast<int64_t>(to_seconds(now - filled_at_) * static_cast<double>(per_second_));
    if (earned == 0) return false;
    left_ = std::min(burst_, earned);
    filled_at_ = now;
  } else if (left_ == burst_) {
    filled_at_ = now;
  }
  --left_;
  return true;
}

H2Ids::Kind H2Ids::headers_on(uint32_t id) {
  if (id > highest_) {
    const uint32_t expected = highest_ == 0 ? 1 : highest_ + 2;
    if (id > expected) skipped_[ranges_++ % kRanges] = {expected, id - 2};
    highest_ = id;
    return Kind::kNew;
  }
  return used(id);
}

H2Ids::Kind H2Ids::used(uint32_t id) const {
  if (id > highest_ || id % 2 == 0) return Kind::kNew;
  const size_t known = std::min<size_t>(ranges_, kRanges);
  const bool skipped = std::any_of(skipped_.begin(), skipped_.begin() + static_cast<std::ptrdiff_t>(known),
                                   [id](const auto& range) { return id >= range.first && id <= range.second; });
  if (skipped) return Kind::kSkipped;
  return std::find(ended_.begin(), ended_.end(), id) == ended_.end() ? Kind::kUsed : Kind::kEnded;
}

}  // namespace colony::http
