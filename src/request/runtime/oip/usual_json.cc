// A cursor over the text; a std::string ends with a NUL, which is no part of any value, so that looking at the next byte
// needs no look at the end.
#include "request/runtime/oip/usual_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "request/runtime/oip/real.h"

namespace colony::runtime::oip {
namespace {

constexpr size_t kMostTensors = 64, kMostDimensions = 16;  // more is not usual

// Doubles that are powers of ten exactly; a product or quotient of one with an exact double is rounded once, as it must be.
constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr uint64_t kExact = uint64_t{1} << 53;  // whole numbers up to here are doubles

class Cursor {
 public:
  explicit Cursor(const std::string& text) : p_(text.data()), end_(p_ + text.size()) {}

  bool at_end() {
    blanks();
    return p_ == end_;
  }
  // The next byte that is no blank, if it is this one.
  bool take(char c) {
    blanks();
    if (*p_ != c) return false;
    ++p_;
    return true;
  }
  bool string(std::string_view& to) {
    if (!take('"')) return false;
    const char* const from = p_;
    for (;; ++p_) {
      const auto c = static_cast<unsigned char>(*p_);
      if (c == '"') break;
      if (c < 0x20 || c >= 0x80 || c == '\\') return false;
    }
    to = {from, p_++};
    return true;
  }
  bool key(std::string_view& to) { return string(to) && take(':'); }
  // Behind an element of a list or a member of an object: does another one follow? False also where neither a comma nor
  // `close` stands; then closed() is false.
  bool more(char close) {
    if (take(',')) return true;
    closed_ = take(close);
    return false;
  }
  bool closed() const { return closed_; }

  template <class T>
    requires std::is_integral_v<T>
  bool number(T& to) {
    int64_t v = 0;
    return whole(v) && std::in_range<T>(v) && (to = static_cast<T>(v), true);
  }

  template <class T>
    requires std::is_floating_point_v<T>
  bool number(T& to) {
    blanks();
    const char* const from = p_;
    const bool negative = *p_ == '-';
    p_ += negative;
    uint64_t digits = 0;
    int count = 0, exponent = 0;
    if (*p_ == '0') {
      ++p_;
    } else {
      if (!read_digits(digits, count)) return false;
    }
    const bool real = *p_ == '.' || *p_ == 'e' || *p_ == 'E';
    if (*p_ == '.') {
      ++p_;
      const int before = count;
      // Zeros in front are no digits of the number's; they only move the point.
      if (digits == 0)
        for (; *p_ == '0'; ++p_) --exponent;
      const bool zeros = exponent < 0;
      if (!read_digits(digits, count) && !zeros) return false;
      exponent -= count - before;
    }
    if ((*p_ | 0x20) == 'e') {
      ++p_;
      const bool minus = *p_ == '-';
      p_ += minus || *p_ == '+';
      uint64_t value = 0;
      int n = 0;
      if (!read_digits(value, n) || n > 4) return false;
      exponent += minus ? -static_cast<int>(value) : static_cast<int>(value);
    }
    double v = 0;
    if (count <= 19 && digits <= kExact && exponent >= -22 && exponent <= 22) [[likely]] {
      v = static_cast<double>(digits);
      v = exponent < 0 ? v / kPowers[-exponent] : v * kPowers[exponent];
      if (negative && (real || digits != 0)) v = -v;  // "-0" is a whole number, and those have one zero
    } else if (std::from_chars(from, p_, v).ec != std::errc()) {
      return false;
    }
    return narrow(v, to);
  }

 private:
  void blanks() {
    while (static_cast<unsigned char>(*p_) <= ' ' && (*p_ == ' ' || *p_ == '\n' || *p_ == '\r' || *p_ == '\t')) ++p_;
  }
  // At least one. What does not fit in 64 bits any more is for the caller to see by `count`.
  bool read_digits(uint64_t& value, int& count) {
    const char* const from = p_;
    for (; *p_ >= '0' && *p_ <= '9'; ++p_) value = value * 10 + static_cast<uint64_t>(*p_ - '0');
    count += static_cast<int>(std::min<ptrdiff_t>(p_ - from, 1000));
    return p_ != from;
  }
  // Nothing may stand behind it that would make it a real number.
  bool whole(int64_t& to) {
    blanks();
    const bool negative = *p_ == '-';
    p_ += negative;
    uint64_t digits = 0;
    int count = 0;
    const bool zero = *p_ == '0';
    if (!read_digits(digits, count) || count > kMostDigits || (zero && count > 1)) return false;
    to = negative ? -static_cast<int64_t>(digits) : static_cast<int64_t>(digits);
    return *p_ != '.' && (*p_ | 0x20) != 'e';
  }

  static constexpr int kMostDigits = 18;  // of a whole number: they fit in an int64_t, whatever they are

  const char* p_;
  const char* const end_;
  bool closed_ = false;
};

template <class T>
bool read_numbers(Cursor& in, uint64_t count, std::string& out) {
  bool good = false;
  const size_t size = count * sizeof(T);
  // WHY its own `size`: the library passes its capacity instead (libstdc++ 12).
  out.resize_and_overwrite(size, [&](char* to, size_t) {
    for (uint64_t left = count; left > 0; --left, to += sizeof(T)) {
      T value;
      if (!in.number(value) || in.more(']') != (left > 1)) return size_t{0};
      std::memcpy(to, &value, sizeof value);
    }
    good = in.closed();
    return size;
  });
  return good;
}

bool read_data(Cursor& in, Tensor& tensor, uint64_t count) {
  if (!in.take('[')) return false;
  std::string bytes;
  const auto as = [&]<class T>(T) { return read_numbers<T>(in, count, bytes); };
  bool good = false;
  switch (tensor.type) {
    case DataType::kUint8: good = as(uint8_t{}); break;
    case DataType::kUint16: good = as(uint16_t{}); break;
    case DataType::kUint32: good = as(uint32_t{}); break;
    case DataType::kUint64: good = as(uint64_t{}); break;
    case DataType::kInt8: good = as(int8_t{}); break;
    case DataType::kInt16: good = as(int16_t{}); break;
    case DataType::kInt32: good = as(int32_t{}); break;
    case DataType::kInt64: good = as(int64_t{}); break;
    case DataType::kFp32: good = as(float{}); break;
    case DataType::kFp64: good = as(double{}); break;
    case DataType::kBool:
    case DataType::kBytes:
    case DataType::kFp16:
    case DataType::kBf16: break;
  }
  if (!good) return false;
  auto owner = std::make_shared<std::string>(std::move(bytes));
  tensor.data = *owner;
  tensor.owner = std::move(owner);
  return true;
}

bool read_shape(Cursor& in, std::vector<int64_t>& shape) {
  if (!in.take('[')) return false;
  do {
    int64_t d = 0;
    if (shape.size() == kMostDimensions || !in.number(d) || d < 1) return false;
    shape.push_back(d);
  } while (in.more(']'));
  return in.closed();
}

bool read_input(Cursor& in, Tensor& tensor, size_t most) {
  enum : unsigned { kName = 1, kShape = 2, kType = 4, kData = 8, kAll = 15 };
  unsigned seen = 0;
  if (!in.take('{')) return false;
  do {
    std::string_view key, word;
    if (!in.key(key)) return false;
    unsigned what = 0;
    if (key == "name") {
      what = kName;
      if (!in.string(word)) return false;
      tensor.name = word;
    } else if (key == "datatype") {
      what = kType;
      const auto type = in.string(word) ? parse_data_type(word) : std::nullopt;
      if (!type) return false;
      tensor.type = *type;
    } else if (key == "shape") {
      what = kShape;
      if (!tensor.shape.empty() || !read_shape(in, tensor.shape)) return false;
    } else if (key == "data" && (seen & (kShape | kType)) == (kShape | kType)) {
      what = kData;
      const auto count = element_count(tensor.shape);
      if (!count || *count > most || !read_data(in, tensor, *count)) return false;
    }
    if (what == 0 || (seen & what) != 0) return false;
    seen |= what;
  } while (in.more('}'));
  return in.closed() && seen == kAll;
}

bool read_inputs(Cursor& in, std::vector<Tensor>& inputs, size_t most) {
  if (!inputs.empty() || !in.take('[')) return false;
  do {
    if (inputs.size() == kMostTensors || !read_input(in, inputs.emplace_back(), most)) return false;
  } while (in.more(']'));
  return in.closed();
}

bool read_outputs(Cursor& in, std::vector<std::string>& outputs) {
  if (!outputs.empty() || !in.take('[')) return false;
  do {
    std::string_view key, name;
    if (outputs.size() == kMostTensors || !in.take('{') || !in.key(key) || key != "name" || !in.string(name) ||
        name.empty() || !in.take('}'))
      return false;
    outputs.emplace_back(name);
  } while (in.more(']'));
  return in.closed();
}

}  // namespace

bool read_usual(const std::string& json, ParsedInfer& to) {
  Cursor in(json);
  InferRequest& request = to.request;
  bool has_id = false;
  if (!in.take('{')) return false;
  do {
    std::string_view key, id;
    if (!in.key(key)) return false;
    if (key == "inputs") {
      if (!read_inputs(in, request.inputs, json.size())) return false;
    } else if (key == "outputs") {
      if (!read_outputs(in, request.outputs)) return false;
    } else if (key == "id" && !has_id) {
      if (!in.string(id)) return false;
      to.wish.id = request.id = id;
      has_id = true;
    } else {
      return false;
    }
  } while (in.more('}'));
  return in.closed() && in.at_end() && !request.inputs.empty() && check_outputs(request.outputs);
}

}  // namespace colony::runtime::oip
