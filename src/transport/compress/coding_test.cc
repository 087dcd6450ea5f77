// Codings: what is packed comes out again however it is cut; broken, short and exploding input is refused.
#include "transport/compress/coding.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"

namespace colony::compress {
namespace {

constexpr size_t kMost = size_t{256} << 20;

class EachCoding : public ::testing::TestWithParam<Coding> {};
INSTANTIATE_TEST_SUITE_P(Of, EachCoding, ::testing::Values(Coding::kGzip, Coding::kDeflate, Coding::kZstd),
                         [](const auto& info) { return std::string(to_string(info.param)); });

std::string noise(size_t n) {
  Rng rng(7);
  std::string out(n, '\0');
  for (char& c : out) c = static_cast<char>(rng.next());
  return out;
}

TEST_P(EachCoding, WhatWasPackedComesOutAgainHoweverItIsCut) {
  for (const std::string& text : {std::string(), std::string("x"), std::string(300'000, 'a'), noise(200'000)}) {
    const std::string packed = compress(GetParam(), text);
    EXPECT_EQ(decompress(GetParam(), packed, kMost), text);
    for (const size_t step : {1u, 7u, 4096u}) {
      Decompressor d(GetParam(), kMost);
      std::string out;
      for (size_t at = 0; at < packed.size(); at += step) ASSERT_TRUE(d.feed(packed.substr(at, step), out));
      EXPECT_TRUE(d.finish());
      EXPECT_TRUE(out == text) << "in pieces of " << step;
    }
  }
}

TEST_P(EachCoding, OneByteAboveTheBoundIsRefusedAndTheBoundItselfIsNot) {
  const std::string packed = compress(GetParam(), std::string(100'000, 'a'));
  EXPECT_TRUE(decompress(GetParam(), packed, 100'000));
  const auto over = decompress(GetParam(), packed, 99'999);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, Code::kResourceExhausted);
  EXPECT_EQ(over.error().reason, "body_too_large");
  EXPECT_NE(over.error().message.find("99999"), std::string::npos);
}

TEST_P(EachCoding, ABombStopsAtTheRatioLongBeforeTheBound) {
  const std::string packed = compress(GetParam(), std::string(size_t{200} << 20, '\0'));
  Decompressor d(GetParam(), kMost);
  std::string out;
  const auto done = d.feed(packed, out);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().reason, "body_too_large");
  EXPECT_LE(out.size(), kFreeOutput + kMaxRatio * packed.size() + 65'536);
  EXPECT_LE(out.capacity(), 4 * out.size());
  EXPECT_FALSE(d.feed("more", out)) << "an error stays";
}

TEST_P(EachCoding, ZerosOfSomeMegabytesAreNoBomb) {
  const std::string zeros(size_t{12} << 20, '\0');
  EXPECT_EQ(decompress(GetParam(), compress(GetParam(), zeros), kMost), zeros);
}

TEST_P(EachCoding, InputThatEndsEarlyIsRefused) {
  const std::string packed = compress(GetParam(), noise(5000));
  for (const size_t n : {size_t{0}, size_t{1}, packed.size() / 2, packed.size() - 1}) {
    const auto out = decompress(GetParam(), packed.substr(0, n), kMost);
    ASSERT_FALSE(out) << n;
    EXPECT_EQ(out.error().reason, "bad_encoding");
  }
}

TEST_P(EachCoding, BrokenInputIsRefused) {
  std::string packed = compress(GetParam(), noise(5000));
  packed[packed.size() / 2] ^= 0x55;
  packed.back() ^= 0x55;  // of gzip and deflate, the sum over the content
  std::vector<std::string> all{"no such thing", compress(GetParam(), "a") + "rubbish"};
  if (GetParam() != Coding::kZstd) all.push_back(packed);  // zstd's frames carry no sum unless they are asked to
  for (const std::string& bytes : all) {
    const auto out = decompress(GetParam(), bytes, kMost);
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().code, Code::kInvalidArgument);
    EXPECT_EQ(out.error().reason, "bad_encoding");
  }
}

TEST_P(EachCoding, TheBeginningCanBeHadAlone) {
  const std::string packed = compress(GetParam(), std::string(size_t{8} << 20, 'b'));
  Decompressor d(GetParam(), kMost);
  d.enough_at(1000);
  std::string out;
  EXPECT_TRUE(d.feed(packed, out));
  EXPECT_GE(out.size(), 1000u);
  EXPECT_LE(out.size(), 200'000u);
}

TEST(Coding, MembersAndFramesMayFollowOneAnother) {
  for (const Coding c : {Coding::kGzip, Coding::kZstd})
    EXPECT_EQ(decompress(c, compress(c, "one ") + compress(c, "two"), kMost), "one two");
  EXPECT_FALSE(
      decompress(Coding::kDeflate, compress(Coding::kDeflate, "one") + compress(Coding::kDeflate, "two"), kMost));
}

TEST(Coding, ZstdWindowsAboveEightMebibytesAreRefused) {
  const std::string frame{'\x28', '\xb5', '\x2f', '\xfd', '\x00', '\x70', '\x01', '\x00', '\x00'};  // window of 16 MiB
  const auto out = decompress(Coding::kZstd, frame, kMost);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().reason, "bad_encoding");
}

TEST(Coding, NamesAreReadInAnyCase) {
  EXPECT_EQ(parse_coding("GZip"), Coding::kGzip);
  EXPECT_EQ(parse_coding(" x-gzip "), Coding::kGzip);
  EXPECT_EQ(parse_coding("zstd"), Coding::kZstd);
  EXPECT_EQ(parse_coding("identity"), Coding::kIdentity);
  EXPECT_EQ(parse_coding("br"), std::nullopt);
  EXPECT_EQ(parse_coding("gzip, zstd"), std::nullopt);
  EXPECT_EQ(to_string(Coding::kGzip), "gzip");
}

TEST(Coding, TheBestThatIsAcceptedIsChosen) {
  EXPECT_EQ(choose(""), Coding::kIdentity);
  EXPECT_EQ(choose("gzip"), Coding::kGzip);
  EXPECT_EQ(choose("gzip, deflate, br, zstd"), Coding::kZstd);
  EXPECT_EQ(choose("deflate, gzip"), Coding::kGzip);
  EXPECT_EQ(choose("gzip;q=0.5, deflate;q=0.8"), Coding::kDeflate);
  EXPECT_EQ(choose("gzip;q=0, zstd;q=0.000"), Coding::kIdentity);
  EXPECT_EQ(choose("identity, gzip;q=0.5"), Coding::kIdentity);
  EXPECT_EQ(choose("gzip;q=2, zstd;level=3"), Coding::kIdentity);
  EXPECT_EQ(choose("*"), Coding::kIdentity);
  EXPECT_EQ(choose("br, *;q=0.1"), Coding::kIdentity);
  EXPECT_EQ(choose("identity, deflate, gzip"), Coding::kGzip) << "as gRPC's libraries say it";
}

}  // namespace
}  // namespace colony::compress
