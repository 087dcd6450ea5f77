// See error_json.h. The reader walks the top level of one object and keeps string members; other values are stepped over.
#include "transport/rpc/error_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>

namespace colony::rpc {
namespace {

constexpr size_t kMaxText = 16 * 1024;  // LIMIT: of a message taken from a peer

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(u));
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xe0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::map<std::string, std::string> members() {
    std::map<std::string, std::string> out;
    if (!eat('{')) return out;
    while (out.size() < 32) {
      auto key = string();
      if (!key || !eat(':')) break;
      space();
      if (at_ < text_.size() && text_[at_] == '"') {
        auto value = string();
        if (!value) break;
        out.insert_or_assign(std::move(*key), std::move(*value));
      } else {
        skip_value();
      }
      if (!eat(',')) break;
    }
    return out;
  }

 private:
  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
  }
  bool eat(char c) {
    space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  // Up to the comma or brace that ends this member; strings inside are stepped over whole.
  void skip_value() {
    int depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        if (!string()) return;
        continue;
      }
      if (depth == 0 && (c == ',' || c == '}')) return;
      if (c == '[' || c == '{') ++depth;
      if (c == ']' || c == '}') --depth;
      ++at_;
    }
  }
  std::optional<std::string> string() {
    if (!eat('"')) return std::nullopt;
    std::string out;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return out;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (at_ >= text_.size()) return std::nullopt;
      const char e = text_[at_++];
      switch (e) {
        case 'n': out += '\n'; break;
        case 't': out += '\t'; break;
        case 'r': out += '\r'; break;
        case 'b': out += '\b'; break;
        case 'f': out += '\f'; break;
        case 'u': {
          if (text_.size() - at_ < 4) return std::nullopt;
          uint32_t code = 0;
          for (int i = 0; i < 4; ++i) {
            const char h = text_[at_++];
            const int digit = h >= '0' && h <= '9'   ? h - '0'
                              : h >= 'a' && h <= 'f' ? h - 'a' + 10
                              : h >= 'A' && h <= 'F' ? h - 'A' + 10
                                                     : -1;
            if (digit < 0) return std::nullopt;
            code = code << 4 | static_cast<uint32_t>(digit);
          }
          // Halves of a surrogate pair are not text on their own.
          append_utf8(out, code >= 0xd800 && code <= 0xdfff ? 0xfffd : code);
          break;
        }
        default: out += e;
      }
    }
    return std::nullopt;
  }

  std::string_view text_;
  size_t at_ = 0;
};

std::string lower(std::string_view s) {
  std::string out(s);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

constexpr std::array<std::string_view, 3> kOrigins{"client", "upstream", "self"};
constexpr std::array<std::string_view, 3> kRetries{"no", "yes", "if_fresh"};

std::optional<Code> code_from_name(std::string_view name) {
  for (int i = 1; i <= 16; ++i) {
    if (lower(code_name(static_cast<Code>(i))) == lower(name)) return static_cast<Code>(i);
  }
  return std::nullopt;
}

}  // namespace

std::string error_to_json(const Error& error) {
  std::string out = "{\"code\":";
  append_quoted(out, lower(code_name(error.code)));
  out += ",\"message\":";
  append_quoted(out, error.message);
  out += ",\"reason\":";
  append_quoted(out, error.reason);
  out += fmt::format(",\"origin\":\"{}\",\"retry\":\"{}\"}}", kOrigins[static_cast<size_t>(error.origin)],
                     kRetries[static_cast<size_t>(error.retry)]);
  return out;
}

Error error_from_json(std::string_view body, int http_status) {
  auto members = Reader(body).members();
  Error error;
  error.code = code_from_http(http_status);
  if (error.code == Code::kOk) error.code = Code::kUnknown;
  if (auto code = code_from_name(members["code"])) error.code = *code;
  error.origin = Origin::kUpstream;
  for (size_t i = 0; i < kOrigins.size(); ++i) {
    if (members["origin"] == kOrigins[i]) error.origin = static_cast<Origin>(i);
  }
  for (size_t i = 0; i < kRetries.size(); ++i) {
    if (members["retry"] == kRetries[i]) error.retry = static_cast<Retry>(i);
  }
  error.reason = members["reason"].substr(0, 128);
  error.message = members["message"].empty() ? members["error"] : members["message"];
  if (error.message.empty()) {
    error.message = fmt::format("HTTP status {}{}{}", http_status, body.empty() ? "" : ": ", body.substr(0, 256));
  }
  if (error.message.size() > kMaxText) error.message.resize(kMaxText);
  return error;
}

}  // namespace colony::rpc
