#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "request/runtime/oip/contract.h"

namespace colony::runtime::oip {
namespace {

using testing::HasSubstr;

const ModelInfo kOne{.name = "m", .inputs = {{"x", DataType::kFp32, {-1, 2}}}};
const ModelInfo kTwo{.name = "m", .inputs = {{"a", DataType::kInt64, {-1}}, {"b", DataType::kBytes, {-1}}}};
const ModelInfo kAny{.name = "m", .inputs = {{"INPUT0", DataType::kFp32, {-1}}}, .any_tensor = true};

std::string error(const std::string& body, const ModelInfo& model) {
  auto r = parse_predict(body, model);
  return r ? "no error" : r.error().message;
}
std::string echoed(const std::string& body, const ModelInfo& model) {
  auto r = parse_predict(body, model);
  if (!r) return "error: " + r.error().message;
  return write_predict({"m", "1", r->request.inputs}, r->rows).value();
}

TEST(Predict, RowsOfOneInputAreItsFirstDimension) {
  auto r = parse_predict(R"({"instances":[[1,2],[3,4],[5,6]]})", kOne);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->request.inputs[0].name, "x");
  EXPECT_EQ(r->request.inputs[0].shape, (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(echoed(R"({"instances":[[1,2],[3,4]]})", kOne), R"({"predictions":[[1.0,2.0],[3.0,4.0]]})");
}

TEST(Predict, RowsOfSeveralInputsAreObjects) {
  EXPECT_EQ(echoed(R"({"instances":[{"a":1,"b":"x"},{"a":2,"b":"y"}]})", kTwo),
            R"({"predictions":[{"a":1,"b":"x"},{"a":2,"b":"y"}]})");
  EXPECT_THAT(error(R"({"instances":[1]})", kTwo), HasSubstr("has 2 inputs, so each entry must be an object"));
  EXPECT_THAT(error(R"({"instances":[{"a":1,"b":"x"},{"a":2}]})", kTwo), HasSubstr("instances[1]"));
}

TEST(Predict, ColumnsAreWholeTensors) {
  EXPECT_EQ(echoed(R"({"inputs":{"a":[1,2],"b":["x","y"]}})", kTwo), R"({"predictions":{"a":[1,2],"b":["x","y"]}})");
  EXPECT_EQ(echoed(R"({"inputs":[[1,2]]})", kOne), R"({"predictions":[[1.0,2.0]]})");
}

TEST(Predict, AModelThatTakesAnythingGetsTheDatatypeOfTheValues) {
  EXPECT_EQ(echoed(R"({"instances":[[1,2]]})", kAny), R"({"predictions":[[1,2]]})");
  EXPECT_EQ(echoed(R"({"instances":[1.5,2]})", kAny), R"({"predictions":[1.5,2.0]})");
  EXPECT_EQ(echoed(R"({"instances":["a",""]})", kAny), R"({"predictions":["a",""]})");
  EXPECT_EQ(echoed(R"({"instances":[true]})", kAny), R"({"predictions":[true]})");
}

TEST(Predict, WrongRequestsAreNamedByTheirPlace) {
  EXPECT_THAT(error("{", kOne), HasSubstr("not valid JSON"));
  EXPECT_THAT(error("{}", kOne), HasSubstr("expected one of `instances`"));
  EXPECT_THAT(error(R"({"instances":[[1],[2,3]]})", kOne),
              HasSubstr("instances[1]: a list of 2 elements beside one of 1"));
  EXPECT_THAT(error(R"({"instances":[[1,"a"]]})", kOne),
              HasSubstr("instances[0][1]: \"a\" given, expected a value that fits FP32"));
  EXPECT_THAT(error(R"({"instances":[1,[2]]})", kOne), HasSubstr("instances[1]: [2] given"));
  EXPECT_THAT(error(R"({"instances":[[],2]})", kOne), HasSubstr("instances[1]: 2 given, expected a list"));
  EXPECT_THAT(error(R"({"instances":[]})", kOne), HasSubstr("at least one row"));
  EXPECT_THAT(error(R"({"inputs":{"z":[1]}})", kOne), HasSubstr("input 'z' is unknown; model 'm' takes: x"));
  const std::string deep = std::string(40, '[') + std::string(40, ']');
  EXPECT_THAT(error("{\"instances\":" + deep + "}", kOne), HasSubstr("more than 32 lists deep"));
  EXPECT_THAT(error(R"({"instances":1,"x":"[[[[\"[[[["})", kOne), HasSubstr("at least one row"));
}

TEST(Predict, ARequestThatIsNestedWithoutEndIsRefused) {
  for (const std::string& open : {std::string("["), std::string(R"({"a":)")}) {
    std::string nested;
    for (int i = 0; i < 150'000; ++i) nested += open;
    nested += "1" + std::string(150'000, open == "[" ? ']' : '}');
    for (const char* field : {"instances", "inputs"})
      EXPECT_EQ(error(std::string("{\"") + field + "\":" + nested + "}", kAny),
                "the request is more than 64 lists and objects deep");
  }
}

TEST(Predict, ErrorsAreShortWhateverTheRequestIs) {
  const std::string name(1'000'000, 'n');
  EXPECT_LT(error("{\"instances\":{\"" + name + "\":\"" + name + "\"}}", kOne).size(), 500u);
  EXPECT_LT(error("{\"inputs\":{\"" + name + "\":[[1],2]}}", kAny).size(), 500u);
}

TEST(Predict, NumbersThatJsonHasNoWordFor) {
  EXPECT_EQ(echoed(R"({"instances":[[NaN,1],[Infinity,-Infinity]]})", kOne),
            R"({"predictions":[[NaN,1.0],[Infinity,-Infinity]]})");
  EXPECT_EQ(echoed(R"({"instances":[NaN,1]})", kAny), R"({"predictions":[NaN,1.0]})");
  EXPECT_THAT(error(R"({"inputs":{"a":[1],"b":[NaN]}})", kTwo),
              HasSubstr("NaN given, expected a value that fits BYTES"));
  EXPECT_EQ(echoed(R"({"instances":[[3.4028235e+38,100000000000000000000]]})", kOne),
            R"({"predictions":[[3.4028235e+38,1e+20]]})");
  EXPECT_THAT(error(R"({"instances":[[3.4028236e+38,1]]})", kOne), HasSubstr("fits FP32"));
}

}  // namespace
}  // namespace colony::runtime::oip
