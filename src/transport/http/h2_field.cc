// See h2_field.h.
#include "transport/http/h2_field.h"

#include <algorithm>

#include "transport/http/head.h"
#include "transport/http/head_grammar.h"

namespace colony::http {
namespace {

using namespace grammar;

uint32_t bad_unless(bool good) { return good ? 0 : H2Field::kMalformed; }

bool all_of(std::string_view s, bool (*allowed)(char)) { return std::all_of(s.begin(), s.end(), allowed); }
bool is_letter(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

uint32_t host(std::string_view value) {
  const bool readable = !value.empty() && all_of(value, [](char c) {
    return c > ' ' && c < 0x7f && std::string_view("\"<>\\^`{|}").find(c) == std::string_view::npos;
  });
  if (!readable) return H2Field::kMalformed;
  return is_host(value) ? 0 : H2Field::kRefused;
}

uint32_t path(std::string_view value) {
  if (value.empty()) return H2Field::kMalformed;
  if (all_of(value, [](char c) { return is(c, kTarget); })) return 0;
  const auto above_space = [](char c) { return static_cast<uint8_t>(c) > ' ' && c != 0x7f; };
  return all_of(value, above_space) ? H2Field::kRefused : H2Field::kMalformed;
}

uint32_t scheme(std::string_view value) {
  const auto allowed = [](char c) { return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.'; };
  if (value.empty() || !is_letter(value.front()) || !all_of(value, allowed)) return H2Field::kMalformed;
  return iequals(value, "http") || iequals(value, "https") ? H2Field::kHttp : 0;
}

uint32_t expect(std::string_view value) {
  const bool known = for_each_option(value, [](std::string_view item) { return iequals(item, "100-continue"); });
  return known ? 0 : H2Field::kRefused;
}

uint32_t pseudo(std::string_view name, std::string_view value) {
  if (name == ":method") return H2Field::kMethod | bad_unless(is_token(value));
  if (name == ":scheme") return H2Field::kScheme | scheme(value);
  if (name == ":path") return H2Field::kPath | path(value);
  if (name == ":authority") return H2Field::kAuthority | host(value);
  return H2Field::kMalformed;
}

uint32_t by_name(std::string_view name, std::string_view value) {
  switch (name.size()) {
    case 2:
      if (name == "te") return H2Field::kUnwanted | bad_unless(iequals(value, "trailers"));
      break;
    case 4:
      if (name == "host") return H2Field::kHost | host(value);
      break;
    case 6:
      if (name == "cookie") return H2Field::kCookie;
      if (name == "expect") return H2Field::kExpect | expect(value);
      break;
    case 7:
      if (name == "upgrade") return H2Field::kMalformed;
      break;
    case 10:
      if (name == "connection" || name == "keep-alive") return H2Field::kMalformed;
      break;
    case 14:
      if (name == "content-length") {
        // 18 digits: what is larger is no body's length.
        return H2Field::kContentLength | bad_unless(!value.empty() && value.size() <= 18 && all_of(value, is_digit));
      }
      break;
    case 16:
      if (name == "proxy-connection") return H2Field::kMalformed;
      break;
    case 17:
      if (name == "transfer-encoding") return H2Field::kMalformed;
      break;
    default: break;
  }
  return H2Field::kOther;
}

}  // namespace

uint32_t H2Field::mark(std::string_view name, std::string_view value) {
  if (name.starts_with(':')) return pseudo(name, value);
  const bool lower = std::none_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (!lower || !is_token(name) || !is_field_value(value)) return kMalformed;
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  if (!value.empty() && (blank(value.front()) || blank(value.back()))) return kMalformed;
  return by_name(name, value);
}

const HpackMarks& H2Field::marks() {
  static const HpackMarks marks(mark);
  return marks;
}

}  // namespace colony::http
