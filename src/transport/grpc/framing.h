// gRPC's length-prefixed messages (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md): one byte "compressed", four bytes of
// big-endian length, the message. The decoder is incremental and bounded; a compressed message is shown as it came, and is
// an error in a call that has said nothing of compression. Pure; knows neither HTTP nor protobuf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace colony::grpc {

inline constexpr size_t kPrefixBytes = 5;

enum class Packed : bool { kNo, kYes };
void append_prefix(std::string& out, size_t message_bytes, Packed packed = Packed::kNo);
void append_message(std::string& out, std::string_view message, Packed packed = Packed::kNo);

// A message for which no memory is left: RESOURCE_EXHAUSTED, the end of its call alone.
Error no_memory_for_message();

// Use: feed(), then next() until it is not kMessage. A message that lies whole in the fed bytes is shown in place.
// Where no memory is left for what must be kept the decoder turns bad; only take() throws then.
class MessageDecoder {
 public:
  // `packed`: may messages be compressed?
  explicit MessageDecoder(size_t max_message_bytes, Packed packed = Packed::kNo)
      : max_(max_message_bytes), may_be_packed_(packed) {}

  // `data` must stay valid until next() has said kNeedMore or keep() was called.
  void feed(std::string_view data);
  enum class State : uint8_t { kMessage, kNeedMore, kBad };
  // kMessage: `message` is valid until the next call into the decoder. kBad: see error(); the decoder stays bad.
  State next(std::string_view& message);
  Packed packed() const { return packed_; }  // of the message shown last
  // The message shown last as memory of the caller's, into which `message` then points: moved out when the decoder holds it
  // alone, else copied. A message ends at a multiple of kAlignment, and with it the tensor that usually ends a message.
  std::string take(std::string_view& message);
  static constexpr size_t kAlignment = 16;
  // Copies what was fed and not yet taken, for a caller that stops asking before kNeedMore.
  void keep();

  const Error& error() const { return error_; }
  size_t buffered() const { return buffer_.size() - taken_; }
  bool bad() const { return bad_; }
  bool at_boundary() const { return buffered() == 0 && rest_.empty(); }  // no part of a message is waiting

 private:
  State read(std::string_view& message);
  void keep_rest();
  State fail_with(Error error);
  State out_of_memory();

  size_t max_;
  Packed may_be_packed_, packed_ = Packed::kNo;
  std::string buffer_;     // the start of a message whose end has not come
  size_t taken_ = 0;       // bytes of buffer_ that were shown, or lie before its first message so that it is aligned
  bool aligned_ = false;   // the latter
  std::string_view rest_;  // fed, not looked at
  bool bad_ = false;
  Error error_;
};

}  // namespace colony::grpc
