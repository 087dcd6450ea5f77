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

TEST(GrpcModelName, IsReadFromFieldOneWhereverItStands) {
  const auto name_of = [](const std::string& message) {
    const std::string bytes = framed(message);
    std::string_view name = "none", why;
    EXPECT_EQ(grpc_model_name(bytes, name, why), PeekState::kFound) << why;
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
    EXPECT_EQ(grpc_model_name(std::string_view(all).substr(0, cut), name, why), PeekState::kNeedMore) << cut;
  EXPECT_EQ(grpc_model_name(std::string_view(all).substr(0, 17), name, why), PeekState::kFound);
  EXPECT_EQ(name, "model");
}

TEST(GrpcModelName, RefusesWhatIsNoMessageAndSaysWhy) {
  const auto why_of = [](std::string bytes) {
    std::string_view name, why = "accepted";
    EXPECT_EQ(grpc_model_name(bytes, name, why), PeekState::kBad);
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

}  // namespace
}  // namespace colony::proxy
