// See h2_guard.h.
#include "transport/http/h2_guard.h"

#include <algorithm>

namespace colony::http {

H2Ids::Kind H2Ids::headers_on(uint32_t id) {
  if (id > highest_) {
    const uint32_t expected = highest_ == 0 ? 1 : highest_ + 2;
    if (id > expected) {
      if (skipped_.size() < kRanges) skipped_.emplace_back();
      skipped_[ranges_++ % kRanges] = {expected, id - 2};
    }
    highest_ = id;
    return Kind::kNew;
  }
  return used(id);
}

H2Ids::Kind H2Ids::used(uint32_t id) const {
  if (id > highest_ || id % 2 == 0) return Kind::kNew;
  if (std::ranges::any_of(skipped_, [id](const auto& range) { return id >= range.first && id <= range.second; }))
    return Kind::kSkipped;
  return std::find(ended_.begin(), ended_.end(), id) == ended_.end() ? Kind::kUsed : Kind::kEnded;
}

}  // namespace colony::http
