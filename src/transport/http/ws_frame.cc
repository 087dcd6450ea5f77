// See ws_frame.h. The handshake needs SHA-1 once per connection; it is here because nothing else in the house does.
#include "transport/http/ws_frame.h"

#include <bit>

namespace colony::http::ws {
namespace {

uint8_t byte(std::string_view s, size_t i) { return static_cast<uint8_t>(s[i]); }

// FIPS 180-4, for a message of a single call. Not for security: the handshake only shows that the server read the key.
std::array<uint8_t, 20> sha1(std::string message) {
  const uint64_t bits = message.size() * 8;
  message += '\x80';
  message.append((120 - message.size() % 64) % 64, '\0');
  for (int shift = 56; shift >= 0; shift -= 8) message += static_cast<char>(bits >> shift);
  std::array<uint32_t, 5> h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  for (size_t block = 0; block < message.size(); block += 64) {
    std::array<uint32_t, 80> w;
    for (size_t i = 0; i < 16; ++i) {
      const size_t at = block + i * 4;
      w[i] = uint32_t{byte(message, at)} << 24 | uint32_t{byte(message, at + 1)} << 16 |
             uint32_t{byte(message, at + 2)} << 8 | byte(message, at + 3);
    }
    for (size_t i = 16; i < 80; ++i) w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    auto [a, b, c, d, e] = h;
    for (size_t i = 0; i < 80; ++i) {
      const uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
      constexpr std::array<uint32_t, 4> kRound = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
      const uint32_t next = std::rotl(a, 5) + f + e + kRound[i / 20] + w[i];
      e = d;
      d = c;
      c = std::rotl(b, 30);
      b = a;
      a = next;
    }
    h = {h[0] + a, h[1] + b, h[2] + c, h[3] + d, h[4] + e};
  }
  std::array<uint8_t, 20> out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<uint8_t>(h[i / 4] >> (24 - 8 * (i % 4)));
  return out;
}

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

bool may_be_sent(uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

FrameState parse_frame_header(std::string_view data, FrameHeader& out, std::string_view& why_bad) {
  const auto bad = [&](std::string_view why) {
    why_bad = why;
    return FrameState::kBad;
  };
  if (data.empty()) return FrameState::kNeedMore;
  const uint8_t first = byte(data, 0);
  out.fin = (first & 0x80) != 0;
  if ((first & 0x70) != 0) return bad("a reserved bit is set");
  const uint8_t opcode = first & 0x0f;
  if ((opcode > 2 && opcode < 8) || opcode > 10) return bad("an unknown opcode");
  out.opcode = Opcode{opcode};
  const bool control = opcode >= 8;
  if (control && !out.fin) return bad("a control frame in parts");
  if (data.size() < 2) return FrameState::kNeedMore;
  const uint8_t second = byte(data, 1);
  if ((second & 0x80) == 0) return bad("a frame without a mask");
  const uint8_t short_length = second & 0x7f;
  if (control && short_length > kMaxControl) return bad("a control frame above 125 bytes");
  const size_t length_bytes = short_length == 127 ? 8 : short_length == 126 ? 2 : 0;
  if (data.size() < 2 + length_bytes) return FrameState::kNeedMore;
  out.length = short_length;
  if (length_bytes > 0) {
    out.length = 0;
    for (size_t i = 0; i < length_bytes; ++i) out.length = out.length << 8 | byte(data, 2 + i);
    if (out.length <= (length_bytes == 2 ? 125u : 65535u)) return bad("a length in a longer form than it needs");
    if ((out.length >> 63) != 0) return bad("a length above 2^63");
  }
  out.size = 2 + length_bytes + out.mask.size();
  if (data.size() < out.size) return FrameState::kNeedMore;
  for (size_t i = 0; i < out.mask.size(); ++i) out.mask[i] = byte(data, 2 + length_bytes + i);
  return FrameState::kComplete;
}

void append_unmasked(std::string& out, std::string_view data, const std::array<uint8_t, 4>& mask, uint64_t offset) {
  const size_t from = out.size();
  out += data;
  for (size_t i = 0; i < data.size(); ++i)
    out[from + i] = static_cast<char>(static_cast<uint8_t>(out[from + i]) ^ mask[(offset + i) & 3]);
}

size_t write_frame_header(char* out, Opcode opcode, bool fin, uint64_t length) {
  out[0] = static_cast<char>((fin ? 0x80 : 0) | static_cast<uint8_t>(opcode));
  const size_t length_bytes = length > 65535 ? 8 : length > 125 ? 2 : 0;
  out[1] = static_cast<char>(length_bytes == 8 ? 127 : length_bytes == 2 ? 126 : length);
  for (size_t i = 0; i < length_bytes; ++i) out[2 + i] = static_cast<char>(length >> (8 * (length_bytes - 1 - i)));
  return 2 + length_bytes;
}

std::string accept_key(std::string_view key) {
  // 16 bytes: 22 digits, of which the last holds two bits, and "==".
  if (key.size() != 24 || !key.ends_with("==")) return {};
  for (char c : key.substr(0, 22))
    if (kBase64.find(c) == kBase64.npos) return {};
  if (std::string_view("AQgw").find(key[21]) == std::string_view::npos) return {};
  const auto digest = sha1(std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  std::string out;
  for (size_t i = 0; i < digest.size(); i += 3) {
    const size_t n = std::min<size_t>(3, digest.size() - i);
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < n ? digest[i + k] : 0u);
    for (size_t k = 0; k < 4; ++k) out += k <= n ? kBase64[bits >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

}  // namespace colony::http::ws
