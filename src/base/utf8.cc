// Byte ranges as in Unicode's table 3-7 (well-formed UTF-8 byte sequences).
#include "base/utf8.h"

#include <cstddef>

namespace colony {

bool is_utf8(std::string_view s) {
  size_t i = 0;
  const auto byte = [&s](size_t at) { return static_cast<unsigned char>(s[at]); };
  const auto follows = [&](size_t at, unsigned low = 0x80, unsigned high = 0xBF) {
    return at < s.size() && byte(at) >= low && byte(at) <= high;
  };
  while (i < s.size()) {
    while (i < s.size() && byte(i) < 0x80) ++i;
    if (i == s.size()) return true;
    const unsigned b = byte(i);
    if (b >= 0xC2 && b <= 0xDF) {
      if (!follows(i + 1)) return false;
      i += 2;
    } else if (b >= 0xE0 && b <= 0xEF) {
      if (!follows(i + 1, b == 0xE0 ? 0xA0 : 0x80, b == 0xED ? 0x9F : 0xBF) || !follows(i + 2)) return false;
      i += 3;
    } else if (b >= 0xF0 && b <= 0xF4) {
      if (!follows(i + 1, b == 0xF0 ? 0x90 : 0x80, b == 0xF4 ? 0x8F : 0xBF) || !follows(i + 2) || !follows(i + 3))
        return false;
      i += 4;
    } else {
      return false;
    }
  }
  return true;
}

bool Utf8Walk::take(std::string_view piece) {
  for (const char c : piece) {
    const auto b = static_cast<uint8_t>(c);
    if (expected_ > 0) {
      if (b < low_ || b > high_) return false;
      --expected_;
      low_ = 0x80, high_ = 0xBF;
    } else if (b >= 0x80) {
      if (b < 0xC2 || b > 0xF4) return false;
      expected_ = b < 0xE0 ? 1 : b < 0xF0 ? 2 : 3;
      low_ = b == 0xE0 ? 0xA0 : b == 0xF0 ? 0x90 : 0x80;
      high_ = b == 0xED ? 0x9F : b == 0xF4 ? 0x8F : 0xBF;
    }
  }
  return true;
}

}  // namespace colony
