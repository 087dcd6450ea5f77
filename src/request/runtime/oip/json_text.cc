// std::to_chars gives the shortest digits; a float that is a whole number keeps its ".0", so that readers keep its type.
#include "request/runtime/oip/json_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "base/check.h"

namespace colony::runtime::oip {
namespace {

constexpr size_t kLongest = 32;  // of one number as text; the longest double takes 24

template <class T>
  requires std::is_integral_v<T>
char* put(char* to, T v) {
  return std::to_chars(to, to + kLongest, v).ptr;
}

char* put_word(char* to, std::string_view word) { return std::ranges::copy(word, to).out; }

template <class T>
  requires std::is_floating_point_v<T>
char* put(char* to, T v) {
  if (std::isnan(v)) return put_word(to, "NaN");
  if (std::isinf(v)) return put_word(to, v < 0 ? "-Infinity" : "Infinity");
  char* const end = std::to_chars(to, to + kLongest, v).ptr;
  return std::string_view(to, end).find_first_of(".en") == std::string_view::npos ? put_word(end, ".0") : end;
}

char* put(char* to, bool v) { return put_word(to, v ? "true" : "false"); }

template <class T>
void append_number(std::string& out, T v) {
  char buffer[kLongest + 2];
  out.append(buffer, put(buffer, v));
}

template <class T>
T load(const char* at) {
  T v;
  std::memcpy(&v, at, sizeof v);
  return v;
}

// Through a block on the stack: a string that grew by every digit would look at its capacity for each.
template <class T>
void append_list(std::string& out, std::string_view data) {
  constexpr size_t kAtOnce = 64;
  char block[kAtOnce * (kLongest + 3)];
  for (size_t at = 0; at < data.size();) {
    char* to = block;
    for (size_t n = 0; n < kAtOnce && at < data.size(); ++n, at += sizeof(T)) {
      if (at > 0) *to++ = ',';
      if constexpr (std::is_same_v<T, bool>)
        to = put(to, data[at] != 0);
      else
        to = put(to, load<T>(data.data() + at));
    }
    out.append(block, to);
  }
}

}  // namespace

void append_json_string(std::string& out, std::string_view s) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  size_t from = 0;  // what needs no escape is copied in runs
  for (size_t i = 0; i < s.size(); ++i) {
    const char c = s[i];
    if (static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\') continue;
    out.append(s, from, i - from);
    from = i + 1;
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        out += "\\u00";
        out += kHex[static_cast<unsigned char>(c) >> 4];
        out += kHex[c & 15];
    }
  }
  out.append(s, from);
  out += '"';
}

void append_json_number(std::string& out, int64_t v) { append_number(out, v); }
void append_json_number(std::string& out, uint64_t v) { append_number(out, v); }
void append_json_number(std::string& out, float v) { append_number(out, v); }
void append_json_number(std::string& out, double v) { append_number(out, v); }

void append_json_shape(std::string& out, const std::vector<int64_t>& shape) {
  out += '[';
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) out += ',';
    append_number(out, shape[i]);
  }
  out += ']';
}

void append_json_elements(std::string& out, DataType type, std::string_view data) {
  switch (type) {
    case DataType::kBool: return append_list<bool>(out, data);
    case DataType::kUint8: return append_list<uint8_t>(out, data);
    case DataType::kUint16: return append_list<uint16_t>(out, data);
    case DataType::kUint32: return append_list<uint32_t>(out, data);
    case DataType::kUint64: return append_list<uint64_t>(out, data);
    case DataType::kInt8: return append_list<int8_t>(out, data);
    case DataType::kInt16: return append_list<int16_t>(out, data);
    case DataType::kInt32: return append_list<int32_t>(out, data);
    case DataType::kInt64: return append_list<int64_t>(out, data);
    case DataType::kFp32: return append_list<float>(out, data);
    case DataType::kFp64: return append_list<double>(out, data);
    case DataType::kFp16:
    case DataType::kBf16:
    case DataType::kBytes: break;
  }
  CHECK(false);
}

}  // namespace colony::runtime::oip
