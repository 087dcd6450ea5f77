// What is done with heads beside parsing: looking fields up, writing them, forwarding them without what belongs to one
// connection, and the small texts around them (status words, percent escapes).
#include <charconv>
#include <cstring>
#include <iterator>

#include "base/check.h"
#include "transport/http/head.h"
#include "transport/http/head_grammar.h"

namespace colony::http {

bool iequals(std::string_view a, std::string_view b_lower) {
  if (a.size() != b_lower.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const char c = a[i] >= 'A' && a[i] <= 'Z' ? static_cast<char>(a[i] | 0x20) : a[i];
    if (c != b_lower[i]) return false;
  }
  return true;
}

bool tells_origin(std::string_view name) {
  constexpr std::string_view kPrefix = "x-forwarded-";
  if (name.size() <= kPrefix.size()) return iequals(name, "forwarded");
  return iequals(name.substr(0, kPrefix.size()), kPrefix);
}

std::optional<std::string_view> HeadBase::find(std::string_view lower_name) const {
  for (const Field& f : fields())
    if (iequals(f.name, lower_name)) return f.value;
  return std::nullopt;
}

const Field* HeadBase::find(Name id) const {
  if (!has(id)) return nullptr;
  const Field* f = &storage.field[0];
  while (f->id != id) ++f;
  return f;
}

bool RequestHead::is_grpc() const {
  constexpr std::string_view kType = "application/grpc";
  const Field* const type = find(Name::kContentType);
  // A value holds no control character, so that it may be compared like a name.
  if (!type || type->value.size() < kType.size() || !grammar::name_is(type->value.data(), "application/grpc"))
    return false;
  const std::string_view rest = type->value.substr(kType.size());  // application/grpc-web is another protocol
  return rest.empty() || rest[0] == '+' || rest[0] == ';' || rest[0] == ' ';
}

void append_forwardable(std::string& out, const HeadBase& head, std::string_view extra) {
  const size_t before = out.size();
  out.resize_and_overwrite(before + head.block.size() + extra.size(), [&](char* begin, size_t) {
    char* to = begin + before;
    const auto put = [&](const char* from, const char* end) {
      std::memcpy(to, from, static_cast<size_t>(end - from));
      to += end - from;
    };
    const char* run = head.block.data();
    const char* const empty_line = run + head.block.size() - 2;
    if (head.has_hop_fields()) {
      for (const Field& f : head.fields()) {
        if (!f.hop_by_hop) continue;
        put(run, f.line.data());
        run = f.line.data() + f.line.size();
      }
    }
    put(run, empty_line);
    if (!extra.empty()) put(extra.data(), extra.data() + extra.size());
    put(empty_line, empty_line + 2);
    return static_cast<size_t>(to - begin);
  });
}

void append_forwardable(std::string& out, const RequestHead& head, std::string_view extra) {
  if (head.as_received) return append_forwardable(out, static_cast<const HeadBase&>(head), extra);
  out.append(head.method).append(1, ' ').append(head.path);
  if (head.query.data() != nullptr) out.append(1, '?').append(head.query);
  out.append(" HTTP/1.1\r\nHost: ").append(head.authority).append("\r\n");
  for (const Field& f : head.fields())
    if (!f.hop_by_hop && !iequals(f.name, "host") && !(head.http10 && iequals(f.name, "expect"))) out += f.line;
  out.append(extra).append("\r\n");
}

std::optional<std::string> percent_decode(std::string_view s) {
  const auto hex = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const int lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  std::string out;
  out.reserve(s.size());
  for (size_t i = 0; i < s.size(); ++i) {
    char c = s[i];
    if (c == '%') {
      if (i + 2 >= s.size()) return std::nullopt;
      const int high = hex(s[i + 1]), low = hex(s[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return std::nullopt;
    out += c;
  }
  return out;
}

std::string_view status_text(int status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    default: return "Unknown";
  }
}

HeadWriter HeadWriter::reply(int status) {
  HeadWriter w;
  w.text_.reserve(160);
  w.text_ = "HTTP/1.1 ";
  w.text_ += std::to_string(status);
  w.text_ += ' ';
  w.text_ += status_text(status);
  w.text_ += "\r\n";
  return w;
}

HeadWriter HeadWriter::request(std::string_view method, std::string_view target) {
  HeadWriter w;
  CHECK(is_token(method) && !target.empty() && target.find_first_of(std::string_view(" \t\r\n\0", 5)) == target.npos);
  w.text_.reserve(200);
  w.text_.append(method).append(1, ' ').append(target).append(" HTTP/1.1\r\n");
  return w;
}

HeadWriter& HeadWriter::field(std::string_view name, std::string_view value) {
  CHECK(is_token(name) && is_field_value(value));
  text_.append(name).append(": ").append(value).append("\r\n");
  return *this;
}

HeadWriter& HeadWriter::field(std::string_view name, uint64_t value) {
  char digits[24];
  const auto [end, ec] = std::to_chars(std::begin(digits), std::end(digits), value);
  CHECK(ec == std::errc());
  return field(name, std::string_view(digits, end));
}

std::string HeadWriter::finish() {
  text_ += "\r\n";
  return std::move(text_);
}

}  // namespace colony::http
