// std::to_chars gives the shortest digits; a float that is a whole number keeps its ".0", so that readers keep its type.
#include "request/runtime/oip/json_text.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace colony::runtime::oip {
namespace {

template <class T>
void append_integer(std::string& out, T v) {
  char buffer[24];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v).ptr;
  out.append(buffer, end);
}

template <class T>
void append_real(std::string& out, T v) {
  if (std::isnan(v)) {
    out += "NaN";
    return;
  }
  if (std::isinf(v)) {
    out += v < 0 ? "-Infinity" : "Infinity";
    return;
  }
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v).ptr;
  const std::string_view digits(buffer, static_cast<size_t>(end - buffer));
  out += digits;
  if (digits.find_first_of(".en") == digits.npos) out += ".0";
}

template <class T>
T load(const char* at) {
  T v;
  std::memcpy(&v, at, sizeof v);
  return v;
}

}  // namespace

void append_json_string(std::string& out, std::string_view s) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : s) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kHex[static_cast<unsigned char>(c) >> 4];
          out += kHex[c & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void append_json_number(std::string& out, int64_t v) { append_integer(out, v); }
void append_json_number(std::string& out, uint64_t v) { append_integer(out, v); }
void append_json_number(std::string& out, float v) { append_real(out, v); }
void append_json_number(std::string& out, double v) { append_real(out, v); }

void append_json_shape(std::string& out, const std::vector<int64_t>& shape) {
  out += '[';
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) out += ',';
    append_integer(out, shape[i]);
  }
  out += ']';
}

void append_json_element(std::string& out, DataType type, const char* at) {
  switch (type) {
    case DataType::kBool: out += *at != 0 ? "true" : "false"; return;
    case DataType::kUint8: return append_integer(out, load<uint8_t>(at));
    case DataType::kUint16: return append_integer(out, load<uint16_t>(at));
    case DataType::kUint32: return append_integer(out, load<uint32_t>(at));
    case DataType::kUint64: return append_integer(out, load<uint64_t>(at));
    case DataType::kInt8: return append_integer(out, load<int8_t>(at));
    case DataType::kInt16: return append_integer(out, load<int16_t>(at));
    case DataType::kInt32: return append_integer(out, load<int32_t>(at));
    case DataType::kInt64: return append_integer(out, load<int64_t>(at));
    case DataType::kFp32: return append_real(out, load<float>(at));
    case DataType::kFp64: return append_real(out, load<double>(at));
    case DataType::kFp16:
    case DataType::kBf16:
    case DataType::kBytes: break;
  }
  CHECK(false);
}

}  // namespace colony::runtime::oip
