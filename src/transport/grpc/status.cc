// See status.h.
#include "transport/grpc/status.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace colony::grpc {
namespace {

constexpr size_t kMaxMessage = 4096;  // LIMIT: of grpc-message after encoding, so that trailers fit any peer's bound

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool starts_with_ignoring_case(std::string_view s, std::string_view lower) {
  if (s.size() < lower.size()) return false;
  for (size_t i = 0; i < lower.size(); ++i) {
    const char c = s[i] >= 'A' && s[i] <= 'Z' ? static_cast<char>(s[i] | 0x20) : s[i];
    if (c != lower[i]) return false;
  }
  return true;
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

// A reason is a word of ours; anything else would not survive as a header value.
bool is_word(std::string_view s) {
  return !s.empty() && s.size() <= 64 && std::all_of(s.begin(), s.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  });
}

}  // namespace

std::string encode_message(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u >= 0x20 && u <= 0x7e && c != '%') {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[u >> 4]);
      out.push_back(kHex[u & 15]);
    }
    if (out.size() >= kMaxMessage) break;
  }
  // White space at the ends would be lost as the field's own.
  for (const bool front : {true, false}) {
    if (out.empty() || (front ? out.front() : out.back()) != ' ') continue;
    out.replace(front ? 0 : out.size() - 1, 1, "%20");
  }
  return out;
}

std::string decode_message(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string error_trailers(const Error& error) {
  std::string out = fmt::format("grpc-status: {}\r\ngrpc-message: {}\r\n", static_cast<int>(error.code),
                                encode_message(error.message));
  if (is_word(error.reason)) out += fmt::format("x-colony-reason: {}\r\n", error.reason);
  if (error.code == Code::kUnavailable) out += "retry-after: 1\r\ngrpc-retry-pushback-ms: 1000\r\n";
  return out;
}

std::string trailers_only_head(const Error& error) {
  return fmt::format("HTTP/1.1 200 OK\r\ncontent-type: {}\r\n{}\r\n", kContentType, error_trailers(error));
}

Result<void> status_from_trailers(std::string_view lines) {
  std::optional<std::string_view> status, message, reason;
  while (!lines.empty()) {
    const size_t eol = lines.find("\r\n");
    const std::string_view line = lines.substr(0, eol);
    lines.remove_prefix(eol == std::string_view::npos ? lines.size() : eol + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
    const auto take = [&](std::string_view lower, std::optional<std::string_view>& into) {
      if (name.size() == lower.size() && starts_with_ignoring_case(name, lower) && !into) into = value;
    };
    take("grpc-status", status);
    take("grpc-message", message);
    take("x-colony-reason", reason);
  }
  if (!status) {
    return fail({Code::kUnknown, "the reply ended without a grpc-status", "no_status", Origin::kUpstream});
  }
  unsigned code = 0;
  const auto [end, problem] = std::from_chars(status->data(), status->data() + status->size(), code);
  if (problem != std::errc{} || end != status->data() + status->size() || code > 16) {
    return fail({Code::kUnknown, fmt::format("grpc-status is \"{}\"; a number from 0 to 16 is right", *status),
                 "bad_status", Origin::kUpstream});
  }
  if (code == 0) return {};
  return fail({static_cast<Code>(code), decode_message(message.value_or("")), std::string(reason.value_or("")),
               Origin::kUpstream});
}

std::optional<Duration> parse_timeout(std::string_view value) {
  if (value.size() < 2 || value.size() > 9) return std::nullopt;
  int64_t n = 0;
  for (const char c : value.substr(0, value.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    n = n * 10 + (c - '0');
  }
  int64_t unit = 0;
  switch (value.back()) {
    case 'H': unit = 3'600'000'000'000; break;
    case 'M': unit = 60'000'000'000; break;
    case 'S': unit = 1'000'000'000; break;
    case 'm': unit = 1'000'000; break;
    case 'u': unit = 1'000; break;
    case 'n': unit = 1; break;
    default: return std::nullopt;
  }
  constexpr int64_t kTenYears = int64_t{3650} * 24 * 3'600'000'000'000;
  return Duration(n > kTenYears / unit ? kTenYears : n * unit);
}

std::string format_timeout(Duration left) {
  struct Unit {
    int64_t ns;
    char name;
  };
  constexpr Unit kUnits[] = {
      {1, 'n'}, {1'000, 'u'}, {1'000'000, 'm'}, {1'000'000'000, 'S'}, {60'000'000'000, 'M'}, {3'600'000'000'000, 'H'}};
  const int64_t ns = std::max<int64_t>(left.count(), 0);
  for (const Unit& u : kUnits) {
    const int64_t n = ns / u.ns + (ns % u.ns != 0);
    if (n <= 99'999'999) return fmt::format("{}{}", n, u.name);
  }
  return "99999999H";
}

}  // namespace colony::grpc
