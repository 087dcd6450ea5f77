// Which byte may stand where in a head (RFC 9110, 9112), as one table, and the walks over it. Internal to head*.cc,
// h2_field.cc and ws.cc.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "transport/http/head.h"

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

// The first byte of the kind that the table does not have, or `end`.
inline const char* skip(const char* p, const char* end, uint8_t kind) {
  while (p < end && is(*p, kind)) ++p;
  return p;
}

#ifdef __SSE2__
inline __m128i all(char c) { return _mm_set1_epi8(c); }
inline __m128i below_space(__m128i x) { return _mm_cmpeq_epi8(_mm_min_epu8(x, all(0x1f)), x); }
inline __m128i between(__m128i x, char low, char high) {
  const __m128i from_low = _mm_sub_epi8(x, all(low));
  return _mm_cmpeq_epi8(_mm_min_epu8(from_low, all(static_cast<char>(high - low))), from_low);
}
#endif

// What ends a walk, of one byte and of sixteen at once.
struct NoValue {
  static bool ends(char c) { return !is(c, kValue); }
#ifdef __SSE2__
  static __m128i ends(__m128i x) {
    return _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(x, all('\t')), below_space(x)), _mm_cmpeq_epi8(x, all(0x7f)));
  }
#endif
};
struct NoTarget {
  static bool ends(char c) { return !is(c, kTarget); }
#ifdef __SSE2__
  static __m128i ends(__m128i x) {  // as signed numbers the bytes from 0x80 on are below the space
    return _mm_or_si128(_mm_cmplt_epi8(x, all(0x21)),
                        _mm_or_si128(_mm_cmpeq_epi8(x, all(0x7f)), _mm_cmpeq_epi8(x, all('#'))));
  }
#endif
};
// The end of a field's name, or a control character before it.
struct Colon {
  static bool ends(char c) { return c == ':' || static_cast<uint8_t>(c) < 0x20; }
#ifdef __SSE2__
  static __m128i ends(__m128i x) { return _mm_or_si128(_mm_cmpeq_epi8(x, all(':')), below_space(x)); }
#endif
};
// Letters, digits, '-' and '.': what a token almost always is made of.
struct NoPlain {
  static bool ends(char c) { return !is(c, kToken); }
#ifdef __SSE2__
  static __m128i ends(__m128i x) {
    const __m128i letter = between(_mm_or_si128(x, all(0x20)), 'a', 'z');
    const __m128i other = _mm_andnot_si128(_mm_cmpeq_epi8(x, all('/')), between(x, '-', '9'));
    return _mm_cmpeq_epi8(_mm_or_si128(letter, other), _mm_setzero_si128());
  }
#endif
};

// The first byte that ends the walk, or `end`. `floor` is where the memory that `p` lies in begins: with sixteen bytes in
// it, the last ones are looked at together with what lies before them.
template <class Walk>
inline const char* walk(const char* p, const char* end, [[maybe_unused]] const char* floor) {
#ifdef __SSE2__
  const auto bits = [](const char* at) {
    return static_cast<unsigned>(_mm_movemask_epi8(Walk::ends(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)))));
  };
  auto left = end - p;
  for (; left >= 16; p += 16, left -= 16)
    if (const unsigned b = bits(p); b != 0) return p + std::countr_zero(b);
  if (end - floor >= 16) {
    return p + std::countr_zero(bits(end - 16) >> (16 - left) | 1u << left);
  }
#endif
  while (p < end && !Walk::ends(*p)) ++p;
  return p;
}
inline const char* skip_value(const char* p, const char* end, const char* floor) {
  return walk<NoValue>(p, end, floor);
}
inline const char* skip_target(const char* p, const char* end, const char* floor) {
  return walk<NoTarget>(p, end, floor);
}
inline const char* skip_token(const char* p, const char* end, const char* floor) {
  for (;; ++p) {
    p = walk<NoPlain>(p, end, floor);
    if (p == end || !is(*p, kToken)) return p;
  }
}

// `name` is as long as `lower` and holds no control character, so that setting bit 5 of a byte cannot turn anything but its
// upper case into a letter or '-'. Compared word by word, the last one over bytes that were compared before.
template <size_t kSizeAndNul>
inline bool name_is(const char* name, const char (&lower)[kSizeAndNul]) {
  constexpr size_t kSize = kSizeAndNul - 1;
  using Word = std::conditional_t<kSize >= 8, uint64_t, std::conditional_t<kSize >= 4, uint32_t, uint16_t>>;
  static_assert(kSize >= sizeof(Word));
  const auto same = [&](size_t at) {
    Word a, b;
    std::memcpy(&a, name + at, sizeof a);
    std::memcpy(&b, lower + at, sizeof b);
    return (a | static_cast<Word>(0x2020202020202020u)) == b;
  };
  bool all = same(kSize - sizeof(Word));
  for (size_t at = 0; at + sizeof(Word) < kSize; at += sizeof(Word)) all &= same(at);
  return all;
}

// `name` holds no control character. What is not one of these may be no name at all.
// WHY always inline: a call would take the walks' constants out of their registers.
[[gnu::always_inline]] inline Name exact_name_of(std::string_view name) {
  const char* const n = name.data();
  switch (name.size()) {
    case 2: return name_is(n, "te") ? Name::kTe : Name::kOther;
    case 4: return name_is(n, "host") ? Name::kHost : Name::kOther;
    case 6: return name_is(n, "expect") ? Name::kExpect : Name::kOther;
    case 7: return name_is(n, "upgrade") ? Name::kUpgrade : Name::kOther;
    case 9: return name_is(n, "forwarded") ? Name::kForwarded : Name::kOther;
    case 10:
      if (name_is(n, "connection")) return Name::kConnection;
      return name_is(n, "keep-alive") ? Name::kKeepAlive : Name::kOther;
    case 11:
      if (name_is(n, "traceparent")) return Name::kTraceparent;
      return name_is(n, "grpc-status") ? Name::kGrpcStatus : Name::kOther;
    case 12:
      if (name_is(n, "content-type")) return Name::kContentType;
      if (name_is(n, "x-request-id")) return Name::kXRequestId;
      if (name_is(n, "x-idempotent")) return Name::kXIdempotent;
      return name_is(n, "grpc-timeout") ? Name::kGrpcTimeout : Name::kOther;
    case 14: return name_is(n, "content-length") ? Name::kContentLength : Name::kOther;
    case 16:
      if (name_is(n, "proxy-connection")) return Name::kProxyConnection;
      return name_is(n, "x-forwarded-host") ? Name::kXForwardedHost : Name::kOther;
    case 17:
      if (name_is(n, "transfer-encoding")) return Name::kTransferEncoding;
      return name_is(n, "x-forwarded-proto") ? Name::kXForwardedProto : Name::kOther;
    case 20: return name_is(n, "x-request-timeout-ms") ? Name::kXRequestTimeoutMs : Name::kOther;
    default: return Name::kOther;
  }
}

[[gnu::always_inline]] inline Name name_of(std::string_view name) {
  const Name exact = exact_name_of(name);
  if (exact != Name::kOther || name.size() <= 12 || (name[0] | 0x20) != 'x') return exact;
  return name_is(name.data(), "x-forwarded-") ? Name::kXForwardedOther : Name::kOther;
}

inline void note_name(Field& f, HeadBase& head) {
  f.id = name_of(f.name);
  head.names |= 1u << static_cast<unsigned>(f.id);
}

// A host name or an address in brackets, with an optional port; nothing at all is one too. In head.cc.
bool is_host(std::string_view host);

// The items of a comma-separated list (RFC 9110, 5.6.1), without blanks around them; empty ones are passed over. False:
// `f` said so of one, and the rest was not looked at.
template <class F>
bool for_each_option(std::string_view value, F f) {
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    std::string_view item = value.substr(0, comma);
    value.remove_prefix(std::min(comma + 1, value.size()));
    while (!item.empty() && (item.front() == ' ' || item.front() == '\t')) item.remove_prefix(1);
    while (!item.empty() && (item.back() == ' ' || item.back() == '\t')) item.remove_suffix(1);
    if (!item.empty() && !f(item)) return false;
  }
  return true;
}

}  // namespace colony::http::grammar
