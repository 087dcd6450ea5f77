// Is it UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF)? Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace colony {

bool is_utf8(std::string_view s);

// The same for a text that comes in pieces: what cannot become UTF-8 any more is known at its first wrong byte.
class Utf8Walk {
 public:
  bool take(std::string_view piece);             // false: it is not UTF-8, whatever follows
  bool whole() const { return expected_ == 0; }  // no character is open

 private:
  uint8_t expected_ = 0;              // continuation bytes still to come
  uint8_t low_ = 0x80, high_ = 0xBF;  // of the next one
};

}  // namespace colony
