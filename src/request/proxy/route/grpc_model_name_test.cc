#include "request/proxy/route/grpc_model_name.h"

#include <gtest/gtest.h>

#include <string>

namespace colony::proxy {
namespace {

using namespace std::string_literals;

std::string framed(const std::string& message) {
  std::string out("\0\0\0\0", 4);
  out += static_cast<char>(message.size());
  return out + message;
}

PeekState peek(std::string_view bytes, std::string_view& name, std::string_view& why) {
  std::string unpacked;
  return grpc_model_name(bytes, compress::Coding::kIdentity, unpacked, name, why);
}

TEST(GrpcModelName, IsReadFromFieldOneWhereverItStands) {
  const auto name_of = [](const std::string& message) {
    const std::string bytes = framed(message);
    std::string_view name = "none", why;
    EXPECT_EQ(peek(bytes, name, why), PeekState::kFound) << why;
    return std::string(name);
  };
  EXPECT_EQ(name_of("\x0a\x05model\x12\x01x"s), "model");
  EXPECT_EQ(name_of("\x12\x01x\x28\x07\x0a\x01m"s), "m");
  EXPECT_EQ(name_of("\x12\x01x"s), "");
  EXPECT_EQ(name_of(""s), "");
}

TEST(GrpcModelName, AsksForMoreUntilTheNameIsWhole) {
  const std::string all = framed("\x12\x03xyz\x0a\x05model\x1a\x02id"s);
  std::string_view name, why;
  for (size_t cut = 0; cut < 17; ++cut)
    EXPECT_EQ(peek(std::string_view(all).substr(0, cut), name, why), PeekState::kNeedMore) << cut;
  EXPECT_EQ(peek(std::string_view(all).substr(0, 17), name, why), PeekState::kFound);
  EXPECT_EQ(name, "model");
}

TEST(GrpcModelName, RefusesWhatIsNoMessageAndSaysWhy) {
  const auto why_of = [](std::string bytes) {
    std::string_view name, why = "accepted";
    EXPECT_EQ(peek(bytes, name, why), PeekState::kBad);
    return std::string(why);
  };
  EXPECT_NE(why_of("\x01").find("compressed"), std::string::npos);
  EXPECT_NE(why_of("{\"a\":1}").find("prefix"), std::string::npos);
  EXPECT_NE(why_of(framed("\x0a\x09short"s)).find("longer than its message"), std::string::npos);
  EXPECT_NE(why_of(framed("\x08\x01"s)).find("not a string"), std::string::npos);
  EXPECT_NE(why_of(framed("\x0f"s)).find("not a string"), std::string::npos);
  EXPECT_NE(why_of(framed("\x16"s)).find("wire type"), std::string::npos);
  EXPECT_NE(why_of(framed("\x02\x01x"s)).find("field number"), std::string::npos);
  EXPECT_NE(why_of(framed("\x10\x80"s)).find("cut off"), std::string::npos);
  EXPECT_NE(why_of(framed(std::string(11, '\xff'))).find("broken field key"), std::string::npos);
}

TEST(GrpcModelName, IsFoundInTheBeginningOfACompressedMessage) {
  for (const auto coding : {compress::Coding::kGzip, compress::Coding::kDeflate, compress::Coding::kZstd}) {
    std::string tensors(300'000, '\0');
    for (size_t i = 0; i < tensors.size(); ++i) tensors[i] = static_cast<char>((i * i * 7919) >> 8);
    const std::string packed = compress::compress(coding, "\x0a\x05model\x3a\xe0\xa7\x12"s + tensors);
    std::string bytes{1};
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(packed.size() >> shift);
    bytes += packed;
    std::string unpacked;
    std::string_view name, why;
    EXPECT_EQ(grpc_model_name(bytes.substr(0, 4), coding, unpacked, name, why), PeekState::kNeedMore);
    EXPECT_EQ(grpc_model_name(bytes.substr(0, 8), coding, unpacked, name, why), PeekState::kNeedMore);
    const auto state = grpc_model_name(bytes, coding, unpacked, name, why);
    EXPECT_EQ(state, PeekState::kFound) << why;
    EXPECT_EQ(name, "model");
    EXPECT_LE(unpacked.size(), 3 * kMostUnpacked) << "a beginning is enough";
    bytes[5] ^= 0x55;
    EXPECT_EQ(grpc_model_name(bytes, coding, unpacked, name, why), PeekState::kBad);
  }
}

TEST(GrpcModelName, MustComeEarlyInACompressedMessage) {
  const std::string packed =
      compress::compress(compress::Coding::kGzip, "\x12\xa0\x8d\x06"s + std::string(100'000, 'x'));
  std::string bytes("\1\0\0", 3), unpacked;
  bytes += {static_cast<char>(packed.size() >> 8), static_cast<char>(packed.size())};
  std::string_view name, why;
  EXPECT_EQ(grpc_model_name(bytes + packed, compress::Coding::kGzip, unpacked, name, why), PeekState::kBad);
  EXPECT_NE(why.find("64 KiB"), std::string::npos) << why;
}

}  // namespace
}  // namespace colony::proxy
