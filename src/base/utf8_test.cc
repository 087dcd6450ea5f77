#include "base/utf8.h"

#include <gtest/gtest.h>

namespace colony {
namespace {

TEST(Utf8, AcceptsEveryLengthOfSequence) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("plain"));
  EXPECT_TRUE(is_utf8("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"));
  EXPECT_TRUE(is_utf8("\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF"));
}

TEST(Utf8, RefusesOverlongSurrogateTooLargeAndCutSequences) {
  for (const char* bad : {"\x80", "\xC0\xAF", "\xC1\xBF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF0\x80\x80\xAF",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x82", "\xF0\x9F\x98", "\xC3(", "a\xC3"})
    EXPECT_FALSE(is_utf8(bad)) << bad;
}

TEST(Utf8, ATextInPiecesIsJudgedAtItsFirstWrongByte) {
  const std::string_view good = "a\xC3\xA9\xE2\x82\xAC\xED\x9F\xBF\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF";
  for (size_t cut = 0; cut <= good.size(); ++cut) {
    Utf8Walk walk;
    EXPECT_TRUE(walk.take(good.substr(0, cut)));
    EXPECT_EQ(walk.whole(), is_utf8(good.substr(0, cut))) << cut;
    EXPECT_TRUE(walk.take(good.substr(cut)) && walk.whole());
  }
  for (const char* bad : {"\x80", "\xC0", "\xC1", "\xE0\x80", "\xED\xA0", "\xF0\x8F", "\xF4\x90", "\xF5", "\xFF",
                          "\xC3(", "\xE2\x82(", "\xF0\x9F\x98("}) {
    const std::string_view text = bad;
    Utf8Walk walk;
    EXPECT_TRUE(walk.take(text.substr(0, text.size() - 1))) << bad;
    EXPECT_FALSE(walk.take(text.substr(text.size() - 1))) << bad;
  }
}

}  // namespace
}  // namespace colony
