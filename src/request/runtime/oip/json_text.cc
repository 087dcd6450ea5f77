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

// Whole numbers and eighths of at most six digits, which are common: exact in decimal too, they are their own shortest form.
// Null: it is none of these.
template <class T>
char* put_eighths(char* to, T v) {
  const T size = std::abs(v);
  if (!(size < 100'000)) return nullptr;  // from there on the shortest form may have an exponent
  const auto eighths = static_cast<uint32_t>(size * 8);
  if (static_cast<T>(eighths) != size * 8) return nullptr;
  static constexpr struct {
    char digits[4];
    uint32_t size, whole_below;
  } kFraction[] = {{"0", 1, 100'000}, {"125", 3, 1'000}, {"25", 2, 10'000}, {"375", 3, 1'000},
                   {"5", 1, 100'000}, {"625", 3, 1'000}, {"75", 2, 10'000}, {"875", 3, 1'000}};
  const auto& fraction = kFraction[eighths % 8];
  if (eighths / 8 >= fraction.whole_below) return nullptr;
  if (std::signbit(v)) *to++ = '-';
  to = std::to_chars(to, to + kLongest, eighths / 8).ptr;
  *to++ = '.';
  std::memcpy(to, fraction.digits, 3);
  return to + fraction.size;
}

template <class T>
  requires std::is_floating_point_v<T>
char* put(char* to, T v) {
  if (char* const end = put_eighths(to, v)) return end;
  if (std::isnan(v)) return put_word(to, "NaN");
  if (std::isinf(v)) return put_word(to, v < 0 ? "-Infinity" : "Infinity");
  char* const end = std::to_chars(to, to + kLongest, v).ptr;
  for (const char* c = to; c != end; ++c)
    if (*c == '.' || *c == 'e') return end;
  return put_word(end, ".0");
}

char* put(char* to, bool v) { return put_word(to, v ? "true" : "false"); }

template <class T>
T load(const char* at) {
  T v;
  std::memcpy(&v, at, sizeof v);
  return v;
}

}  // namespace

template <class T>
void JsonWriter::list(std::string_view data) {
  for (size_t at = 0; at < data.size(); at += sizeof(T)) {
    if (room() <= kLongest + 3) [[unlikely]]
      flush();
    if (at > 0) *at_++ = ',';
    if constexpr (std::is_same_v<T, bool>)
      at_ = put(at_, data[at] != 0);
    else
      at_ = put(at_, load<T>(data.data() + at));
  }
}

void JsonWriter::long_text(std::string_view s) {
  flush();
  if (s.size() > room()) {
    out_.append(s);
  } else {
    text(s);
  }
}

void JsonWriter::string(std::string_view s) {
  static constexpr char kHex[] = "0123456789abcdef";
  text("\"");
  size_t from = 0;  // what needs no escape is copied in runs
  for (size_t i = 0; i < s.size(); ++i) {
    const char c = s[i];
    if (static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\') continue;
    text(s.substr(from, i - from));
    from = i + 1;
    switch (c) {
      case '"': text("\\\""); break;
      case '\\': text("\\\\"); break;
      case '\n': text("\\n"); break;
      case '\r': text("\\r"); break;
      case '\t': text("\\t"); break;
      default: {
        const char hex[] = {'\\', 'u', '0', '0', kHex[static_cast<unsigned char>(c) >> 4], kHex[c & 15]};
        text({hex, sizeof hex});
      }
    }
  }
  text(s.substr(from));
  text("\"");
}

void JsonWriter::shape(const std::vector<int64_t>& shape) {
  text("[");
  list<int64_t>({reinterpret_cast<const char*>(shape.data()), shape.size() * sizeof(int64_t)});
  text("]");
}

void JsonWriter::number(uint64_t v) { list<uint64_t>({reinterpret_cast<const char*>(&v), sizeof v}); }

void JsonWriter::elements(DataType type, std::string_view data) {
  switch (type) {
    case DataType::kBool: return list<bool>(data);
    case DataType::kUint8: return list<uint8_t>(data);
    case DataType::kUint16: return list<uint16_t>(data);
    case DataType::kUint32: return list<uint32_t>(data);
    case DataType::kUint64: return list<uint64_t>(data);
    case DataType::kInt8: return list<int8_t>(data);
    case DataType::kInt16: return list<int16_t>(data);
    case DataType::kInt32: return list<int32_t>(data);
    case DataType::kInt64: return list<int64_t>(data);
    case DataType::kFp32: return list<float>(data);
    case DataType::kFp64: return list<double>(data);
    case DataType::kFp16:
    case DataType::kBf16:
    case DataType::kBytes: break;
  }
  CHECK(false);
}

void append_json_string(std::string& out, std::string_view s) { JsonWriter(out).string(s); }

void append_json_shape(std::string& out, const std::vector<int64_t>& shape) { JsonWriter(out).shape(shape); }

void append_json_elements(std::string& out, DataType type, std::string_view data) {
  JsonWriter(out).elements(type, data);
}

}  // namespace colony::runtime::oip
