#include "transport/http/ws_frame.h"

#include <gtest/gtest.h>

namespace colony::http::ws {
namespace {

using std::string;
using std::string_literals::operator""s;

TEST(WsFrame, AcceptKeyIsThatOfTheRfc) {
  EXPECT_EQ(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");  // RFC 6455, 1.3
  EXPECT_EQ(accept_key("x3JJHMbDL1EzLkh9GBhXDw=="), "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
  for (const char* bad : {"", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25jZQ= ",
                          "dGhlIHNhbXBsZSBub25jZTE2MTY=", "dGhl IHNhbXBsZSBub25jQ=="})
    EXPECT_EQ(accept_key(bad), "") << bad;
}

TEST(WsFrame, AHeaderIsReadFromAllItsBytesAndNoFewer) {
  struct Case {
    string bytes;
    Opcode opcode;
    bool fin;
    uint64_t length;
  };
  const Case kGood[] = {
      {"\x81\x80mask"s, Opcode::kText, true, 0},
      {"\x02\xfdmask"s, Opcode::kBinary, false, 125},
      {"\x80\xfe\x00\x7emask"s, Opcode::kContinuation, true, 126},
      {"\x82\xfe\xff\xffmask"s, Opcode::kBinary, true, 65535},
      {"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00mask"s, Opcode::kBinary, true, 65536},
      {"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffmask"s, Opcode::kBinary, true, ~uint64_t{0} >> 1},
      {"\x88\x82mask"s, Opcode::kClose, true, 2},
      {"\x89\xfdmask"s, Opcode::kPing, true, 125},
      {"\x8a\x80mask"s, Opcode::kPong, true, 0},
  };
  for (const Case& c : kGood) {
    FrameHeader h;
    std::string_view why;
    for (size_t n = 0; n < c.bytes.size(); ++n)
      EXPECT_EQ(parse_frame_header(std::string_view(c.bytes).substr(0, n), h, why), FrameState::kNeedMore);
    ASSERT_EQ(parse_frame_header(c.bytes + "payload", h, why), FrameState::kComplete) << why;
    EXPECT_EQ(h.opcode, c.opcode);
    EXPECT_EQ(h.fin, c.fin);
    EXPECT_EQ(h.length, c.length);
    EXPECT_EQ(h.size, c.bytes.size());
    EXPECT_EQ(string(h.mask.begin(), h.mask.end()), "mask");
    char ours[kMaxServerHeader];
    const size_t n = write_frame_header(ours, c.opcode, c.fin, c.length);
    EXPECT_EQ(n + 4, c.bytes.size());
    EXPECT_EQ(ours[0], c.bytes[0]);
    EXPECT_EQ(ours[1] | '\x80', c.bytes[1]);
  }
}

TEST(WsFrame, WhatAClientMayNotSendIsRefusedAtItsFirstByte) {
  const string kBad[] = {"\xc1"s,
                         "\xa1"s,
                         "\x91"s,
                         "\x83"s,
                         "\x87"s,
                         "\x8b"s,
                         "\x8f"s,
                         "\x08"s,
                         "\x09"s,
                         "\x0a"s,
                         "\x81\x01"s,
                         "\x89\xfe"s,
                         "\x88\xff"s,
                         "\x81\x7e"s,
                         "\x82\xfe\x00\x7d"s,
                         "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff"s,
                         "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00"s};
  for (const string& bytes : kBad) {
    FrameHeader h;
    std::string_view why;
    EXPECT_EQ(parse_frame_header(bytes, h, why), FrameState::kBad) << bytes.size();
    EXPECT_FALSE(why.empty());
  }
}

TEST(WsFrame, TheMaskGoesOnWhereItStopped) {
  const std::array<uint8_t, 4> mask = {0x37, 0xfa, 0x21, 0x3d};
  const string masked = "\x7f\x9f\x4d\x51\x58";  // RFC 6455, 5.7
  for (size_t cut = 0; cut <= masked.size(); ++cut) {
    string out;
    append_unmasked(out, masked.substr(0, cut), mask, 0);
    append_unmasked(out, masked.substr(cut), mask, cut);
    EXPECT_EQ(out, "Hello");
  }
}

TEST(WsFrame, CodesThatMayBeSent) {
  for (int code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999})
    EXPECT_TRUE(may_be_sent(static_cast<uint16_t>(code))) << code;
  for (int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535})
    EXPECT_FALSE(may_be_sent(static_cast<uint16_t>(code))) << code;
}

}  // namespace
}  // namespace colony::http::ws
