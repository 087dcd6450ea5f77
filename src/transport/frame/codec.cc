// Encoding and decoding of frames. The decoder trusts nothing: a field that no honest peer sends makes the frame bad at
// once, as soon as its header is there, so that a broken link is found at its first wrong byte.
#include "transport/frame/codec.h"

#include <bit>

#include "base/check.h"

namespace colony::frame {
namespace {

static_assert(std::endian::native == std::endian::little, "frames are little endian and copied as they lie in memory");

constexpr uint32_t kHelloBytes = 12, kPingBytes = 8;
constexpr uint32_t kMaxGrant = 1u << 30;

std::string_view why_bad_header(const Header& h) {
  if (h.length > kMaxFrame) return "a frame's length is above the limit of 1 MiB";
  if (h.reserved != 0) return "a frame's reserved field is not zero";
  if ((h.flags & ~kFlagEnd) != 0) return "a frame has an unknown flag";
  const bool has_head = h.type == Type::kRequest || h.type == Type::kReply;
  if (has_head && (h.head_len == 0 || h.head_len > h.length)) return "a head's length does not fit its frame";
  if (!has_head && h.type != Type::kCredit && h.type != Type::kRing && h.head_len != 0)
    return "a frame without a head has a head length";
  if (!has_head && h.time != 0) return "a frame without a head has a time";
  const bool may_end = has_head || h.type == Type::kBody;
  if (!may_end && h.flags != 0) return "a frame that cannot end a stream has the end flag";
  const bool of_connection = h.type == Type::kHello || h.type == Type::kPing || h.type == Type::kPong ||
                             h.type == Type::kGoaway || h.type == Type::kRing;
  if (of_connection != (h.stream == 0)) return "a frame's type and stream number do not go together";
  switch (h.type) {
    case Type::kHello: return h.length == kHelloBytes ? "" : "a hello is not 12 bytes long";
    case Type::kPing:
    case Type::kPong: return h.length == kPingBytes ? "" : "a ping is not 8 bytes long";
    case Type::kCredit:
      if (h.length != 0) return "a credit has a payload";
      return h.head_len > 0 && h.head_len <= kMaxGrant ? "" : "a credit grants nothing or more than 1 GiB";
    case Type::kRing:
      return h.length == 0 && h.head_len <= 1 ? "" : "a ring's frame has a payload or an unknown answer";
    case Type::kGoaway: return h.length == 0 ? "" : "a goaway has a payload";
    case Type::kDrain: return h.length == 0 ? "" : "a drain has a payload";
    case Type::kRequest:
    case Type::kReply:
    case Type::kBody:
    case Type::kEnd:
    case Type::kCancel: return "";
  }
  return "a frame has an unknown type";
}

}  // namespace

void append_frame(std::string& out, const Header& header, std::string_view payload) {
  CHECK(header.length == payload.size());
  char bytes[sizeof(Header)];
  std::memcpy(bytes, &header, sizeof(Header));
  out.append(bytes, sizeof bytes).append(payload);
}

DecodeState decode(std::string_view data, Header& header, std::string_view& payload, std::string_view& why_bad) {
  if (data.size() < sizeof(Header)) return DecodeState::kNeedMore;
  std::memcpy(&header, data.data(), sizeof(Header));
  why_bad = why_bad_header(header);
  if (!why_bad.empty()) return DecodeState::kBad;
  if (data.size() - sizeof(Header) < header.length) return DecodeState::kNeedMore;
  payload = data.substr(sizeof(Header), header.length);
  return DecodeState::kComplete;
}

}  // namespace colony::frame
