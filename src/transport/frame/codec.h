// Wire format of the framed protocol. A connection opens with the 8 bytes of kMagic from the proxy, so that one socket
// tells it from HTTP/1.1 and HTTP/2; then both sides send kHello. Little endian, same machine or trusted network.
// Pure: encoding appends to a string, decoding is a bounds-checked walk. Fuzzed (codec_fuzz.cc).
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/result.h"

namespace colony::frame {

inline constexpr std::string_view kMagic{"\0COLONY1", 8};  // its first byte begins no HTTP
inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kMaxFrame = 1 << 20;        // LIMIT: payload of one frame
inline constexpr uint32_t kBodyChunk = 64 * 1024;     // larger bodies travel as frames of this size
inline constexpr int64_t kStreamCredit = 256 * 1024;  // per stream and direction

enum class Type : uint8_t {
  kHello = 1,    // payload: u32 version, u32 features, u32 max streams
  kRequest = 2,  // payload: head block of head_len bytes, then body; time = milliseconds left (0: no deadline)
  kReply = 3,   // payload: head block of head_len bytes, then body; an interim reply (status below 200) has none and no
                // end. After status 101 the call is a tunnel: bodies both ways until each side has given its end.
                // time = nanoseconds that a request keeps the replica's loop busy (0: answered elsewhere, or not known)
  kBody = 4,    // payload: body
  kEnd = 5,     // payload: trailer lines, may be empty
  kCredit = 6,  // head_len field = bytes granted to the receiver of this frame
  kCancel = 7,  // the caller no longer wants the call (no payload), or the replica breaks its reply off (payload: one
                // byte Code, then a text)
  kPing = 8,    // payload 8 bytes, echoed in kPong
  kPong = 9,
  kRing = 11,    // from the proxy, right after the hellos: go over to shared memory, whose descriptors come beside this
                 // frame; from the replica: its answer, head_len = 1 for yes
  kGoaway = 10,  // from the replica: start no new call here; from the proxy: no further call follows
  kDrain = 12,   // from the proxy, of a tunnel: end it as its protocol can (no payload)
};

// Of a hello; both must have it.
inline constexpr uint32_t kFeatureRing = 1;
inline constexpr uint32_t kFeatureBusy = 2;  // replies say how long a request keeps the replica's loop busy

inline constexpr uint8_t kFlagEnd = 1;  // nothing follows in this direction

struct Header {       // 20 bytes on the wire, in this order
  uint32_t length;    // of the payload
  uint32_t stream;    // chosen by the proxy, echoed; 0 for the connection
  uint32_t head_len;  // see Type
  uint32_t time;      // see Type
  Type type;
  uint8_t flags;
  uint16_t reserved;  // 0
};
static_assert(sizeof(Header) == 20);

void append_frame(std::string& out, const Header& header, std::string_view payload);

// kComplete: `header` and `payload` are set and sizeof(Header) + length bytes belong to the frame.
enum class DecodeState : uint8_t { kComplete, kNeedMore, kBad };
DecodeState decode(std::string_view data, Header& header, std::string_view& payload, std::string_view& why_bad);

}  // namespace colony::frame
