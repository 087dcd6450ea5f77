// What one field of a request's header list may look like (RFC 9113, 8.2 and 8.3), and which of them the connection has to
// know. The answer is a mark that an HPACK table keeps beside the field, so that what a client sends with every request
// is looked at once. Pure.
#pragma once

#include <cstdint>

#include "transport/http/hpack_decoder.h"

namespace colony::http {

struct H2Field {
  enum Name : uint32_t {
    kOther,
    kMethod,
    kScheme,
    kPath,
    kAuthority,
    kHost,
    kCookie,
    kContentLength,
    kExpect,
    kUnwanted,  // in trailers: what belongs to the head or to the connection
  };
  static constexpr uint32_t kNameMask = 0xff;
  // The request is malformed: its stream is reset.
  static constexpr uint32_t kMalformed = 0x100;
  // It is well formed, and refused with an answer: a host or a path that others may read differently, an expectation that
  // nobody knows.
  static constexpr uint32_t kRefused = 0x200;
  // Of kScheme: http or https.
  static constexpr uint32_t kHttp = 0x400;

  static Name name_of(uint32_t mark) { return static_cast<Name>(mark & kNameMask); }
  static bool is_pseudo(uint32_t mark) { return name_of(mark) >= kMethod && name_of(mark) <= kAuthority; }
  static uint32_t mark(std::string_view name, std::string_view value);
  static const HpackMarks& marks();
};

}  // namespace colony::http
