#include "bench/loadgen/traffic.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <random>

namespace colony::loadgen {
namespace {

constexpr size_t kShifts = 4096;  // a raw body is one of so many slices of the noise
constexpr size_t kMaxBody = 64u << 20;
constexpr size_t kMaxNumbers = 4u << 20;
constexpr size_t kKept = 64u << 10;

// Grows before the threads start (parse_kind), is only read afterwards.
std::string& noise() {
  static std::string block;
  return block;
}

void grow_noise(size_t size) {
  static std::mt19937_64 rng(1);
  auto& block = noise();
  while (block.size() < size + kShifts) {
    const uint64_t word = rng();
    block.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
}

// Whole numbers that FP32 holds exactly and that always have seven digits.
uint32_t number_of(uint64_t serial) { return 1'000'000 + static_cast<uint32_t>(serial % 9'000'000); }

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 128; value >>= 7) out += static_cast<char>(value | 128);
  out += static_cast<char>(value);
  return out;
}

std::string field(int number, std::string_view bytes) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}

// inference.ModelInferRequest{model_name, inputs{name, datatype, shape}, raw_input_contents: <4 bytes, left out here>}.
std::string infer_message(const std::string& model, const std::string& tensor) {
  const std::string input = field(1, tensor) + field(2, "FP32") + field(3, varint(1));
  std::string message = field(1, model) + field(5, input) + varint(7 << 3 | 2) + varint(4);
  const auto size = static_cast<uint32_t>(message.size() + 4);
  std::string framed = {'\0', static_cast<char>(size >> 24), static_cast<char>(size >> 16),
                        static_cast<char>(size >> 8), static_cast<char>(size)};
  return framed + message;
}

// ",0.12345678" each: as long as most numbers of FP32 are.
std::string more_numbers(size_t n) {
  std::string out;
  std::minstd_rand rng(1);
  for (size_t i = 0; i < n; ++i) out += fmt::format(",0.{:08}", 10'000'000 + rng() % 90'000'000);
  return out;
}

template <class Number>
bool read_number(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

std::string set_key(Kind& kind, std::string_view key, std::string_view value) {
  const auto bad = [&](std::string_view right) { return fmt::format("{}={}: {}", key, value, right); };
  if (key == "name") {
    kind.name = value;
  } else if (key == "path") {
    if (!value.starts_with('/')) return bad("a path begins with /");
    kind.path = value;
  } else if (key == "model") {
    kind.model = value;
  } else if (key == "tensor") {
    kind.tensor = value;
  } else if (key == "bytes") {
    if (!read_number(value, kind.bytes) || kind.bytes < Kind::kStamp || kind.bytes > kMaxBody)
      return bad(fmt::format("{} to {}", Kind::kStamp, kMaxBody));
  } else if (key == "numbers") {
    if (!read_number(value, kind.numbers) || kind.numbers < 1 || kind.numbers > kMaxNumbers)
      return bad(fmt::format("1 to {}", kMaxNumbers));
  } else if (key == "weight") {
    if (!read_number(value, kind.weight) || kind.weight <= 0) return bad("a number above 0");
  } else if (key == "abort") {
    if (!read_number(value, kind.abort) || kind.abort < 0 || kind.abort > 1) return bad("a share, 0 to 1");
  } else if (key == "header") {
    if (!value.contains(": ")) return bad("NAME: VALUE");
    kind.headers += fmt::format("{}\r\n", value);
  } else {
    return fmt::format("unknown key '{}'; there are: name, path, model, tensor, bytes, numbers, weight, abort, header",
                       key);
  }
  return {};
}

void finish_kind(Kind& kind, std::string_view authority) {
  std::string_view type = "application/octet-stream";
  switch (kind.form) {
    case Form::kRaw:
      grow_noise(kind.bytes);
      kind.body_size = kind.bytes;
      break;
    case Form::kOip:
      kind.path = fmt::format("/v2/models/{}/infer", kind.model);
      type = "application/json";
      kind.before = fmt::format(R"({{"inputs":[{{"name":"{}","shape":[{}],"datatype":"FP32","data":[)", kind.tensor,
                                kind.numbers);
      kind.after = more_numbers(kind.numbers - 1) + "]}]}";
      kind.body_size = kind.before.size() + 7 + kind.after.size();
      break;
    case Form::kGrpc:
      kind.path = "/inference.GRPCInferenceService/ModelInfer";
      type = "application/grpc";
      kind.before = infer_message(kind.model, kind.tensor);
      kind.body_size = kind.before.size() + 4;
      break;
  }
  kind.headers = fmt::format("content-type: {}\r\n{}", type, kind.headers);
  kind.head = fmt::format("POST {} HTTP/1.1\r\nhost: {}\r\n{}content-length: {}\r\n\r\n", kind.path, authority,
                          kind.headers, kind.body_size);
}

}  // namespace

std::expected<Kind, std::string> parse_kind(std::string_view text, std::string_view authority) {
  Kind kind;
  const auto next = [&] {
    const size_t end = std::min(text.find(','), text.size());
    const auto part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return part;
  };
  const auto form = next();
  if (form == "raw") {
    kind.form = Form::kRaw;
  } else if (form == "oip") {
    kind.form = Form::kOip;
  } else if (form == "grpc") {
    kind.form = Form::kGrpc;
  } else {
    return std::unexpected(fmt::format("'{}' is no form of request; there are: raw, oip, grpc", form));
  }
  kind.name = form;
  while (!text.empty()) {
    const auto part = next();
    const size_t equals = part.find('=');
    if (equals == part.npos) return std::unexpected(fmt::format("'{}': KEY=VALUE", part));
    if (auto problem = set_key(kind, part.substr(0, equals), part.substr(equals + 1)); !problem.empty())
      return std::unexpected(problem);
  }
  finish_kind(kind, authority);
  return kind;
}

Body::Body(const Kind& kind, uint64_t serial) {
  switch (kind.form) {
    case Form::kRaw: {
      stamp_size = Kind::kStamp;
      fmt::format_to_n(stamp.data(), stamp_size, "{:016x}", serial);
      noise = std::string_view(loadgen::noise()).substr(serial % kShifts, kind.bytes - Kind::kStamp);
      break;
    }
    case Form::kOip:
      stamp_size = 7;
      fmt::format_to_n(stamp.data(), stamp_size, "{}", number_of(serial));
      break;
    case Form::kGrpc: {
      stamp_size = 4;
      const auto bits = std::bit_cast<uint32_t>(static_cast<float>(number_of(serial)));
      std::memcpy(stamp.data(), &bits, sizeof bits);
      break;
    }
  }
}

size_t Body::pieces(const Kind& kind, size_t at, std::array<iovec, 3>& out) const {
  const std::string_view last = kind.form == Form::kRaw ? noise : std::string_view(kind.after);
  size_t count = 0;
  for (const auto part : {std::string_view(kind.before), std::string_view(stamp.data(), stamp_size), last}) {
    if (at >= part.size()) {
      at -= part.size();
      continue;
    }
    out[count++] = {const_cast<char*>(part.data()) + at, part.size() - at};  // NOLINT: iovec is not const
    at = 0;
  }
  return count;
}

void ReplyCheck::begin(const Kind& kind, uint64_t serial) {
  kind_ = &kind;
  serial_ = serial;
  at_ = 0;
  same_ = true;
  kept_.clear();
  body_ = Body(kind, serial);
}

void ReplyCheck::feed(std::string_view bytes) {
  if (kind_->form != Form::kRaw) {
    kept_.append(bytes.substr(0, kKept - std::min(kept_.size(), kKept)));
    return;
  }
  std::array<iovec, 3> expected;
  const size_t count = body_.pieces(*kind_, at_, expected);
  for (size_t i = 0; i < count && !bytes.empty(); ++i) {
    const size_t size = std::min(bytes.size(), expected[i].iov_len);
    same_ = same_ && std::memcmp(expected[i].iov_base, bytes.data(), size) == 0;
    at_ += size;
    bytes.remove_prefix(size);
  }
  same_ = same_ && bytes.empty();
}

bool ReplyCheck::good() const {
  if (kind_->form == Form::kRaw) return same_ && at_ == kind_->body_size;
  if (kind_->form == Form::kGrpc) {
    const std::string needle = '\4' + std::string(body_.stamp.data(), body_.stamp_size);
    return kept_.contains(needle);
  }
  constexpr std::string_view kData = "\"data\":[";
  std::string compact;
  std::ranges::copy_if(kept_, std::back_inserter(compact), [](char c) { return c != ' ' && c != '\n'; });
  const size_t found = compact.find(kData);
  double value = 0;
  if (found == compact.npos) return false;
  const auto [_, error] =
      std::from_chars(compact.data() + found + kData.size(), compact.data() + compact.size(), value);
  return error == std::errc() && value == number_of(serial_);
}

}  // namespace colony::loadgen
