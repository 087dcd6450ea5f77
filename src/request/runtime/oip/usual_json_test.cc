// Whatever read_usual() takes, the parser takes too and sees the same in it; and it takes what clients send.
#include "request/runtime/oip/usual_json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace colony::runtime::oip {
namespace {

std::string one(std::string_view type, std::string_view shape, std::string_view data) {
  return fmt::format(R"({{"inputs":[{{"name":"x","shape":{},"datatype":"{}","data":{}}}]}})", shape, type, data);
}

// Is it taken? Then the parser must agree.
bool taken(const std::string& text) {
  ParsedInfer usual, any;
  if (!read_usual(text, usual)) return false;
  const auto parsed = parse_any_infer(std::make_shared<std::string>(text), std::nullopt, any);
  EXPECT_TRUE(parsed) << text << ": " << (parsed ? "" : parsed.error().message);
  EXPECT_EQ(usual.request.id, any.request.id) << text;
  EXPECT_EQ(usual.wish.id, any.wish.id) << text;
  EXPECT_EQ(usual.request.outputs, any.request.outputs) << text;
  EXPECT_EQ(usual.request.inputs.size(), any.request.inputs.size()) << text;
  for (size_t i = 0; i < std::min(usual.request.inputs.size(), any.request.inputs.size()); ++i) {
    const Tensor &a = usual.request.inputs[i], &b = any.request.inputs[i];
    EXPECT_TRUE(a.name == b.name && a.type == b.type && a.shape == b.shape && a.data == b.data) << text;
    EXPECT_TRUE(check_data(a)) << text;
  }
  return true;
}

TEST(UsualJson, TakesWhatClientsSend) {
  EXPECT_TRUE(taken(R"({"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1234.25]}]})"));
  EXPECT_TRUE(taken(R"({"id": "7", "inputs": [{"name": "x", "shape": [1, 2], "datatype": "INT64", "data": [1, -2]},
                       {"datatype": "FP64", "shape": [2], "name": "y", "data": [1e-3, 0.1]}],
                       "outputs": [{"name": "x"}, {"name": "y"}]})"));
  for (const char* type : {"UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64"})
    EXPECT_TRUE(taken(one(type, "[3]", " [ 0,100 ,\n7 ] "))) << type;
  EXPECT_TRUE(
      taken(one("FP32", "[10]", "[-0,-0.0,0.0,0.000,1E5,1e+5,1e-5,123456789012345678,0.30000001192092896,10.0050]")));
  EXPECT_TRUE(
      taken(one("FP64", "[4]", "[-0e0,4.9406564584124654e-300,1.7976931348623157e308,12345678901234567.891234]")));
  EXPECT_TRUE(taken(one("INT8", "[3]", "[-128,127,-0]")));
  for (const char* type : {"FP32", "FP64"})
    EXPECT_TRUE(taken(one(type, "[6]",
                          "[3.4028235e+38,-3.4028235e+38,18446744073709551616,100000000000000000000,"
                          "-9223372036854775809,9007199254740993]")))
        << type;
}

TEST(UsualJson, LeavesTheRestToTheParser) {
  const std::string good = one("INT32", "[2]", "[1,2]");
  for (size_t n = 0; n < good.size(); ++n) EXPECT_FALSE(taken(good.substr(0, n))) << n;
  for (const char* data : {"[1]",       "[1,2,3]",  "[1,2,]",    "[,1,2]",         "[1 2]",
                           "[[1],[2]]", "[1,2.0]",  "[1,2e0]",   "[1,02]",         "[1,+2]",
                           "[1,-]",     "[1,true]", "[1,\"2\"]", "[1,2147483648]", "[1,99999999999999999999]",
                           "[1,2",      "[]",       "null",      "[1,2]]",         "[1,0x2]"})
    EXPECT_FALSE(taken(one("INT32", "[2]", data))) << data;
  for (const char* data : {"[1.]", "[.1]", "[1e]", "[1e+]", "[-]", "[01.5]", "[1e39]", "[NaN]", "[1.5.5]", "[1e5e5]",
                           "[3.4028236e+38]", "[1e400]", "[--1]", "[1-]"})
    EXPECT_FALSE(taken(one("FP32", "[1]", data))) << data;
  for (const char* shape : {"[]", "[0]", "[-1]", "[1.0]", "[1,]", "1", "[9999999999999]", "[4611686018427387904,8]"})
    EXPECT_FALSE(taken(one("FP32", shape, "[1]"))) << shape;
  EXPECT_FALSE(taken(R"({"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1]}],
                         "outputs":[{"name":"x"},{"name":"x"}]})"));
  EXPECT_FALSE(taken(one("BOOL", "[1]", "[true]")));
  EXPECT_FALSE(taken(one("BYTES", "[1]", "[\"a\"]")));
  EXPECT_FALSE(taken(one("FLOAT", "[1]", "[1]")));
  const std::string input = R"({"name":"x","shape":[1],"datatype":"INT8","data":[1]})";
  for (const std::string& text :
       {std::string("[]"), std::string("{}"), std::string(R"({"inputs":[]})"), good + "x", good + good,
        "\xEF\xBB\xBF" + good, good + std::string(1, '\0'), R"({"inputs":[)" + input + R"(],"inputs":[)" + input + "]}",
        R"({"inputs":[)" + input + R"(],"parameters":{}})", R"({"inputs":[)" + input + R"(],"id":7})",
        R"({"id":"1","id":"2","inputs":[)" + input + "]}", R"({"inputs":[)" + input + R"(],"outputs":[]})",
        R"({"inputs":[)" + input + R"(],"outputs":[{"name":""}]})",
        std::string(R"({"inputs":[{"name":"x","name":"y","shape":[1],"datatype":"INT8","data":[1]}]})"),
        std::string(R"({"inputs":[{"data":[1],"name":"x","shape":[1],"datatype":"INT8"}]})"),
        std::string(R"({"inputs":[{"name":"\u0078","shape":[1],"datatype":"INT8","data":[1]}]})"),
        std::string("{\"inputs\":[{\"name\":\"\xC3\xA9\",\"shape\":[1],\"datatype\":\"INT8\",\"data\":[1]}]}"),
        std::string(R"({"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1],"parameters":{}}]})")})
    EXPECT_FALSE(taken(text)) << text;
}

TEST(UsualJson, NumbersAreTheParsersToTheLastBit) {
  std::mt19937_64 random(7);
  const auto below = [&](uint64_t n) { return random() % n; };
  for (int round = 0; round < 2000; ++round) {
    std::string data;
    for (int i = 0; i < 10; ++i) {
      std::string number = below(2) ? "-" : "";
      switch (below(4)) {
        case 0: {
          const uint64_t bits = random();
          double v = 0;
          std::memcpy(&v, &bits, sizeof v);
          number = std::isfinite(v) && std::abs(v) > 1e-300 ? fmt::format("{:.{}g}", v, 1 + below(18)) : "1";
          break;
        }
        case 1: {
          number += std::to_string(below(1000)) + ".";
          for (uint64_t n = 1 + below(22); n > 0; --n) number += static_cast<char>('0' + below(10));
          break;
        }
        case 2: number += std::to_string(random() >> below(64)).substr(0, 18); break;
        default: number += fmt::format("{}e{}", below(1 << 20), static_cast<int>(below(60)) - 30);
      }
      data += (i > 0 ? "," : "") + number;
    }
    EXPECT_TRUE(taken(one("FP64", "[10]", "[" + data + "]"))) << data;
    taken(one("FP32", "[10]", "[" + data + "]"));
  }
}

}  // namespace
}  // namespace colony::runtime::oip
