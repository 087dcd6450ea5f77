// The code is canonical: codes of one length are consecutive and in the order of their symbols, so the lengths alone
// tell everything. Up to eight bits one look into a table finds the symbol; what is longer is rare in fields.
#include "transport/http/hpack_huffman.h"

#include <array>
#include <cstdint>

namespace colony::http {
namespace {

constexpr unsigned kSymbols = 257, kLongest = 30, kEnd = 256, kShort = 8;

constexpr std::array<uint8_t, kSymbols> kLengths = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,  5,  5,  5,  6,  6,  6,  6,  6,  6,  6,
    7,  8,  15, 6,  12, 10, 13, 6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
    7,  8,  7,  8,  13, 19, 13, 14, 6,  15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,
    5,  6,  7,  7,  7,  7,  7,  15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24,
    24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22,
    23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26,
    27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23,
    22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30};

struct Code {
  // By length: the first code, left aligned in 32 bits; the first one behind; where the symbols of this length begin.
  std::array<uint64_t, kLongest + 1> first{}, limit{};
  std::array<uint16_t, kLongest + 1> at{};
  std::array<uint16_t, kSymbols> symbols{};  // by length, then by symbol
  struct Hit {
    uint8_t symbol, length;  // length 0: the code is longer
  };
  std::array<Hit, 1u << kShort> hits{};
};

constexpr Code make_code() {
  Code c;
  uint16_t n = 0;
  uint64_t code = 0;
  for (unsigned length = 1; length <= kLongest; ++length) {
    c.at[length] = n;
    c.first[length] = code << (32 - length);
    for (unsigned s = 0; s < kSymbols; ++s) {
      if (kLengths[s] != length) continue;
      if (length <= kShort) {
        for (uint64_t fill = 0; fill < (1u << (kShort - length)); ++fill)
          c.hits[(code << (kShort - length)) + fill] = {static_cast<uint8_t>(s), static_cast<uint8_t>(length)};
      }
      c.symbols[n++] = static_cast<uint16_t>(s);
      ++code;
    }
    c.limit[length] = code << (32 - length);
    code <<= 1;
  }
  return c;
}

constexpr Code kCode = make_code();
static_assert(kCode.limit[kLongest] == uint64_t{1} << 32, "every sequence of bits begins with a code");

}  // namespace

char* huffman_decode(std::string_view in, char* out) {
  const char *p = in.data(), *const end = p + in.size();
  uint64_t bits = 0;  // left aligned
  unsigned have = 0;
  for (;;) {
    while (have <= 56 && p < end) {
      bits |= static_cast<uint64_t>(static_cast<uint8_t>(*p++)) << (56 - have);
      have += 8;
    }
    if (have == 0) return out;
    const Code::Hit hit = kCode.hits[bits >> (64 - kShort)];
    unsigned length = hit.length, symbol = hit.symbol;
    if (length == 0) {
      const uint64_t top = bits >> 32;
      length = kShort + 1;
      while (top >= kCode.limit[length]) ++length;
      symbol = kCode.symbols[kCode.at[length] + ((top - kCode.first[length]) >> (32 - length))];
    }
    if (length > have) {  // what is left is no code: padding, all ones
      const bool ones = have < 8 && bits >> (64 - have) == (1u << have) - 1;
      return ones ? out : nullptr;
    }
    if (symbol == kEnd) return nullptr;
    *out++ = static_cast<char>(symbol);
    bits <<= length;
    have -= length;
  }
}

}  // namespace colony::http
