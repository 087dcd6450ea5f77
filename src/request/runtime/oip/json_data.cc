// Flat lists are read as they come; nested ones must be nested exactly as the shape says.
#include "request/runtime/oip/json_data.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace colony::runtime::oip {
namespace {

namespace dom = simdjson::dom;
using Type = simdjson::dom::element_type;

template <class T>
void append_raw(std::string& out, T v) {
  char bytes[sizeof v];
  std::memcpy(bytes, &v, sizeof v);
  out.append(bytes, sizeof bytes);
}

template <class T>
bool append_integer(dom::element e, std::string& out) {
  if (e.type() == Type::INT64) {
    const int64_t v = e.get_int64().value_unsafe();
    if (!std::in_range<T>(v)) return false;
    append_raw(out, static_cast<T>(v));
    return true;
  }
  if (e.type() != Type::UINT64) return false;
  const uint64_t v = e.get_uint64().value_unsafe();
  if (!std::in_range<T>(v)) return false;
  append_raw(out, static_cast<T>(v));
  return true;
}

template <class T>
bool append_real(dom::element e, std::string& out) {
  double v = 0;
  switch (e.type()) {
    case Type::DOUBLE: v = e.get_double().value_unsafe(); break;
    case Type::INT64: v = static_cast<double>(e.get_int64().value_unsafe()); break;
    case Type::UINT64: v = static_cast<double>(e.get_uint64().value_unsafe()); break;
    case Type::STRING: {
      const std::string_view word = e.get_string().value_unsafe();
      if (word == "NaN")
        v = std::numeric_limits<double>::quiet_NaN();
      else if (word == "Infinity")
        v = std::numeric_limits<double>::infinity();
      else if (word == "-Infinity")
        v = -std::numeric_limits<double>::infinity();
      else
        return false;
      break;
    }
    default: return false;
  }
  if (std::isfinite(v) && std::abs(v) > static_cast<double>(std::numeric_limits<T>::max())) return false;
  append_raw(out, static_cast<T>(v));
  return true;
}

bool append_bool(dom::element e, std::string& out) {
  if (e.type() != Type::BOOL) return false;
  out += e.get_bool().value_unsafe() ? '\1' : '\0';
  return true;
}

bool append_bytes(dom::element e, std::string& out) {
  if (e.type() != Type::STRING) return false;
  append_bytes_element(out, e.get_string().value_unsafe());
  return true;
}

using Append = bool (*)(dom::element, std::string&);

Append appender(DataType type) {
  switch (type) {
    case DataType::kBool: return append_bool;
    case DataType::kUint8: return append_integer<uint8_t>;
    case DataType::kUint16: return append_integer<uint16_t>;
    case DataType::kUint32: return append_integer<uint32_t>;
    case DataType::kUint64: return append_integer<uint64_t>;
    case DataType::kInt8: return append_integer<int8_t>;
    case DataType::kInt16: return append_integer<int16_t>;
    case DataType::kInt32: return append_integer<int32_t>;
    case DataType::kInt64: return append_integer<int64_t>;
    case DataType::kFp32: return append_real<float>;
    case DataType::kFp64: return append_real<double>;
    case DataType::kBytes: return append_bytes;
    case DataType::kFp16:
    case DataType::kBf16: break;
  }
  return nullptr;
}

std::string_view expectation(DataType type) {
  switch (type) {
    case DataType::kBool: return "true or false";
    case DataType::kUint8: return "a whole number from 0 to 255";
    case DataType::kUint16: return "a whole number from 0 to 65535";
    case DataType::kUint32: return "a whole number from 0 to 4294967295";
    case DataType::kUint64: return "a whole number from 0 to 18446744073709551615";
    case DataType::kInt8: return "a whole number from -128 to 127";
    case DataType::kInt16: return "a whole number from -32768 to 32767";
    case DataType::kInt32: return "a whole number from -2147483648 to 2147483647";
    case DataType::kInt64: return "a whole number from -9223372036854775808 to 9223372036854775807";
    case DataType::kFp32: return "a number within the range of FP32";
    case DataType::kFp64: return "a number";
    case DataType::kBytes: return "a string";
    default: return "nothing";
  }
}

class DataReader {
 public:
  DataReader(DataType type, const std::vector<int64_t>& shape, const std::string& path)
      : type_(type), append_(appender(type)), shape_(shape), path_(path) {}

  Result<void> leaf(dom::array list, std::string& out, uint64_t& seen) {
    size_t i = 0;
    for (const dom::element e : list) {
      if (!append_(e, out)) [[unlikely]] {
        at_.push_back(i);
        return fail(invalid_argument(
            fmt::format("{}: {} given, expected {} for {}", here(), shown(e), expectation(type_), to_string(type_))));
      }
      ++i;
    }
    seen += i;
    return {};
  }

  Result<void> nested(dom::array list, size_t dim, std::string& out, uint64_t& seen) {
    const auto want = static_cast<uint64_t>(shape_[dim]);
    uint64_t n = 0;
    if (dim + 1 == shape_.size()) {
      TRY_VOID(leaf(list, out, n));
      seen += n;
    } else {
      for (const dom::element e : list) {
        at_.push_back(n++);
        dom::array inner;
        if (e.get_array().get(inner) != simdjson::SUCCESS)
          return fail(
              invalid_argument(fmt::format("{}: {} given, expected a list: the data is nested, so each of the {} "
                                           "dimensions of shape {} has its own lists",
                                           here(), shown(e), shape_.size(), shape_text(shape_))));
        TRY_VOID(nested(inner, dim + 1, out, seen));
        at_.pop_back();
      }
    }
    if (n != want)
      return fail(invalid_argument(fmt::format("{}: a list of {} elements, but dimension {} of shape {} is {}", here(),
                                               n, dim, shape_text(shape_), want)));
    return {};
  }

 private:
  std::string here() const {
    std::string out = path_;
    for (const size_t i : at_) out += fmt::format("[{}]", i);
    return out;
  }

  DataType type_;
  Append append_;
  const std::vector<int64_t>& shape_;
  const std::string& path_;
  std::vector<size_t> at_;
};

}  // namespace

std::string shown(const dom::element& value) {
  std::string text = simdjson::minify(value);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

Result<std::string> read_data(const dom::element& data, DataType type, const std::vector<int64_t>& shape,
                              uint64_t count, const std::string& path, uint64_t most) {
  if (!appender(type))
    return fail(
        invalid_argument(fmt::format("{}: {} has no JSON form: send it as binary data, with "
                                     "parameters.binary_data_size and the header Inference-Header-Content-Length",
                                     path, to_string(type))));
  dom::array list;
  if (data.get_array().get(list) != simdjson::SUCCESS)
    return fail(
        invalid_argument(fmt::format("{}: {} given, expected a list of {} elements", path, shown(data), count)));
  std::string out;
  if (count <= most) out.reserve(count * std::max<size_t>(element_size(type), 1));
  DataReader reader(type, shape, path);
  uint64_t seen = 0;
  const auto first = list.begin();
  const bool is_nested = shape.size() > 1 && first != list.end() && (*first).type() == Type::ARRAY;
  if (is_nested) {
    TRY_VOID(reader.nested(list, 0, out, seen));
  } else {
    TRY_VOID(reader.leaf(list, out, seen));
  }
  if (seen != count)
    return fail(
        invalid_argument(fmt::format("{}: {} elements, but shape {} has {}", path, seen, shape_text(shape), count)));
  return out;
}

}  // namespace colony::runtime::oip
