// See h2_guard.h.
#include "transport/http/h2_guard.h"

#include <algorithm>

namespace colony::http {

H2Ids::Kind H2Ids::headers_on(uint32_t id) {
  if (id <= highest_) return used(id);
  const uint32_t expected = highest_ == 0 ? 1 : highest_ + 2;
  if (id > expected) {
    if (!skipped_) skipped_ = std::make_unique<std::vector<std::pair<uint32_t, uint32_t>>>();
    if (skipped_->size() < kRanges) skipped_->emplace_back();
    (*skipped_)[ranges_++ % kRanges] = {expected, id - 2};
  }
  const uint32_t steps = (id - highest_) / 2;
  ended_ = steps < kEnded ? ended_ << steps : 0;
  highest_ = id;
  return Kind::kNew;
}

H2Ids::Kind H2Ids::used(uint32_t id) const {
  if (id > highest_ || id % 2 == 0) return Kind::kNew;
  if (skipped_ &&
      std::ranges::any_of(*skipped_, [id](const auto& range) { return id >= range.first && id <= range.second; }))
    return Kind::kSkipped;
  const uint32_t steps = (highest_ - id) / 2;
  return steps < kEnded && (ended_ >> steps & 1) != 0 ? Kind::kEnded : Kind::kUsed;
}

}  // namespace colony::http
