// Flat lists are read as they come; nested ones must be nested exactly as the shape says. One loop per datatype, from the
// parser's tape into the memory that the tensor keeps.
#include "request/runtime/oip/json_data.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "request/runtime/oip/json_text.h"
#include "request/runtime/oip/loose_json.h"
#include "request/runtime/oip/real.h"

namespace colony::runtime::oip {
namespace {

namespace dom = simdjson::dom;

template <class T>
  requires std::is_integral_v<T>
bool convert(dom::element e, T& to) {
  int64_t v = 0;
  if (e.get_int64().get(v) == simdjson::SUCCESS) [[likely]] {
    if (!std::in_range<T>(v)) return false;
    to = static_cast<T>(v);
    return true;
  }
  if constexpr (std::is_same_v<T, uint64_t>) return e.get_uint64().get(to) == simdjson::SUCCESS;  // beyond int64_t
  return false;
}

bool convert(dom::element e, bool& to) { return e.get_bool().get(to) == simdjson::SUCCESS; }

template <class T>
  requires std::is_floating_point_v<T>
bool convert(dom::element e, T& to) {
  double v = 0;
  if (e.get_double().get(v) != simdjson::SUCCESS) [[unlikely]] {
    std::string_view word;
    if (e.get_string().get(word) != simdjson::SUCCESS) return false;
    if (word == "NaN")
      v = std::numeric_limits<double>::quiet_NaN();
    else if (word == "Infinity")
      v = std::numeric_limits<double>::infinity();
    else if (word == "-Infinity")
      v = -std::numeric_limits<double>::infinity();
    else
      return false;
  }
  return narrow(v, to);
}

std::optional<double> bare_word(dom::element e) {
  dom::object object;
  int64_t sign = 0;
  if (e.get_object().get(object) != simdjson::SUCCESS || object.size() != 1) return std::nullopt;
  const dom::key_value_pair member = *object.begin();
  if (!member.key.empty() || member.value.get_int64().get(sign) != simdjson::SUCCESS) return std::nullopt;
  return oip::bare_word(sign);
}

template <class T>
bool convert_word(dom::element e, T& to) {
  if constexpr (std::is_floating_point_v<T>) {
    const auto v = bare_word(e);
    return v && narrow(*v, to);
  }
  return false;
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

// Walks lists; what is in the innermost goes to Sink, which says whether it is a value of the datatype.
template <class Sink>
class DataReader {
 public:
  DataReader(Sink& sink, DataType type, const std::vector<int64_t>& shape, const JsonPath& path)
      : sink_(sink), type_(type), shape_(shape), path_(path) {}

  Result<void> leaf(dom::array list, uint64_t& seen) {
    size_t i = 0;
    for (const dom::element e : list) {
      if (!sink_(e)) [[unlikely]] {
        at_.push_back(i);
        return fail(invalid_argument(
            fmt::format("{}: {} given, expected {} for {}", here(), shown(e), expectation(type_), to_string(type_))));
      }
      ++i;
    }
    seen += i;
    return {};
  }

  Result<void> nested(dom::array list, size_t dim, uint64_t& seen) {
    const auto want = static_cast<uint64_t>(shape_[dim]);
    uint64_t n = 0;
    if (dim + 1 == shape_.size()) {
      TRY_VOID(leaf(list, n));
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
        TRY_VOID(nested(inner, dim + 1, seen));
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
    std::string out = path_.text();
    for (const size_t i : at_) out += fmt::format("[{}]", i);
    return out;
  }

  Sink& sink_;
  DataType type_;
  const std::vector<int64_t>& shape_;
  const JsonPath& path_;
  std::vector<size_t> at_;
};

template <class Sink>
Result<void> walk(dom::array list, Sink& sink, DataType type, const std::vector<int64_t>& shape, uint64_t count,
                  const JsonPath& path) {
  DataReader<Sink> reader(sink, type, shape, path);
  uint64_t seen = 0;
  const auto first = list.begin();
  const bool is_nested = shape.size() > 1 && first != list.end() && (*first).type() == dom::element_type::ARRAY;
  if (is_nested) {
    TRY_VOID(reader.nested(list, 0, seen));
  } else {
    TRY_VOID(reader.leaf(list, seen));
  }
  if (seen != count)
    return fail(invalid_argument(
        fmt::format("{}: {} elements, but shape {} has {}", path.text(), seen, shape_text(shape), count)));
  return {};
}

// Values go where they will stay. The memory is the shape's; what the list has beyond it is counted and not kept.
template <class T>
Result<std::string> numbers(dom::array list, DataType type, const std::vector<int64_t>& shape, uint64_t count,
                            const JsonPath& path, const JsonText& text) {
  std::string out;
  Result<void> done;
  const size_t size = count <= text.size ? count * sizeof(T) : 0;
  // WHY its own `size`: the library passes its capacity instead (libstdc++ 12).
  out.resize_and_overwrite(size, [&](char* data, size_t) {
    char* const end = data + size;
    auto sink = [at = data, end, loosened = text.loosened](dom::element e) mutable {
      T value;
      if (!convert(e, value) && !(loosened && convert_word(e, value))) return false;
      if (at != end) {
        std::memcpy(at, &value, sizeof value);
        at += sizeof value;
      }
      return true;
    };
    done = walk(list, sink, type, shape, count, path);
    return done ? size : 0;
  });
  if (!done) return fail(std::move(done).error());
  return out;
}

Result<std::string> strings(dom::array list, const std::vector<int64_t>& shape, uint64_t count, const JsonPath& path) {
  std::string out;
  auto sink = [&out](dom::element e) {
    std::string_view text;
    if (e.get_string().get(text) != simdjson::SUCCESS) return false;
    append_bytes_element(out, text);
    return true;
  };
  TRY_VOID(walk(list, sink, DataType::kBytes, shape, count, path));
  return out;
}

constexpr size_t kShown = 60;

// Ends when there is enough for an error: a value may be all of a large request.
void show(dom::element e, std::string& out) {
  if (out.size() > kShown) return;
  dom::array list;
  dom::object object;
  std::string_view text;
  if (const auto word = bare_word(e)) {
    append_json_elements(out, DataType::kFp64, {reinterpret_cast<const char*>(&*word), sizeof *word});
  } else if (e.get_array().get(list) == simdjson::SUCCESS) {
    out += '[';
    for (auto it = list.begin(); it != list.end() && out.size() <= kShown; ++it) {
      if (it != list.begin()) out += ',';
      show(*it, out);
    }
    out += ']';
  } else if (e.get_object().get(object) == simdjson::SUCCESS) {
    out += '{';
    for (auto it = object.begin(); it != object.end() && out.size() <= kShown; ++it) {
      if (it != object.begin()) out += ',';
      append_json_string(out, brief(it.key(), kShown));
      out += ':';
      show(it.value(), out);
    }
    out += '}';
  } else if (e.get_string().get(text) == simdjson::SUCCESS) {
    append_json_string(out, brief(text, kShown));
  } else {
    out += simdjson::minify(e);
  }
}

}  // namespace

std::string shown(const dom::element& value) {
  std::string text;
  show(value, text);
  return brief(text, kShown);
}

Result<std::string> read_data(const dom::element& data, DataType type, const std::vector<int64_t>& shape,
                              uint64_t count, const JsonPath& path, const JsonText& text) {
  dom::array list;
  if (data.get_array().get(list) != simdjson::SUCCESS)
    return fail(
        invalid_argument(fmt::format("{}: {} given, expected a list of {} elements", path.text(), shown(data), count)));
  const auto as = [&]<class T>(T) { return numbers<T>(list, type, shape, count, path, text); };
  switch (type) {
    case DataType::kBool: return as(bool{});
    case DataType::kUint8: return as(uint8_t{});
    case DataType::kUint16: return as(uint16_t{});
    case DataType::kUint32: return as(uint32_t{});
    case DataType::kUint64: return as(uint64_t{});
    case DataType::kInt8: return as(int8_t{});
    case DataType::kInt16: return as(int16_t{});
    case DataType::kInt32: return as(int32_t{});
    case DataType::kInt64: return as(int64_t{});
    case DataType::kFp32: return as(float{});
    case DataType::kFp64: return as(double{});
    case DataType::kBytes: return strings(list, shape, count, path);
    case DataType::kFp16:
    case DataType::kBf16: break;
  }
  return fail(
      invalid_argument(fmt::format("{}: {} has no JSON form: send it as binary data, with "
                                   "parameters.binary_data_size and the header Inference-Header-Content-Length",
                                   path.text(), to_string(type))));
}

}  // namespace colony::runtime::oip
