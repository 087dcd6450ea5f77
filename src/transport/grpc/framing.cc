// See framing.h.
#include "transport/grpc/framing.h"

#include <fmt/core.h>

#include <algorithm>

namespace colony::grpc {
namespace {

uint32_t big_endian(const char* p) {
  const auto byte = [p](int i) { return static_cast<uint32_t>(static_cast<unsigned char>(p[i])); };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

}  // namespace

void append_prefix(std::string& out, size_t message_bytes) {
  const auto n = static_cast<uint32_t>(message_bytes);
  const char prefix[kPrefixBytes] = {0, static_cast<char>(n >> 24), static_cast<char>(n >> 16),
                                     static_cast<char>(n >> 8), static_cast<char>(n)};
  out.append(prefix, kPrefixBytes);
}

void append_message(std::string& out, std::string_view message) {
  append_prefix(out, message.size());
  out.append(message);
}

void MessageDecoder::feed(std::string_view data) {
  keep();
  rest_ = data;
}

void MessageDecoder::keep() {
  if (taken_ > 0) {
    buffer_.erase(0, taken_);
    taken_ = 0;
  }
  if (!bad_) buffer_.append(rest_);
  rest_ = {};
}

MessageDecoder::State MessageDecoder::fail_with(Error error) {
  bad_ = true;
  error_ = std::move(error);
  buffer_.clear();
  taken_ = 0;
  rest_ = {};
  return State::kBad;
}

MessageDecoder::State MessageDecoder::next(std::string_view& message) {
  if (bad_) return State::kBad;
  // What was kept comes first; it grows only until its first message is whole, so that the rest is shown in place.
  std::string_view kept = std::string_view(buffer_).substr(taken_);
  if (kept.empty()) {
    buffer_.clear();
    taken_ = 0;
  } else if (kept.size() < kPrefixBytes && !rest_.empty()) {
    const size_t n = std::min(kPrefixBytes - kept.size(), rest_.size());
    buffer_.append(rest_.substr(0, n));
    rest_.remove_prefix(n);
    kept = std::string_view(buffer_).substr(taken_);
  }
  const std::string_view from = kept.empty() ? rest_ : kept;
  if (from.size() < kPrefixBytes) {
    keep();
    return State::kNeedMore;
  }
  if (from[0] == 1) {
    return fail_with(unimplemented("the message is compressed; only the identity encoding is accepted", "compressed"));
  }
  if (from[0] != 0) {
    return fail_with(internal_error(
        fmt::format("byte {} at the start of a gRPC message; 0 or 1 is allowed", static_cast<unsigned char>(from[0])),
        "bad_framing"));
  }
  const size_t size = big_endian(from.data() + 1);
  if (size > max_) {
    return fail_with(resource_exhausted(
        fmt::format("a message of {} bytes is larger than the limit of {} bytes", size, max_), "message_too_large"));
  }
  const size_t whole = kPrefixBytes + size;
  if (kept.empty()) {
    if (rest_.size() < whole) {
      buffer_.reserve(std::min(whole, rest_.size() + 256 * 1024));
      keep();
      return State::kNeedMore;
    }
    message = rest_.substr(kPrefixBytes, size);
    rest_.remove_prefix(whole);
    return State::kMessage;
  }
  if (kept.size() < whole) {
    const size_t n = std::min(whole - kept.size(), rest_.size());
    buffer_.append(rest_.substr(0, n));
    rest_.remove_prefix(n);
    kept = std::string_view(buffer_).substr(taken_);
    if (kept.size() < whole) return State::kNeedMore;
  }
  message = kept.substr(kPrefixBytes, size);
  taken_ += whole;
  return State::kMessage;
}

}  // namespace colony::grpc
