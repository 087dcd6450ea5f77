// HTTP/2's frames (RFC 9113, 4 and 6): the names of the numbers, and the nine bytes before each payload. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace colony::http {

enum class H2Type : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

namespace h2_flag {
inline constexpr uint8_t kEndStream = 0x1, kAck = 0x1, kEndHeaders = 0x4, kPadded = 0x8, kPriority = 0x20;
}

enum class H2Error : uint32_t {
  kNoError = 0,
  kProtocol = 1,
  kInternal = 2,
  kFlowControl = 3,
  kStreamClosed = 5,
  kFrameSize = 6,
  kRefusedStream = 7,
  kCancel = 8,
  kCompression = 9,
  kEnhanceYourCalm = 11,
};

enum class H2Setting : uint16_t {
  kHeaderTableSize = 1,
  kEnablePush = 2,
  kMaxStreams = 3,
  kInitialWindow = 4,
  kMaxFrame = 5,
  kMaxHeaderList = 6,
  kConnectProtocol = 8,
  kNoPriorities = 9,
};

inline constexpr size_t kH2FrameHead = 9;
inline constexpr size_t kH2MaxFrame = 16384;  // of a payload, both ways: nobody is asked for more
inline constexpr uint32_t kH2Window = 65535;  // before anything else is agreed on
inline constexpr int64_t kH2MaxWindow = 0x7fffffff;

struct H2FrameHead {
  uint32_t length = 0;
  uint8_t type = 0, flags = 0;
  uint32_t stream = 0;
  bool is(H2Type t) const { return type == static_cast<uint8_t>(t); }
  bool has(uint8_t flag) const { return (flags & flag) != 0; }
};

inline uint32_t h2_read32(const char* p) {
  const auto b = [p](int i) { return static_cast<uint32_t>(static_cast<uint8_t>(p[i])); };
  return b(0) << 24 | b(1) << 16 | b(2) << 8 | b(3);
}
inline char* h2_put32(char* p, uint32_t n) {
  for (const int shift : {24, 16, 8, 0}) *p++ = static_cast<char>(n >> shift);
  return p;
}

// `p`: kH2FrameHead bytes. The reserved bit is dropped.
inline H2FrameHead h2_read_head(const char* p) {
  return {h2_read32(p) >> 8, static_cast<uint8_t>(p[3]), static_cast<uint8_t>(p[4]), h2_read32(p + 5) & 0x7fffffff};
}
inline char* h2_put_head(char* p, size_t length, H2Type type, uint8_t flags, uint32_t stream) {
  p = h2_put32(p, static_cast<uint32_t>(length) << 8 | static_cast<uint8_t>(type));
  *p++ = static_cast<char>(flags);
  return h2_put32(p, stream);
}
inline void h2_append_head(std::string& out, size_t length, H2Type type, uint8_t flags, uint32_t stream) {
  char head[kH2FrameHead];
  h2_put_head(head, length, type, flags, stream);
  out.append(head, sizeof head);
}
// A frame whose payload is one number: RST_STREAM, WINDOW_UPDATE.
inline void h2_append_number(std::string& out, H2Type type, uint32_t stream, uint32_t number) {
  char frame[kH2FrameHead + 4];
  h2_put32(h2_put_head(frame, 4, type, 0, stream), number);
  out.append(frame, sizeof frame);
}

// Takes the padding off the payload of DATA or HEADERS. False: it is longer than the frame (6.1).
inline bool h2_unpad(const H2FrameHead& head, std::string_view& payload) {
  if (!head.has(h2_flag::kPadded)) return true;
  if (payload.empty()) return false;
  const auto padding = static_cast<uint8_t>(payload.front());
  payload.remove_prefix(1);
  if (padding > payload.size()) return false;
  payload.remove_suffix(padding);
  return true;
}

}  // namespace colony::http
