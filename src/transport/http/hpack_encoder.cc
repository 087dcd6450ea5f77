// See hpack_encoder.h.
#include "transport/http/hpack_encoder.h"

#include <algorithm>
#include <cstring>

namespace colony::http {
namespace {

char* put_integer(char* out, uint8_t first, unsigned bits, uint32_t n) {
  const uint32_t prefix = (1u << bits) - 1;
  if (n < prefix) {
    *out++ = static_cast<char>(first | n);
    return out;
  }
  *out++ = static_cast<char>(first | prefix);
  for (n -= prefix; n >= 0x80; n >>= 7) *out++ = static_cast<char>(0x80 | (n & 0x7f));
  *out++ = static_cast<char>(n);
  return out;
}

char* put_string(char* out, std::string_view s) {
  out = put_integer(out, 0, 7, static_cast<uint32_t>(s.size()));
  if (!s.empty()) std::memcpy(out, s.data(), s.size());
  return out + s.size();
}

char* put_literal(char* out, uint8_t first, unsigned bits, std::string_view name, std::string_view value) {
  const uint32_t index = hpack_static_name(name);
  out = put_integer(out, first, bits, index);
  if (index == 0) out = put_string(out, name);
  return put_string(out, value);
}

uint64_t mix(uint64_t h, std::string_view s) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15u;
  const char* p = s.data();
  size_t left = s.size();
  uint64_t word = 0;
  for (; left >= 8; p += 8, left -= 8) {
    std::memcpy(&word, p, 8);
    h = (h ^ word) * kOdd;
    h ^= h >> 29;
  }
  word = left;
  for (; left > 0; --left) word = word << 8 | static_cast<uint8_t>(*p++);
  return (h ^ word) * kOdd;
}

uint32_t hash(std::string_view name, std::string_view value) {
  return static_cast<uint32_t>(mix(mix(0, name), value) >> 32);
}

// What differs from reply to reply. Only a matter of cost: their hashes would be computed in vain and push others out.
bool differs_always(std::string_view name) {
  switch (name.size()) {
    case 4: return name == "date" || name == "etag";
    case 11: return name == "traceparent";
    case 12: return name == "x-request-id";
    case 14: return name == "content-length";
    default: return false;
  }
}

// Whoever guesses at a table's content could find these out, so they are in none, here or at any hop behind (7.1.3).
bool is_secret(std::string_view name) {
  switch (name.size()) {
    case 10: return name == "set-cookie";
    case 13: return name == "authorization";
    default: return false;
  }
}

}  // namespace

void HpackEncoder::set_limit(uint32_t bytes) {
  const auto limit = static_cast<uint16_t>(std::min(bytes, kHpackTableSize));
  if (limit == table_.limit() && !limit_changed_) return;
  lowest_limit_ = limit_changed_ ? std::min(lowest_limit_, limit) : limit;
  limit_changed_ = true;
  table_.set_limit(limit);
}

char* HpackEncoder::begin(char* out) {
  if (!limit_changed_) return out;
  limit_changed_ = false;
  if (lowest_limit_ < table_.limit()) out = put_integer(out, 0x20, 5, lowest_limit_);
  return put_integer(out, 0x20, 5, table_.limit());
}

char* HpackEncoder::status(char* out, int status) {
  constexpr int kKnown[] = {200, 204, 206, 304, 400, 404, 500};
  for (uint32_t i = 0; i < std::size(kKnown); ++i) {
    if (kKnown[i] != status) continue;
    *out++ = static_cast<char>(0x80 | (8 + i));
    return out;
  }
  const char digits[3] = {static_cast<char>('0' + status / 100 % 10), static_cast<char>('0' + status / 10 % 10),
                          static_cast<char>('0' + status % 10)};
  return put_literal(out, 0, 4, ":status", {digits, 3});
}

char* HpackEncoder::field(char* out, std::string_view name, std::string_view value) {
  if (differs_always(name)) return put_literal(out, 0, 4, name, value);
  if (is_secret(name)) return put_literal(out, 0x10, 4, name, value);
  const uint32_t h = hash(name, value);
  const size_t known = table_.count();
  for (size_t i = 0; i < known; ++i) {
    if (table_.mark_at(i) != h) continue;
    const HpackField f = table_.at(i);
    if (f.name() == name && f.value() == value)
      return put_integer(out, 0x80, 7, static_cast<uint32_t>(kHpackStatic + 1 + i));
  }
  // Once is no pattern; and what is large would push out too much of what is known.
  const auto half = static_cast<uint16_t>(h);
  const bool again = std::find(seen_.begin(), seen_.end(), half) != seen_.end();
  if (!again || name.size() + value.size() + 32 > table_.limit() / 4) {
    if (!again) seen_[next_seen_++ % kRemembered] = half;
    return put_literal(out, 0, 4, name, value);
  }
  char* const end = put_literal(out, 0x40, 6, name, value);
  // The table wants the field as a line; one of this size fits.
  char line[kHpackTableSize / 4];
  char* p = line;
  for (const std::string_view part : {name, std::string_view(": "), value, std::string_view("\r\n")}) {
    std::memcpy(p, part.data(), part.size());
    p += part.size();
  }
  table_.add({line, static_cast<uint32_t>(name.size()), static_cast<uint32_t>(value.size()), h});
  return end;
}

}  // namespace colony::http
