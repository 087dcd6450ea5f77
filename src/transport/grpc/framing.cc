// See framing.h.
#include "transport/grpc/framing.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <new>

#include "base/check.h"

namespace colony::grpc {
namespace {

uint32_t big_endian(const char* p) {
  const auto byte = [p](int i) { return static_cast<uint32_t>(static_cast<unsigned char>(p[i])); };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

// Room for a message of which `here` bytes have come. A prefix alone reserves little, and what has come is moved at most
// once more when an eighth of the message proves that it means it.
size_t room_for(size_t whole, size_t here) {
  constexpr size_t kAtOnce = 256 * 1024;
  whole += MessageDecoder::kAlignment;
  return here >= whole / 8 ? whole : std::min(whole, here + kAtOnce);
}

}  // namespace

Error no_memory_for_message() { return resource_exhausted("no memory is left for this message", "out_of_memory"); }

void append_prefix(std::string& out, size_t message_bytes, Packed packed) {
  CHECK(message_bytes <= std::numeric_limits<uint32_t>::max());
  const auto n = static_cast<uint32_t>(message_bytes);
  const char prefix[kPrefixBytes] = {static_cast<char>(packed), static_cast<char>(n >> 24), static_cast<char>(n >> 16),
                                     static_cast<char>(n >> 8), static_cast<char>(n)};
  out.append(prefix, kPrefixBytes);
}

void append_message(std::string& out, std::string_view message, Packed packed) {
  append_prefix(out, message.size(), packed);
  out.append(message);
}

void MessageDecoder::feed(std::string_view data) {
  keep();
  rest_ = data;
}

void MessageDecoder::keep() {
  try {
    keep_rest();
  } catch (const std::bad_alloc&) {
    out_of_memory();
  }
}

void MessageDecoder::keep_rest() {
  if (taken_ > 0 && !aligned_) {
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
  aligned_ = false;
  rest_ = {};
  return State::kBad;
}

MessageDecoder::State MessageDecoder::out_of_memory() {
  std::string().swap(buffer_);  // first, so that there is some for the error
  return fail_with(no_memory_for_message());
}

MessageDecoder::State MessageDecoder::next(std::string_view& message) {
  if (bad_) return State::kBad;
  try {
    return read(message);
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  }
}

MessageDecoder::State MessageDecoder::read(std::string_view& message) {
  // What was kept comes first; it grows only until its first message is whole, so that the rest is shown in place.
  std::string_view kept = std::string_view(buffer_).substr(taken_);
  if (kept.empty()) {
    buffer_.clear();
    taken_ = 0;
    aligned_ = false;
  } else if (kept.size() < kPrefixBytes && !rest_.empty()) {
    const size_t n = std::min(kPrefixBytes - kept.size(), rest_.size());
    buffer_.append(rest_.substr(0, n));
    rest_.remove_prefix(n);
    kept = std::string_view(buffer_).substr(taken_);
  }
  const std::string_view from = kept.empty() ? rest_ : kept;
  if (from.size() < kPrefixBytes) {
    keep_rest();
    return State::kNeedMore;
  }
  if (from[0] == 1 && may_be_packed_ == Packed::kNo) {
    return fail_with(internal_error("the message is compressed, but no grpc-encoding says how", "bad_framing"));
  }
  if (from[0] != 0 && from[0] != 1) {
    return fail_with(internal_error(
        fmt::format("byte {} at the start of a gRPC message; 0 or 1 is allowed", static_cast<unsigned char>(from[0])),
        "bad_framing"));
  }
  const size_t size = big_endian(from.data() + 1);
  if (size > max_) {
    return fail_with(resource_exhausted(
        fmt::format("a message of {} bytes is larger than the limit of {} bytes", size, max_), "message_too_large"));
  }
  packed_ = static_cast<Packed>(from[0]);
  const size_t whole = kPrefixBytes + size;
  if (kept.empty()) {
    if (rest_.size() < whole) {
      taken_ = (kAlignment - whole % kAlignment) % kAlignment;
      aligned_ = taken_ > 0;
      buffer_.reserve(room_for(whole, rest_.size()));
      buffer_.assign(taken_, '\0');
      keep_rest();
      return State::kNeedMore;
    }
    message = rest_.substr(kPrefixBytes, size);
    rest_.remove_prefix(whole);
    return State::kMessage;
  }
  if (kept.size() < whole) {
    if (kept.size() == kPrefixBytes && !aligned_) {  // the prefix itself came in pieces
      buffer_.erase(0, taken_);
      taken_ = (kAlignment - whole % kAlignment) % kAlignment;
      aligned_ = taken_ > 0;
      buffer_.insert(0, taken_, '\0');
      kept = std::string_view(buffer_).substr(taken_);
    }
    const size_t n = std::min(whole - kept.size(), rest_.size());
    buffer_.reserve(room_for(whole, kept.size() + n));
    buffer_.append(rest_.substr(0, n));
    rest_.remove_prefix(n);
    kept = std::string_view(buffer_).substr(taken_);
    if (kept.size() < whole) return State::kNeedMore;
  }
  message = kept.substr(kPrefixBytes, size);
  taken_ += whole;
  aligned_ = false;
  return State::kMessage;
}

std::string MessageDecoder::take(std::string_view& message) {
  constexpr size_t kWorthMoving = 4096;
  const bool alone = message.data() > buffer_.data() && message.data() < buffer_.data() + buffer_.size() &&
                     taken_ == buffer_.size() && taken_ - message.size() < 2 * kAlignment;
  std::string out;
  if (alone && message.size() >= kWorthMoving) {
    out = std::move(buffer_);
    buffer_.clear();
    taken_ = 0;
    return out;
  }
  const size_t pad = (kAlignment - message.size() % kAlignment) % kAlignment;
  out.reserve(pad + message.size());
  out.assign(pad, '\0');
  out.append(message);
  message = std::string_view(out).substr(pad);
  return out;
}

}  // namespace colony::grpc
