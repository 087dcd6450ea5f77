// x-forwarded-for and forwarded are added as lines of their own: several lines of one list field are one list (RFC 9110,
// 5.3), so what a trusted source sent is extended without being rewritten.
#include "request/proxy/forward/request_fields.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <initializer_list>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/check.h"
#include "observe/trace.h"
#include "transport/grpc/status.h"

namespace colony::proxy {
namespace {

constexpr uint32_t bits(std::initializer_list<http::Name> names) {
  uint32_t out = 0;
  for (const http::Name n : names) out |= 1u << static_cast<unsigned>(n);
  return out;
}
// What read_fields() looks into.
constexpr uint32_t kRead =
    bits({http::Name::kForwarded, http::Name::kGrpcTimeout, http::Name::kTraceparent, http::Name::kXForwardedHost,
          http::Name::kXForwardedOther, http::Name::kXForwardedProto, http::Name::kXIdempotent, http::Name::kXRequestId,
          http::Name::kXRequestTimeoutMs});

constexpr size_t kHexId = 32;
constexpr size_t kAddedMost = 320;  // bytes of the lines that are added, beside the ids, addresses and hosts in them

// The sixteen digits of `v`.
char* put_hex(char* to, uint64_t v) {
#ifdef __SSE2__
  // All at once: a byte per nibble, the high one of each pair first; those above nine are moved on to 'a'.
  const __m128i bytes = _mm_cvtsi64_si128(static_cast<int64_t>(std::byteswap(v))), low = _mm_set1_epi8(15);
  const __m128i digits = _mm_unpacklo_epi8(_mm_and_si128(_mm_srli_epi16(bytes, 4), low), _mm_and_si128(bytes, low));
  const __m128i letters = _mm_and_si128(_mm_cmpgt_epi8(digits, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_add_epi8(_mm_add_epi8(digits, _mm_set1_epi8('0')), letters));
#else
  for (int i = 0; i < 16; ++i) to[i] = "0123456789abcdef"[v >> (60 - 4 * i) & 15];
#endif
  return to + 16;
}

// Text at the end of a string, whose room is made once: at most `most` bytes are put.
template <class Fn>
void append_at_most(std::string& out, size_t most, Fn put) {
  const size_t before = out.size();
  out.resize_and_overwrite(before + most, [&](char* begin, size_t) {
    const char* const end = put(begin + before);
    CHECK(end <= begin + before + most);
    return static_cast<size_t>(end - begin);
  });
}

char* put(char* to, std::string_view text) {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

// Takes out the lines of `block`, a whole head without its last empty line, whose names are unwanted. WHY by name, line by
// line, and not by their text: the text may stand in another line as well, and half a line would become part of the next.
template <class Unwanted>
void drop_lines(std::string& block, Unwanted unwanted) {
  size_t to = block.find('\n') + 1;
  for (size_t from = to; from < block.size();) {
    const size_t end = block.find('\n', from) + 1;
    const std::string_view line = std::string_view(block).substr(from, end - from);
    if (!unwanted(line.substr(0, line.find(':')))) {
      if (to != from) std::memmove(block.data() + to, block.data() + from, line.size());
      to += line.size();
    }
    from = end;
  }
  block.resize(to);
}

// RFC 7239. A host that would have to be escaped is left out.
char* put_forwarded(char* to, std::string_view from, std::string_view host, bool secure) {
  to = put(to, "forwarded: for=");
  if (from.find(':') != std::string_view::npos)
    to = put(put(put(to, "\"["), from), "]\"");
  else
    to = put(to, from.find('.') != std::string_view::npos ? from : "unknown");
  if (!host.empty() && host.find_first_of("\"\\") == std::string_view::npos)
    to = put(put(put(to, ";host=\""), host), "\"");
  return put(to, secure ? ";proto=https\r\n" : ";proto=http\r\n");
}

}  // namespace

RequestFields read_fields(const http::RequestHead& head) {
  RequestFields out;
  if ((head.names & kRead) == 0) return out;
  for (const http::Field& f : head.fields()) {
    switch (f.id) {
      case http::Name::kForwarded: out.origin = out.forwarded = true; break;
      case http::Name::kXForwardedProto: out.origin = out.forwarded_proto = true; break;
      case http::Name::kXForwardedHost: out.origin = out.forwarded_host = true; break;
      case http::Name::kXForwardedOther: out.origin = true; break;
      case http::Name::kTraceparent:
        if (out.traceparent.empty() && observe::parse_traceparent(f.value))
          out.traceparent = f.value;
        else
          out.rewrite_traceparent = true;
        break;
      case http::Name::kXRequestId:
        if (out.request_id.empty() && observe::valid_request_id(f.value))
          out.request_id = f.value;
        else
          out.rewrite_request_id = true;
        break;
      case http::Name::kXIdempotent: out.idempotent = http::iequals(f.value, "true"); break;
      case http::Name::kGrpcTimeout:
        if (auto t = grpc::parse_timeout(f.value))
          out.timeout = std::min(out.timeout, *t);
        else
          out.bad_timeout = true;
        break;
      case http::Name::kXRequestTimeoutMs: {
        uint64_t ms = 0;
        const auto [end, ec] = std::from_chars(f.value.data(), f.value.data() + f.value.size(), ms);
        if (ec != std::errc() || end != f.value.data() + f.value.size() || f.value.empty())
          out.bad_timeout = true;
        else
          out.timeout =
              std::min<Duration>(out.timeout, std::chrono::milliseconds(std::min<uint64_t>(ms, 1'000'000'000)));
        break;
      }
      default: break;
    }
  }
  return out;
}

void append_upgrade_lines(std::string& out, const http::HeadBase& head) {
  out += "connection: upgrade\r\nupgrade: ";
  out += head.find("upgrade").value_or("");
  out += "\r\n";
}

void choose_request_id(const RequestFields& fields, Rng& rng, std::string& request_id) {
  if (!fields.request_id.empty()) {
    request_id.assign(fields.request_id);
    return;
  }
  request_id.clear();
  append_at_most(request_id, kHexId, [&](char* to) {
    to = put_hex(to, rng.next());
    return put_hex(to, rng.next());
  });
}

void append_request_block(std::string& block, const http::RequestHead& head, const RequestFields& fields,
                          const Hop& hop, const TrustedSources& trusted, Rng& rng, std::string& request_id) {
  block.clear();
  http::append_forwardable(block, head, {});
  block.resize(block.size() - 2);
  const bool believed = fields.origin && trusted.contains(hop.peer);
  const bool hide_origin = fields.origin && !believed;
  if (hide_origin || fields.rewrite_request_id || fields.rewrite_traceparent) [[unlikely]]
    drop_lines(block, [&](std::string_view name) {
      return (hide_origin && http::tells_origin(name)) ||
             (fields.rewrite_request_id && http::iequals(name, "x-request-id")) ||
             (fields.rewrite_traceparent && http::iequals(name, "traceparent"));
    });

  if (head.upgrade) append_upgrade_lines(block, head);

  choose_request_id(fields, rng, request_id);
  const std::string_view from = host_of(hop.peer);
  const std::string_view host = head.authority;
  const size_t most = kAddedMost + request_id.size() + fields.traceparent.size() + 2 * from.size() + 2 * host.size();
  append_at_most(block, most, [&](char* to) {
    if (fields.request_id.empty() || fields.rewrite_request_id)
      to = put(put(put(to, "x-request-id: "), request_id), "\r\n");
    if (!fields.traceparent.empty()) {
      if (fields.rewrite_traceparent) to = put(put(put(to, "traceparent: "), fields.traceparent), "\r\n");
    } else {
      // Version 00, sampled; an id of zeros would be invalid, so the lowest bit is set.
      to = put(to, "traceparent: 00-");
      to = put_hex(to, rng.next());
      to = put(put_hex(to, rng.next() | 1), "-");
      to = put(put_hex(to, rng.next() | 1), "-01\r\n");
    }
    to = put(put(put(to, "x-forwarded-for: "), from), "\r\n");
    if (!believed || !fields.forwarded_proto)
      to = put(to, hop.secure ? std::string_view("x-forwarded-proto: https\r\n") : "x-forwarded-proto: http\r\n");
    if (!host.empty() && (!believed || !fields.forwarded_host))
      to = put(put(put(to, "x-forwarded-host: "), host), "\r\n");
    if (fields.forwarded) to = put_forwarded(to, from, host, hop.secure);
    return put(to, "\r\n");
  });
}

}  // namespace colony::proxy
