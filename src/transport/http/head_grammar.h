// Which byte may stand where in a head (RFC 9110, 9112), as one table, and the walks over it. Internal to head.cc and h2_field.cc.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace colony::http::grammar {

enum : uint8_t { kToken = 1, kValue = 2, kTarget = 4, kHost = 8 };

constexpr std::array<uint8_t, 256> make_table() {
  std::array<uint8_t, 256> t{};
  for (int c = 0; c < 256; ++c) {
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    uint8_t bits = alnum ? kToken | kHost : 0;
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) bits |= kValue;
    if (c > 0x20 && c < 0x7f && c != '#') bits |= kTarget;
    t[static_cast<size_t>(c)] = bits;
  }
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) t[static_cast<uint8_t>(c)] |= kToken;
  // WHY without ',': the grammar allows it in a name, but a second parser might read a list of hosts.
  for (char c : std::string_view("-._~%!$&'()*+;=")) t[static_cast<uint8_t>(c)] |= kHost;
  return t;
}
inline constexpr std::array<uint8_t, 256> kTable = make_table();

inline bool is(char c, uint8_t kind) { return (kTable[static_cast<uint8_t>(c)] & kind) != 0; }

inline const char* skip(const char* p, const char* end, uint8_t kind) {
  while (p < end && is(*p, kind)) ++p;
  return p;
}

// The first byte that may not stand in a field's value; eight bytes a step.
inline const char* skip_value(const char* p, const char* end) {
  if constexpr (std::endian::native == std::endian::little) {
    constexpr uint64_t kOnes = 0x0101010101010101u, kHigh = 0x8080808080808080u;
    while (end - p >= 8) {
      uint64_t x = 0;
      std::memcpy(&x, p, 8);
      const uint64_t del = x ^ (kOnes * 0x7f);
      // A byte below 0x20 or equal to 0x7f sets its high bit; a borrow can only spoil bytes after the first hit.
      const uint64_t hit = (((x - kOnes * 0x20) & ~x) | ((del - kOnes) & ~del)) & kHigh;
      if (hit == 0) {
        p += 8;
        continue;
      }
      p += std::countr_zero(hit) / 8;
      if (*p != '\t') return p;
      ++p;
    }
  }
  return skip(p, end, kValue);
}

// `name` is a token, so that setting bit 5 of a byte cannot turn anything but its upper case into a letter or '-'.
inline bool name_is(std::string_view name, std::string_view lower) {
  for (size_t i = 0; i < lower.size(); ++i)
    if ((name[i] | 0x20) != lower[i]) return false;
  return true;
}

// A host name or an address in brackets, with an optional port; nothing at all is one too. In head.cc.
bool is_host(std::string_view host);

}  // namespace colony::http::grammar
