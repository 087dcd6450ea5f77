// See text.h.
#include "base/text.h"

#include <algorithm>

namespace colony {

void Text::grow(size_t more) {
  capacity_ = std::max(2 * capacity_, size_ + more);
  std::unique_ptr<char[]> larger(new char[capacity_]);
  std::memcpy(larger.get(), data_, size_);
  data_ = larger.get();
  heap_ = std::move(larger);
}

}  // namespace colony
