// Frame heads and the table of streams.
#include "transport/http/h2_frame.h"

#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"
#include "transport/http/h2_streams.h"

namespace colony::http {
namespace {

TEST(H2Frame, AHeadIsReadAsItWasWritten) {
  std::string out;
  h2_append_head(out, 0x123456, H2Type::kHeaders, h2_flag::kEndStream | h2_flag::kPadded, 0x7fffffff);
  EXPECT_EQ(out, std::string("\x12\x34\x56\x01\x09\x7f\xff\xff\xff", 9));
  out[5] = '\xff';  // the reserved bit
  const H2FrameHead head = h2_read_head(out.data());
  EXPECT_EQ(head.length, 0x123456u);
  EXPECT_TRUE(head.is(H2Type::kHeaders));
  EXPECT_TRUE(head.has(h2_flag::kPadded));
  EXPECT_FALSE(head.has(h2_flag::kEndHeaders));
  EXPECT_EQ(head.stream, 0x7fffffffu);
}

TEST(H2Frame, ANumberIsFourBytes) {
  std::string out;
  h2_append_number(out, H2Type::kRstStream, 5, 0x01020304);
  EXPECT_EQ(out, std::string("\0\0\4\3\0\0\0\0\5\1\2\3\4", 13));
  EXPECT_EQ(h2_read32(out.data() + 9), 0x01020304u);
}

TEST(H2Frame, PaddingIsTakenOffAndNeverLongerThanItsFrame) {
  H2FrameHead head{.flags = h2_flag::kPadded};
  const auto unpad = [&](std::string_view payload) { return h2_unpad(head, payload) ? std::string(payload) : "bad"; };
  EXPECT_EQ(unpad(std::string_view("\2abcd", 5)), "ab");
  EXPECT_EQ(unpad(std::string_view("\0abcd", 5)), "abcd");
  EXPECT_EQ(unpad(std::string_view("\4abcd", 5)), "");
  EXPECT_EQ(unpad(std::string_view("\5abcd", 5)), "bad");
  EXPECT_EQ(unpad({}), "bad");
  head.flags = 0;
  EXPECT_EQ(unpad("\2ab"), "\2ab");
}

TEST(H2Streams, FindWhatIsInThem) {
  Rng rng(3);
  H2Streams<int> streams;
  std::map<uint32_t, int*> want;
  int things[50];
  EXPECT_EQ(streams.find(1), nullptr);
  streams.remove(1);
  uint32_t newest = 1;
  for (int round = 0; round < 5'000; ++round) {
    if (rng.below(2) == 0 && want.size() < 300) {
      newest += 2 * static_cast<uint32_t>(1 + rng.below(3));
      int* thing = &things[rng.below(50)];
      streams.add(newest, thing);
      want[newest] = thing;
    } else if (!want.empty()) {
      const auto it = std::next(want.begin(), static_cast<std::ptrdiff_t>(rng.below(want.size())));
      streams.remove(it->first);
      streams.remove(it->first);
      want.erase(it);
    }
    ASSERT_EQ(streams.count(), want.size());
    if (round % 100 != 0) continue;
    for (uint32_t id = 1; id <= newest; id += 2) {
      const auto it = want.find(id);
      ASSERT_EQ(streams.find(id), it == want.end() ? nullptr : it->second);
    }
  }
}

}  // namespace
}  // namespace colony::http
