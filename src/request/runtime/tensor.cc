// Tensors as values: names and sizes of the OIP datatypes, element counts, the layout of BYTES. Pure.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "request/runtime/contract.h"

namespace colony::runtime {
namespace {

struct TypeRow {
  std::string_view name;
  size_t bytes;
};

constexpr std::array<TypeRow, 14> kTypes{{{"BOOL", 1},
                                          {"UINT8", 1},
                                          {"UINT16", 2},
                                          {"UINT32", 4},
                                          {"UINT64", 8},
                                          {"INT8", 1},
                                          {"INT16", 2},
                                          {"INT32", 4},
                                          {"INT64", 8},
                                          {"FP16", 2},
                                          {"BF16", 2},
                                          {"FP32", 4},
                                          {"FP64", 8},
                                          {"BYTES", 0}}};

// At most eight bytes of text in one number, so that names are compared at once.
constexpr uint64_t as_word(std::string_view s) {
  uint64_t word = 0;
  for (const char c : s) word = word << 8 | static_cast<unsigned char>(c);
  return word;
}

constexpr auto kWords = [] {
  std::array<uint64_t, kTypes.size()> words{};
  for (size_t i = 0; i < words.size(); ++i) words[i] = as_word(kTypes[i].name);
  return words;
}();

constexpr uint64_t kMaxElements = uint64_t{1} << 40;

}  // namespace

std::string_view to_string(DataType t) {
  const auto i = static_cast<size_t>(t);
  CHECK(i < kTypes.size());
  return kTypes[i].name;
}

std::optional<DataType> parse_data_type(std::string_view s) {
  if (s.size() > sizeof(uint64_t)) return std::nullopt;
  const uint64_t word = as_word(s);
  for (size_t i = 0; i < kTypes.size(); ++i)
    if (kTypes[i].name.size() == s.size() && kWords[i] == word) return static_cast<DataType>(i);
  return std::nullopt;
}

size_t element_size(DataType t) {
  const auto i = static_cast<size_t>(t);
  CHECK(i < kTypes.size());
  return kTypes[i].bytes;
}

Tensor own_tensor(std::string name, DataType type, std::vector<int64_t> shape, std::string bytes) {
  auto owner = std::make_shared<std::string>(std::move(bytes));
  Tensor t{std::move(name), type, std::move(shape), *owner, nullptr};
  t.owner = std::move(owner);
  return t;
}

Result<uint64_t> element_count(const std::vector<int64_t>& shape) {
  uint64_t count = 1;
  bool zero = false;
  for (int64_t d : shape) {
    if (d < 0)
      return fail(invalid_argument(fmt::format("shape {} has the negative dimension {}", shape_text(shape), d)));
    if (d == 0) {
      zero = true;
      continue;
    }
    if (static_cast<uint64_t>(d) > kMaxElements / count)
      return fail(invalid_argument(fmt::format("shape {} has more than 2^40 elements", shape_text(shape))));
    count *= static_cast<uint64_t>(d);
  }
  return zero ? 0 : count;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  constexpr size_t kMost = 16;
  if (shape.size() <= kMost) return fmt::format("[{}]", fmt::join(shape, ","));
  return fmt::format("[{},... {} dimensions]", fmt::join(shape.begin(), shape.begin() + kMost, ","), shape.size());
}

std::string brief(std::string_view text, size_t most) {
  if (text.size() <= most) return std::string(text);
  size_t n = most - 3;
  while (n > 0 && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) --n;
  return std::string(text.substr(0, n)) + "...";
}

Result<void> check_outputs(const std::vector<std::string>& wanted) {
  if (wanted.size() < 2) return {};
  std::vector<std::string_view> names(wanted.begin(), wanted.end());
  std::ranges::sort(names);
  if (const auto twice = std::ranges::adjacent_find(names); twice != names.end())
    return fail(invalid_argument(fmt::format("output '{}' is asked for twice", brief(*twice))));
  return {};
}

Result<void> check_data(const Tensor& tensor) {
  auto count = element_count(tensor.shape);
  if (!count) return fail(std::move(count.error()).within(fmt::format("tensor '{}'", brief(tensor.name))));
  if (tensor.type != DataType::kBytes) {
    const uint64_t want = *count * element_size(tensor.type);
    if (tensor.data.size() != want)
      return fail(
          invalid_argument(fmt::format("tensor '{}': {} bytes of data, but {} {} takes {}", brief(tensor.name),
                                       tensor.data.size(), to_string(tensor.type), shape_text(tensor.shape), want)));
    return {};
  }
  std::string_view rest = tensor.data;
  for (uint64_t i = 0; i < *count; ++i) {
    uint32_t length = 0;
    if (rest.size() < sizeof length)
      return fail(invalid_argument(
          fmt::format("tensor '{}': the data ends before BYTES element {} of {}", brief(tensor.name), i, *count)));
    std::memcpy(&length, rest.data(), sizeof length);
    rest.remove_prefix(sizeof length);
    if (rest.size() < length)
      return fail(invalid_argument(fmt::format("tensor '{}': BYTES element {} says {} bytes, but {} are left",
                                               brief(tensor.name), i, length, rest.size())));
    rest.remove_prefix(length);
  }
  if (!rest.empty())
    return fail(invalid_argument(fmt::format("tensor '{}': {} bytes are left after the {} BYTES elements of shape {}",
                                             brief(tensor.name), rest.size(), *count, shape_text(tensor.shape))));
  return {};
}

std::vector<std::string_view> bytes_elements(std::string_view data) {
  std::vector<std::string_view> out;
  while (!data.empty()) {
    uint32_t length = 0;
    CHECK(data.size() >= sizeof length);
    std::memcpy(&length, data.data(), sizeof length);
    data.remove_prefix(sizeof length);
    CHECK(data.size() >= length);
    out.push_back(data.substr(0, length));
    data.remove_prefix(length);
  }
  return out;
}

void append_bytes_element(std::string& data, std::string_view element) {
  const auto length = static_cast<uint32_t>(element.size());
  char prefix[sizeof length];
  std::memcpy(prefix, &length, sizeof length);
  data.append(prefix, sizeof prefix);
  data.append(element);
}

void CancelFlag::cancel() {
  std::lock_guard lock(mutex_);
  if (cancelled_.exchange(true, std::memory_order_acq_rel)) return;
  if (hook_) hook_();
}

void CancelFlag::set_hook(std::function<void()> hook) {
  std::lock_guard lock(mutex_);
  hook_ = std::move(hook);
  if (cancelled_.load(std::memory_order_acquire) && hook_) hook_();
}

void CancelFlag::clear_hook() {
  std::lock_guard lock(mutex_);
  hook_ = nullptr;
}

}  // namespace colony::runtime
