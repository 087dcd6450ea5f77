// The WebSocket wire format (RFC 6455, sections 4 and 5), the server's side: frame headers, masks, close codes and the
// opening handshake's answer. Pure: a bounds-checked walk, nothing kept. Fuzzed (ws_frame_fuzz.cc).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace colony::http::ws {

enum class Opcode : uint8_t { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };
inline constexpr size_t kMaxControl = 125;      // payload of a control frame
inline constexpr size_t kMaxHeader = 14;        // 2, 8 of length, 4 of mask
inline constexpr size_t kMaxServerHeader = 10;  // ours carry no mask

// Reasons to close (RFC 6455, 7.4).
inline constexpr uint16_t kNormal = 1000, kGoingAway = 1001, kProtocolError = 1002, kNoStatus = 1005, kAbnormal = 1006,
                          kBadText = 1007, kTooBig = 1009, kServerError = 1011;
bool may_be_sent(uint16_t code);  // in a close frame

struct FrameHeader {
  Opcode opcode = Opcode::kContinuation;
  bool fin = false;
  uint64_t length = 0;  // of the payload
  std::array<uint8_t, 4> mask = {};
  size_t size = 0;  // of the header itself
};

enum class FrameState : uint8_t { kComplete, kNeedMore, kBad };
// A client's frame header at the start of `data`. No extension is offered, so any reserved bit is an error; so are a missing
// mask, an unknown opcode, a control frame in parts or above 125 bytes, and a length that is not in its shortest form.
FrameState parse_frame_header(std::string_view data, FrameHeader& out, std::string_view& why_bad);

// Appends `data` without its mask; `offset`: where in the payload it begins.
void append_unmasked(std::string& out, std::string_view data, const std::array<uint8_t, 4>& mask, uint64_t offset);

// A server's frame header; `out` has room for kMaxServerHeader. Returns its size.
size_t write_frame_header(char* out, Opcode opcode, bool fin, uint64_t length);

// Sec-WebSocket-Accept for a Sec-WebSocket-Key; empty when the key is not 16 bytes in base64.
std::string accept_key(std::string_view key);

}  // namespace colony::http::ws
