#include "base/text.h"

#include <gtest/gtest.h>

#include <string>

namespace colony {
namespace {

TEST(Text, KeepsWhatWasPutHoweverLongItGrows) {
  ShortText<16> text;
  std::string expected;
  for (uint64_t i = 0; i < 100; ++i) {
    text.append("a", std::string(i % 7, 'b'), std::string_view());
    text.append_number(i * 1'000'000'007);
    expected += "a" + std::string(i % 7, 'b') + std::to_string(i * 1'000'000'007);
    ASSERT_EQ(text.view(), expected);
  }
  text.clear();
  EXPECT_EQ(text.size(), 0u);
  text.append_number(UINT64_MAX);
  EXPECT_EQ(text.view(), "18446744073709551615");
}

TEST(Text, APieceThatIsLongerThanTwiceTheRoomFits) {
  ShortText<8> text;
  text.append("1234567");
  text.append(std::string(1000, 'x'), "y");
  EXPECT_EQ(text.view(), "1234567" + std::string(1000, 'x') + "y");
}

}  // namespace
}  // namespace colony
