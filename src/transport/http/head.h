// The HTTP/1.1 head block as plain views, and the strict parser that makes them (RFC 9110, 9112). One form for every
// carrier: HTTP/1.1 keeps the bytes as they came, HTTP/2 writes the same text from its header list, the framed link
// carries it unchanged. So there is one parser, and a replica needs no other. Pure: no I/O, no allocation.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace colony::http {

inline constexpr size_t kMaxFields = 100;           // LIMIT: more is 431; see counted_fields()
inline constexpr size_t kMaxAddedFields = 16;       // LIMIT: of those beside them that do not count
inline constexpr size_t kMaxHeadBytes = 64 * 1024;  // LIMIT: more is 431
// Of a head that has passed those on its way in and travels on with lines of ours, some of which repeat its host.
inline constexpr size_t kMaxInnerFields = kMaxFields + kMaxAddedFields + 16;
inline constexpr size_t kMaxInnerHeadBytes = 4 * kMaxHeadBytes;

// The names that many requests are asked for, found out once by the parser.
enum class Name : uint8_t {
  kOther,
  kConnection,
  kContentLength,
  kContentType,
  kExpect,
  kForwarded,
  kGrpcStatus,
  kGrpcTimeout,
  kHost,
  kKeepAlive,
  kProxyConnection,
  kTe,
  kTraceparent,
  kTransferEncoding,
  kUpgrade,
  kXForwardedHost,
  kXForwardedOther,
  kXForwardedProto,
  kXIdempotent,
  kXRequestId,
  kXRequestTimeoutMs,
};

struct Field {
  std::string_view name;   // as it came
  std::string_view value;  // without surrounding white space
  bool hop_by_hop;         // Connection and what it names, Keep-Alive, Proxy-Connection, TE (but "trailers"),
                           // Transfer-Encoding, Upgrade; Content-Length of an interim reply or a 204
  Name id;
  std::string_view line;  // the whole line with CRLF
};

enum class ParseState : uint8_t { kComplete, kNeedMore, kBad };

struct HeadBase {
  std::string_view block;       // start line, fields, empty line: all of the head as it came
  std::string_view start_line;  // with CRLF
  bool chunked = false;         // Transfer-Encoding: chunked (the only coding that is accepted)
  bool close = false;           // Connection: close, or HTTP/1.0 without keep-alive
  bool upgrade = false;         // Connection: upgrade with an Upgrade field other than h2c, HTTP/1.1, no body
  bool http10 = false;
  std::optional<uint64_t> content_length;
  uint32_t count = 0;
  uint32_t names = 0;  // one bit per Name that is among the fields
  // WHY a union: 8 KB that the parser fills as far as it needs; clearing them would cost more than a usual parse. So a
  // head may live on the stack of whoever parses.
  union Storage {
    Storage() {}  // NOLINT: deliberately uninitialised
    Field field[kMaxInnerFields];
  } storage;

  std::span<const Field> fields() const { return {&storage.field[0], count}; }
  // First field of that name (given in lower case), or nullopt.
  std::optional<std::string_view> find(std::string_view lower_name) const;
  bool has(Name id) const { return (names >> static_cast<unsigned>(id) & 1) != 0; }
  const Field* find(Name id) const;  // the first, or null
  bool has_hop_fields() const { return hop_fields > 0; }
  uint32_t hop_fields = 0;
};

struct RequestHead : HeadBase {
  std::string_view method;
  std::string_view target;     // as it came; absolute-form is split: authority and path below
  std::string_view path;       // "/v2/models/m"; "*" for OPTIONS *
  std::string_view query;      // without '?', empty if none
  std::string_view authority;  // Host (or :authority)
  bool expect_continue = false;
  bool as_received =
      true;  // the start line and Host may travel on as they are; else append_forwardable() rewrites them
  bool has_body() const { return chunked || (content_length && *content_length > 0); }
  bool is_grpc() const;  // content-type begins with application/grpc
};

struct ReplyHead : HeadBase {
  int status = 0;
  bool bodiless() const { return status < 200 || status == 204 || status == 304; }  // whatever the fields say
};

// The fields that a bound on their number is about: all but those that a proxy on the way adds (Content-Length,
// Transfer-Encoding, Forwarded, X-Forwarded-*, X-Request-Id, Traceparent). So what one Colony takes, the next does too.
size_t counted_fields(const HeadBase& head);

struct ParseError {
  int status = 400;          // what to answer: 400, 417 (unknown expectation), 431, 501 (unknown coding), 505
  std::string_view message;  // static text that names what is wrong
};

// Parses the head at the start of `data`. kComplete: head.block.size() bytes belong to it. `head` may hold anything
// before; unless kComplete is returned it holds nothing of use afterwards.
ParseState parse_request_head(std::string_view data, RequestHead& head, ParseError& error);
ParseState parse_reply_head(std::string_view data, ReplyHead& head, ParseError& error);
// Of heads between the parts of Colony: the same within the inner bounds.
ParseState parse_inner_request_head(std::string_view data, RequestHead& head, ParseError& error);
ParseState parse_inner_reply_head(std::string_view data, ReplyHead& head, ParseError& error);

// Appends the head without its hop-by-hop fields; `extra` ("name: value\r\n" lines) goes before the empty line.
void append_forwardable(std::string& out, const HeadBase& head, std::string_view extra);
// Of a request also: HTTP/1.1 in the start line, the target in origin-form, and Host as the target's authority says.
void append_forwardable(std::string& out, const RequestHead& head, std::string_view extra);

// Lower-cases ASCII; compares without regard to case (b in lower case).
bool iequals(std::string_view a, std::string_view b_lower);
// Whether a field of that name tells where a request came from: Forwarded and X-Forwarded-*.
bool tells_origin(std::string_view name);
// RFC 9110 grammar. A token is a method or a field's name; a value holds no control character but HTAB.
bool is_token(std::string_view s);
bool is_field_value(std::string_view s);
// Percent-decodes a path segment; nullopt for a broken escape or a NUL.
std::optional<std::string> percent_decode(std::string_view s);
std::string_view status_text(int status);  // "Not Found"

// Builds "HTTP/1.1 200 OK\r\nname: value\r\n...\r\n\r\n". Values must hold no CR, LF or NUL (CHECK).
class HeadWriter {
 public:
  static HeadWriter reply(int status);
  static HeadWriter request(std::string_view method, std::string_view target);
  HeadWriter& field(std::string_view name, std::string_view value);
  HeadWriter& field(std::string_view name, uint64_t value);
  std::string finish();  // the writer is spent

 private:
  std::string text_;
};

}  // namespace colony::http
