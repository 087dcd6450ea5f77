// The strict parser of HTTP/1.1 heads. Table driven, one pass, no allocation; a head that another parser could read in
// a second way (two lengths, folded lines, bare CR or LF, space before the colon, two hosts) is refused, not repaired:
// what the proxy forwards must mean the same to everybody behind it. Texts and writing are in head_text.cc.
#include "transport/http/head.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "transport/http/head_grammar.h"

namespace colony::http {
namespace {

using namespace grammar;

ParseState bad(ParseError& error, int status, std::string_view message) {
  error = {status, message};
  return ParseState::kBad;
}

enum class Match : uint8_t { kYes, kNo, kMore };
inline Match match(const char* p, const char* end, std::string_view want) {
  const auto there = static_cast<size_t>(end - p);
  if (there >= want.size()) return std::memcmp(p, want.data(), want.size()) == 0 ? Match::kYes : Match::kNo;
  return std::memcmp(p, want.data(), there) == 0 ? Match::kMore : Match::kNo;
}

void reset(HeadBase& head) {
  head.chunked = head.close = head.upgrade = head.http10 = false;
  head.content_length.reset();
  head.count = head.hop_fields = head.names = 0;
}

// What the field loop notes for the checks that need the whole head.
struct Seen {
  std::string_view host;
  bool has_host = false, transfer_encoding = false, upgrade = false, h2c = false;
  bool keep_alive = false, connection_upgrade = false;
  bool names = false;  // Connection names further fields
  bool continue_expected = false;
};

bool valid_host(std::string_view host) {
  const char *p = host.data(), *const end = p + host.size();
  if (p == end) return true;  // a target without an authority
  if (*p == '[') {
    const char* close = static_cast<const char*>(std::memchr(p, ']', host.size()));
    if (close == nullptr || close == p + 1) return false;
    for (const char* q = p + 1; q < close; ++q)
      if (!((*q >= '0' && *q <= '9') || ((*q | 0x20) >= 'a' && (*q | 0x20) <= 'f') || *q == ':' || *q == '.'))
        return false;
    p = close + 1;
  } else {
    p = skip(p, end, kHost);
    if (p == host.data()) return false;
  }
  if (p == end) return true;
  if (*p++ != ':' || end - p > 5) return false;
  unsigned port = 0;
  for (; p < end; ++p) {
    const auto digit = static_cast<unsigned>(*p - '0');
    if (digit > 9) return false;
    port = port * 10 + digit;
  }
  return port <= 65535;
}

// Fields that every recipient needs: Connection naming one of them is an attempt to make a proxy drop it.
bool is_end_to_end(std::string_view name) {
  for (std::string_view n :
       {"host", "content-length", "content-type", "authorization", "cache-control", "cookie", "expect"})
    if (iequals(name, n)) return true;
  return false;
}

bool read_connection(std::string_view value, HeadBase& head, Seen& seen) {
  return for_each_option(value, [&](std::string_view option) {
    if (iequals(option, "close"))
      head.close = true;
    else if (iequals(option, "keep-alive"))
      seen.keep_alive = true;
    else if (iequals(option, "upgrade"))
      seen.connection_upgrade = true;
    else {
      if (!is_token(option) || is_end_to_end(option)) return false;
      seen.names = true;
    }
    return true;
  });
}

void mark_named(HeadBase& head) {
  const std::span<Field> fields{&head.storage.field[0], head.count};
  for (const Field& connection : fields) {
    if (!iequals(connection.name, "connection")) continue;
    for_each_option(connection.value, [&](std::string_view option) {
      for (Field& f : fields) {
        if (f.hop_by_hop || f.name.size() != option.size()) continue;
        bool same = true;
        for (size_t i = 0; same && i < option.size(); ++i) {
          const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
          same = lower(f.name[i]) == lower(option[i]);
        }
        if (!same) continue;
        f.hop_by_hop = true;
        ++head.hop_fields;
      }
      return true;
    });
  }
}

ParseState read_content_length(std::string_view value, HeadBase& head, ParseError& error) {
  if (head.content_length) return bad(error, 400, "Content-Length is there twice");
  if (value.empty()) return bad(error, 400, "Content-Length is empty");
  if (value.size() > 18) return bad(error, 400, "Content-Length is too large");
  uint64_t n = 0;
  for (char c : value) {
    if (c < '0' || c > '9') return bad(error, 400, "Content-Length is not a decimal number");
    n = n * 10 + static_cast<uint64_t>(c - '0');
  }
  head.content_length = n;
  return ParseState::kComplete;
}

// Anything but "chunked" alone: no length can be told when chunked is not the last coding (RFC 9112, 6.3), and before it
// we know no other. WHY "chunked," is refused too: a second parser might take it for another coding.
ParseState why_not_chunked(std::string_view value, ParseError& error) {
  const size_t comma = value.rfind(',');
  std::string_view last = comma == std::string_view::npos ? value : value.substr(comma + 1);
  while (last.starts_with(' ') || last.starts_with('\t')) last.remove_prefix(1);
  if (!iequals(last, "chunked")) return bad(error, 400, "Transfer-Encoding does not end in chunked");
  size_t chunked = 0;
  const bool tokens = for_each_option(value, [&](std::string_view coding) {
    chunked += iequals(coding, "chunked");
    return is_token(coding.substr(0, std::min(coding.find(';'), coding.size())));
  });
  if (!tokens || chunked != 1) return bad(error, 400, "Transfer-Encoding is no list of codings with chunked once");
  return bad(error, 501, "Transfer-Encoding is known with chunked only");
}

constexpr uint32_t kInspected = [] {
  uint32_t bits = 0;
  for (const Name n : {Name::kConnection, Name::kContentLength, Name::kExpect, Name::kHost, Name::kKeepAlive,
                       Name::kProxyConnection, Name::kTe, Name::kTransferEncoding, Name::kUpgrade})
    bits |= 1u << static_cast<unsigned>(n);
  return bits;
}();

// Looks at a field of kInspected, which may matter to the connection. kComplete: go on.
[[gnu::noinline]] ParseState inspect(bool request, Field& f, HeadBase& head, Seen& seen, ParseError& error) {
  switch (f.id) {
    case Name::kTe: f.hop_by_hop = !iequals(f.value, "trailers"); break;
    case Name::kHost:
      if (!request) break;
      if (seen.has_host) return bad(error, 400, "Host is there twice");
      if (!valid_host(f.value)) return bad(error, 400, "Host is not a host name with an optional port");
      seen.has_host = true;
      seen.host = f.value;
      break;
    case Name::kExpect:
      if (!request || head.http10) break;
      if (!for_each_option(f.value, [](std::string_view v) { return iequals(v, "100-continue"); }))
        return bad(error, 417, "Expect is known with 100-continue only");
      seen.continue_expected = true;
      break;
    case Name::kUpgrade:
      f.hop_by_hop = true;
      // HTTP/2 is spoken with prior knowledge only: a client that would take it is not switched to anything.
      for_each_option(f.value, [&](std::string_view v) { return seen.h2c |= iequals(v, "h2c"), true; });
      seen.upgrade = true;
      break;
    case Name::kConnection:
      f.hop_by_hop = true;
      if (!read_connection(f.value, head, seen))
        return bad(error, 400, "Connection names what is not a hop-by-hop field");
      break;
    case Name::kKeepAlive:
    case Name::kProxyConnection: f.hop_by_hop = true; break;
    case Name::kContentLength: return read_content_length(f.value, head, error);
    case Name::kTransferEncoding:
      if (seen.transfer_encoding) return bad(error, 400, "Transfer-Encoding is there twice");
      f.hop_by_hop = seen.transfer_encoding = head.chunked = true;
      if (!iequals(f.value, "chunked")) return why_not_chunked(f.value, error);
      break;
    default: break;
  }
  return ParseState::kComplete;
}

std::string_view why_not_name(char c) {
  switch (c) {
    case ' ':
    case '\t': return "white space in or after a field's name";
    case '\r':
    case '\n': return "a line without a colon";
    case '\0': return "a NUL in a field's name";
    default: return "a character that may not stand in a field's name";
  }
}

std::string_view why_no_name(char c) {
  switch (c) {
    case ' ':
    case '\t': return "a folded line (it begins with white space)";
    case ':': return "a field without a name";
    default: return why_not_name(c);
  }
}

std::string_view why_not_value(char c) {
  switch (c) {
    case '\n': return "a line that ends in LF without CR";
    case '\r': return "a CR without LF";
    case '\0': return "a NUL in a field's value";
    default: return "a control character in a field's value";
  }
}

// A name that is none of ours. kComplete: `at` is at its colon.
[[gnu::noinline]] ParseState check_name(const char*& at, const char* end, const char* floor, ParseError& error) {
  const char* const name = std::exchange(at, skip_token(at, end, floor));
  if (at == end) return ParseState::kNeedMore;
  if (at == name) return bad(error, 400, why_no_name(*at));
  return *at == ':' ? ParseState::kComplete : bad(error, 400, why_not_name(*at));
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

struct Bounds {
  size_t counted, fields, bytes;
};
constexpr Bounds kOuter{kMaxFields, kMaxFields + kMaxAddedFields, kMaxHeadBytes},
    kInner{kMaxInnerFields, kMaxInnerFields, kMaxInnerHeadBytes};

// From the first field, at `at`, to the empty line. kComplete: `at` is behind the empty line.
ParseState parse_fields(bool request, const char*& at, const char* const end, const Bounds& bounds, HeadBase& head,
                        Seen& seen, ParseError& error) {
  const char* p = at;
  const char* const floor = head.start_line.data();
  Field* const first = &head.storage.field[0];
  Field* f = first;
  for (;; ++f) {
    if (p == end) return ParseState::kNeedMore;
    if (*p == '\r') break;
    const char* const name = p;
    p = walk<Colon>(p, end, floor);
    const Name id = p != end && *p == ':' ? name_of({name, p}) : Name::kOther;
    if (id == Name::kOther || id == Name::kXForwardedOther) {  // of the others every byte is known
      const char* colon = name;
      if (auto s = check_name(colon, end, floor, error); s != ParseState::kComplete) [[unlikely]]
        return s;
      p = colon;
    }
    const char* const name_end = p++;
    if (p != end && *p == ' ') ++p;
    while (p != end && is_blank(*p)) [[unlikely]]
      ++p;
    const char* const value = p;
    p = skip_value(p, end, floor);
    if (end - p < 2) [[unlikely]] {
      if (p == end || *p == '\r') return ParseState::kNeedMore;
      return bad(error, 400, why_not_value(*p));
    }
    if (std::memcmp(p, "\r\n", 2) != 0) return bad(error, 400, why_not_value(*p));
    const char* value_end = p;
    while (value_end != value && is_blank(value_end[-1])) [[unlikely]]
      --value_end;
    p += 2;
    if (f == first + bounds.fields) return bad(error, 431, "more than 100 fields");
    f->name = {name, name_end};
    f->value = {value, value_end};
    f->line = {name, p};
    f->hop_by_hop = false;
    f->id = id;
    const auto bit = 1u << static_cast<unsigned>(id);
    head.names |= bit;
    if ((kInspected & bit) == 0) continue;
    if (auto s = inspect(request, *f, head, seen, error); s != ParseState::kComplete) [[unlikely]]
      return s;
    head.hop_fields += f->hop_by_hop;
  }
  if (end - p < 2) return ParseState::kNeedMore;
  if (p[1] != '\n') return bad(error, 400, "a CR without LF");
  at = p + 2;
  head.count = static_cast<uint32_t>(f - first);
  if (head.count > bounds.counted && counted_fields(head) > bounds.counted) [[unlikely]]
    return bad(error, 431, "more than 100 fields");
  if (seen.names) mark_named(head);
  if (head.chunked && head.content_length) return bad(error, 400, "both Content-Length and Transfer-Encoding");
  if (head.chunked && head.http10) return bad(error, 400, "Transfer-Encoding in HTTP/1.0");
  if (head.http10 && !seen.keep_alive) head.close = true;
  head.upgrade = seen.upgrade && !seen.h2c && seen.connection_upgrade && !head.http10 && !head.chunked &&
                 head.content_length.value_or(0) == 0;
  return ParseState::kComplete;
}

// " HTTP/1.1\r\n" after the target, and what is said when it is something else.
ParseState parse_version(const char*& p, const char* end, RequestHead& head, ParseError& error) {
  constexpr std::string_view k11 = " HTTP/1.1\r\n", k10 = " HTTP/1.0\r\n";
  const Match now = match(p, end, k11);
  head.as_received = now == Match::kYes && head.target.front() == '/';
  if (now != Match::kYes) {
    const Match old = match(p, end, k10);
    if (now == Match::kMore || old == Match::kMore) return ParseState::kNeedMore;
    if (old == Match::kNo) {
      if (*p == '\r' || *p == '\n') return bad(error, 400, "the request line holds no HTTP version");
      if (*p != ' ') return bad(error, 400, "a character that may not stand in the request target");
      if (match(p, end, " HTTP/") != Match::kYes)
        return bad(error, 400, "the request line does not end in an HTTP version");
      const size_t left = static_cast<size_t>(end - p);
      const auto digit = [&](size_t i) { return left <= i || (p[i] >= '0' && p[i] <= '9'); };
      if (!digit(6) || (left > 7 && p[7] != '.') || !digit(8)) return bad(error, 400, "a malformed HTTP version");
      if (left > 8 && p[6] == '1' && (p[8] == '0' || p[8] == '1'))
        return bad(error, 400, "the request line does not end in CRLF after the version");
      if (left < 9) return ParseState::kNeedMore;
      if (p[6] == '1') {  // a higher minor version is read as ours (RFC 9110, 2.5)
        const Match line_end = match(p + 9, end, "\r\n");
        if (line_end == Match::kMore) return ParseState::kNeedMore;
        if (line_end == Match::kNo) return bad(error, 400, "the request line does not end in CRLF after the version");
        p += k11.size();
        return ParseState::kComplete;
      }
      return bad(error, 505, "only HTTP/1.1 and HTTP/1.0 are spoken in this form");
    }
    head.http10 = true;
  }
  p += k11.size();
  return ParseState::kComplete;
}

// Splits the target into path and query; absolute-form also into the authority, which counts instead of Host (RFC 9112,
// 3.2.2).
ParseState read_target(RequestHead& head, const Seen& seen, ParseError& error) {
  std::string_view t = head.target;
  head.authority = seen.host;
  if (head.method == "CONNECT") return bad(error, 501, "CONNECT is not offered");
  if (t == "*") {
    if (head.method != "OPTIONS") return bad(error, 400, "the target * belongs to OPTIONS");
    head.path = t;
    head.query = {};
    return ParseState::kComplete;
  }
  if (t.front() != '/') {
    size_t scheme = 0;
    if (t.size() > 7 && iequals(t.substr(0, 7), "http://"))
      scheme = 7;
    else if (t.size() > 8 && iequals(t.substr(0, 8), "https://"))
      scheme = 8;
    else
      return bad(error, 400, "the target is neither a path nor an http URL");
    t.remove_prefix(scheme);
    const size_t stop = std::min(t.find_first_of("/?"), t.size());
    head.authority = t.substr(0, stop);
    t.remove_prefix(stop);
    if (head.authority.empty() || !valid_host(head.authority))
      return bad(error, 400, "the target's authority is no host name");
    if (t.empty()) t = head.method == "OPTIONS" ? "*" : "/";
  }
  const size_t mark = t.find('?');
  head.path = t.substr(0, mark);
  head.query = mark == std::string_view::npos ? std::string_view{} : t.substr(mark + 1);
  if (head.path.empty()) head.path = "/";
  return ParseState::kComplete;
}

ParseState more_or_too_large(std::string_view data, const Bounds& bounds, ParseState state, ParseError& error) {
  if (state == ParseState::kNeedMore && data.size() >= bounds.bytes)
    return bad(error, 431, "the head is larger than 64 KiB");
  return state;
}

ParseState parse_request(std::string_view data, const Bounds& bounds, RequestHead& head, ParseError& error) {
  const char *const begin = data.data(), *const end = begin + std::min(data.size(), bounds.bytes);
  const char* p = skip(begin, end, kToken);
  if (p == end) return ParseState::kNeedMore;
  if (p == begin || *p != ' ') return bad(error, 400, "the request line does not begin with a method");
  head.method = {begin, p};
  const char* target = ++p;
  p = skip_target(p, end, begin);
  if (p == end) return ParseState::kNeedMore;
  if (p == target) return bad(error, 400, "the request line holds no target");
  head.target = {target, p};
  if (auto s = parse_version(p, end, head, error); s != ParseState::kComplete) return s;
  head.start_line = {begin, p};
  Seen seen;
  if (auto s = parse_fields(true, p, end, bounds, head, seen, error); s != ParseState::kComplete) return s;
  head.block = {begin, p};
  if (!seen.has_host && !head.http10) return bad(error, 400, "Host is missing");
  head.expect_continue = seen.continue_expected;
  return read_target(head, seen, error);
}

// A length of nothing is harmless and common, and may not travel on all the same (RFC 9110, 8.6).
void drop_length(ReplyHead& head) {
  for (Field& f : std::span<Field>{&head.storage.field[0], head.count}) {
    if (f.id != Name::kContentLength) continue;
    f.hop_by_hop = true;
    ++head.hop_fields;
  }
}

ParseState parse_reply(std::string_view data, const Bounds& bounds, ReplyHead& head, ParseError& error) {
  const char *const begin = data.data(), *const end = begin + std::min(data.size(), bounds.bytes);
  const char* p = begin;
  if (const Match now = match(p, end, "HTTP/1.1 "); now != Match::kYes) {
    const Match old = match(p, end, "HTTP/1.0 ");
    if (now == Match::kNo && old == Match::kNo) return bad(error, 502, "the status line does not begin with HTTP/1.1");
    if (old != Match::kYes) return ParseState::kNeedMore;
    head.http10 = true;
  }
  p += 9;
  head.status = 0;
  for (int i = 0; i < 3; ++i, ++p) {
    if (p == end) return ParseState::kNeedMore;
    if (*p < '0' || *p > '9') return bad(error, 502, "the status is not three digits");
    head.status = head.status * 10 + (*p - '0');
  }
  if (head.status < 100 || head.status > 599) return bad(error, 502, "the status is not between 100 and 599");
  if (p == end) return ParseState::kNeedMore;
  if (*p != ' ') return bad(error, 502, "no space after the status");
  p = skip_value(p, end, begin);
  if (p == end || (*p == '\r' && end - p < 2)) return ParseState::kNeedMore;
  if (*p != '\r' || p[1] != '\n') return bad(error, 502, why_not_value(*p));
  p += 2;
  head.start_line = {begin, p};
  Seen seen;
  if (auto s = parse_fields(false, p, end, bounds, head, seen, error); s != ParseState::kComplete) return s;
  head.block = {begin, p};
  if (head.status < 200 || head.status == 204) {
    if (head.chunked) return bad(error, 502, "Transfer-Encoding in a reply that has no body");
    if (head.content_length.value_or(0) > 0) return bad(error, 502, "Content-Length in a reply that has no body");
    if (head.content_length) drop_length(head);
  }
  return ParseState::kComplete;
}

ParseState request_within(const Bounds& bounds, std::string_view data, RequestHead& head, ParseError& error) {
  reset(head);
  return more_or_too_large(data, bounds, parse_request(data, bounds, head, error), error);
}

ParseState reply_within(const Bounds& bounds, std::string_view data, ReplyHead& head, ParseError& error) {
  reset(head);
  const ParseState state = more_or_too_large(data, bounds, parse_reply(data, bounds, head, error), error);
  if (state == ParseState::kBad) error.status = 502;
  return state;
}

}  // namespace

ParseState parse_request_head(std::string_view data, RequestHead& head, ParseError& error) {
  return request_within(kOuter, data, head, error);
}
ParseState parse_reply_head(std::string_view data, ReplyHead& head, ParseError& error) {
  return reply_within(kOuter, data, head, error);
}
ParseState parse_inner_request_head(std::string_view data, RequestHead& head, ParseError& error) {
  return request_within(kInner, data, head, error);
}
ParseState parse_inner_reply_head(std::string_view data, ReplyHead& head, ParseError& error) {
  return reply_within(kInner, data, head, error);
}

size_t counted_fields(const HeadBase& head) {
  return static_cast<size_t>(std::ranges::count_if(head.fields(), [](const Field& f) {
    switch (f.id) {
      case Name::kContentLength:
      case Name::kForwarded:
      case Name::kTraceparent:
      case Name::kTransferEncoding:
      case Name::kXForwardedHost:
      case Name::kXForwardedOther:
      case Name::kXForwardedProto:
      case Name::kXRequestId: return false;
      default: return true;
    }
  }));
}

bool is_token(std::string_view s) {
  using namespace grammar;
  return !s.empty() && skip_token(s.data(), s.data() + s.size(), s.data()) == s.data() + s.size();
}
bool is_field_value(std::string_view s) {
  using namespace grammar;
  return skip_value(s.data(), s.data() + s.size(), s.data()) == s.data() + s.size();
}
bool grammar::is_host(std::string_view host) { return valid_host(host); }

}  // namespace colony::http
