// Whole replies and the one shape of errors, for every carrier.
#include "transport/http/exchange.h"

#include <array>

namespace colony::http {
namespace {

// Length of the well-formed UTF-8 character at the start of `s`, 0 if there is none (Unicode, table 3-7).
size_t utf8_length(std::string_view s) {
  const auto at = [&](size_t i) { return i < s.size() ? static_cast<uint8_t>(s[i]) : uint8_t{0}; };
  const auto follows = [&](size_t i) { return (at(i) & 0xc0) == 0x80; };
  const uint8_t c = at(0);
  if (c < 0x80) return 1;
  if (c >= 0xc2 && c <= 0xdf) return follows(1) ? 2 : 0;
  if (c >= 0xe0 && c <= 0xef) {
    if (!follows(1) || !follows(2) || (c == 0xe0 && at(1) < 0xa0) || (c == 0xed && at(1) > 0x9f)) return 0;
    return 3;
  }
  if (c >= 0xf0 && c <= 0xf4) {
    if (!follows(1) || !follows(2) || !follows(3) || (c == 0xf0 && at(1) < 0x90) || (c == 0xf4 && at(1) > 0x8f))
      return 0;
    return 4;
  }
  return 0;
}

void append_json_string(std::string& out, std::string_view s) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  while (!s.empty()) {
    const char c = s.front();
    const size_t n = utf8_length(s);
    if (n == 0) {
      out += "\xef\xbf\xbd";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      if (c == '\n') {
        out += "\\n";
      } else {
        out += "\\u00";
        out += kHex[static_cast<uint8_t>(c) >> 4];
        out += kHex[static_cast<uint8_t>(c) & 15];
      }
    } else {
      out += s.substr(0, n);
    }
    s.remove_prefix(n == 0 ? 1 : n);
  }
  out += '"';
}

// grpc-message: everything but printable ASCII and '%' itself is percent-encoded.
std::string grpc_message(std::string_view s) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(s.size());
  for (char c : s.substr(0, 4096)) {
    if (c >= 0x20 && c < 0x7f && c != '%') {
      out += c;
    } else {
      out += '%';
      out += kHex[static_cast<uint8_t>(c) >> 4];
      out += kHex[static_cast<uint8_t>(c) & 15];
    }
  }
  return out;
}

std::string with_extra(std::string head, std::string_view extra) {
  if (!extra.empty()) head.insert(head.size() - 2, extra);
  return head;
}

}  // namespace

std::string error_json(const Error& error) {
  std::string out;
  out.reserve(error.message.size() + error.reason.size() + 64);
  out += "{\"error\":";
  append_json_string(out, error.message);
  out += ",\"code\":";
  append_json_string(out, code_name(error.code));
  out += ",\"reason\":";
  append_json_string(out, error.reason);
  out += "}";
  return out;
}

void reply_with(Exchange& exchange, int status, std::string_view content_type, std::string_view body,
                std::string_view extra) {
  HeadWriter head = HeadWriter::reply(status);
  if (!content_type.empty()) head.field("content-type", content_type);
  if (status != 204 && status != 304) head.field("content-length", body.size());
  exchange.reply(with_extra(head.finish(), extra), body, More::kNo);
}

void reply_error(Exchange& exchange, bool grpc, const Error& error, std::string_view extra) {
  const int status = http_status(error.code);
  std::string lines(extra);
  if (!error.reason.empty()) lines += "x-colony-reason: " + error.reason + "\r\n";
  if (status == 429 || status == 503) {
    constexpr std::string_view kName = "retry-after: ";
    size_t at = lines.find(kName);
    if (at == lines.npos) {
      at = lines.size();
      lines += "retry-after: 1\r\n";
    }
    if (grpc) {
      const size_t from = at + kName.size();
      lines += "grpc-retry-pushback-ms: " + lines.substr(from, lines.find('\r', from) - from) + "000\r\n";
    }
  }
  if (grpc) {
    HeadWriter head = HeadWriter::reply(200);
    head.field("content-type", "application/grpc");
    head.field("grpc-status", static_cast<uint64_t>(error.code));
    head.field("grpc-message", grpc_message(error.message));
    exchange.reply(with_extra(head.finish(), lines), {}, More::kNo);
    return;
  }
  reply_with(exchange, status, "application/json", error_json(error), lines);
}

}  // namespace colony::http
