// The wire format: what is written is read back whatever its cut, and each way to be inconsistent is refused with
// words.
#include "transport/frame/codec.h"

#include <gtest/gtest.h>

namespace colony::frame {
namespace {

Header header(Type type, uint32_t stream, uint32_t length = 0, uint32_t head_len = 0) {
  Header h{};
  h.type = type;
  h.stream = stream;
  h.length = length;
  h.head_len = head_len;
  return h;
}

TEST(Codec, a_frame_is_read_back_only_when_it_is_whole) {
  std::string wire;
  Header sent = header(Type::kRequest, 0x10001, 9, 4);
  sent.time = 250;
  sent.flags = kFlagEnd;
  append_frame(wire, sent, "head+body");
  append_frame(wire, header(Type::kPing, 0, 8), "12345678");
  Header h{};
  std::string_view payload, why;
  for (size_t n = 0; n < sizeof(Header) + 9; ++n)
    ASSERT_EQ(decode(std::string_view(wire).substr(0, n), h, payload, why), DecodeState::kNeedMore) << n;
  ASSERT_EQ(decode(wire, h, payload, why), DecodeState::kComplete);
  EXPECT_EQ(payload, "head+body");
  EXPECT_EQ(h.stream, 0x10001u);
  EXPECT_EQ(h.head_len, 4u);
  EXPECT_EQ(h.time, 250u);
  EXPECT_EQ(h.flags, kFlagEnd);
  ASSERT_EQ(decode(std::string_view(wire).substr(sizeof(Header) + 9), h, payload, why), DecodeState::kComplete);
  EXPECT_EQ(h.type, Type::kPing);
}

TEST(Codec, an_inconsistent_header_is_refused_before_its_payload_has_come) {
  const auto with = [](Header h, auto change) {
    change(h);
    return h;
  };
  const Header kBad[] = {
      header(Type{0}, 1),
      header(Type{13}, 1),
      header(Type::kRing, 1),
      header(Type::kRing, 0, 1),
      header(Type::kRing, 0, 0, 2),
      header(Type{255}, 1),
      header(Type::kBody, 1, kMaxFrame + 1),
      header(Type::kBody, 1, 0xffffffff),
      header(Type::kBody, 0, 1),
      header(Type::kBody, 1, 5, 5),
      header(Type::kRequest, 0, 5, 5),
      header(Type::kRequest, 1, 5, 6),
      header(Type::kRequest, 1, 5, 0),
      header(Type::kReply, 1, 5, 6),
      header(Type::kReply, 1, 5, 0xffffffff),
      header(Type::kHello, 0, 11),
      header(Type::kHello, 1, 12),
      header(Type::kPing, 0, 7),
      header(Type::kPing, 3, 8),
      header(Type::kPong, 0, 0),
      header(Type::kCredit, 1, 0, 0),
      header(Type::kCredit, 1, 0, 0x80000000),
      header(Type::kCredit, 1, 4, 4),
      header(Type::kGoaway, 0, 1),
      header(Type::kGoaway, 2, 0),
      header(Type::kDrain, 0, 0),
      header(Type::kDrain, 1, 1),
      with(header(Type::kBody, 1), [](Header& h) { h.reserved = 1; }),
      with(header(Type::kBody, 1), [](Header& h) { h.flags = 2; }),
      with(header(Type::kEnd, 1), [](Header& h) { h.flags = kFlagEnd; }),
      with(header(Type::kCancel, 1), [](Header& h) { h.flags = kFlagEnd; }),
      with(header(Type::kBody, 1, 5), [](Header& h) { h.time = 1; }),
  };
  for (const Header& bad : kBad) {
    char bytes[sizeof(Header)];
    std::memcpy(bytes, &bad, sizeof bytes);
    Header h{};
    std::string_view payload, why;
    EXPECT_EQ(decode({bytes, sizeof bytes}, h, payload, why), DecodeState::kBad)
        << "type " << int(bad.type) << " stream " << bad.stream << " length " << bad.length << " head " << bad.head_len;
    EXPECT_FALSE(why.empty());
  }
}

}  // namespace
}  // namespace colony::frame
