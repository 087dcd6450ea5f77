#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <charconv>
#include <cstring>

#include "request/runtime/oip/contract.h"
#include "request/runtime/oip/json_text.h"

namespace colony::runtime::oip {
namespace {

using testing::HasSubstr;

Result<ParsedInfer> parse(std::string body, std::optional<uint64_t> json_length = std::nullopt) {
  ParsedInfer parsed;
  const auto done = parse_infer(std::make_shared<std::string>(std::move(body)), json_length, parsed);
  return done ? Result<ParsedInfer>(std::move(parsed)) : fail(done.error());
}
Result<ParsedInfer> parse_raw(std::string body, const ModelInfo& model) {
  ParsedInfer parsed;
  const auto done = parse_raw_infer(std::make_shared<std::string>(std::move(body)), model, parsed);
  return done ? Result<ParsedInfer>(std::move(parsed)) : fail(done.error());
}
std::string error(const std::string& body, std::optional<uint64_t> json_length = std::nullopt) {
  auto r = parse(body, json_length);
  return r ? "no error" : r.error().message;
}
std::string one(const std::string& type, const std::string& shape, const std::string& data) {
  return R"({"inputs":[{"name":"x","datatype":")" + type + R"(","shape":)" + shape + R"(,"data":)" + data + "}]}";
}
template <class T>
std::vector<T> values(const Tensor& t) {
  std::vector<T> out(t.data.size() / sizeof(T));
  std::memcpy(out.data(), t.data.data(), t.data.size());
  return out;
}
// What a request says, as an echo would answer it.
std::string echoed(const std::string& body, std::optional<uint64_t> json_length = std::nullopt) {
  auto r = parse(body, json_length);
  if (!r) return "error: " + r.error().message;
  InferReply reply{"m", "1", r->request.inputs};
  std::string text;
  const auto written = write_infer(reply, r->wish, text);
  return written ? text : "error: " + written.error().message;
}

TEST(InferJson, ReadsNamesShapesAndValuesOfEveryDatatypeThatJsonHas) {
  EXPECT_EQ(values<float>(parse(one("FP32", "[3]", "[1, -2.5, 1e3]"))->request.inputs[0]),
            (std::vector<float>{1, -2.5, 1000}));
  EXPECT_EQ(values<double>(parse(one("FP64", "[2]", "[1, 0.1]"))->request.inputs[0]), (std::vector<double>{1, 0.1}));
  EXPECT_EQ(values<uint8_t>(parse(one("UINT8", "[2]", "[0, 255]"))->request.inputs[0]), (std::vector<uint8_t>{0, 255}));
  EXPECT_EQ(values<int16_t>(parse(one("INT16", "[2]", "[-32768, 32767]"))->request.inputs[0]),
            (std::vector<int16_t>{-32768, 32767}));
  EXPECT_EQ(values<uint64_t>(parse(one("UINT64", "[1]", "[18446744073709551615]"))->request.inputs[0]),
            (std::vector<uint64_t>{UINT64_MAX}));
  EXPECT_EQ(values<int64_t>(parse(one("INT64", "[1]", "[-9223372036854775808]"))->request.inputs[0]),
            (std::vector<int64_t>{INT64_MIN}));
  EXPECT_EQ(parse(one("BOOL", "[2]", "[true, false]"))->request.inputs[0].data, std::string_view("\1\0", 2));
  EXPECT_EQ(bytes_elements(parse(one("BYTES", "[2]", R"(["a\u00e9", ""])"))->request.inputs[0].data),
            (std::vector<std::string_view>{"a\xC3\xA9", ""}));
  EXPECT_EQ(parse(one("FP32", "[]", "[5]"))->request.inputs[0].shape.size(), 0u);
  EXPECT_EQ(parse(one("FP32", "[0,4]", "[]"))->request.inputs[0].data.size(), 0u);
}

TEST(InferJson, NestedDataMustFollowTheShape) {
  EXPECT_EQ(values<int32_t>(parse(one("INT32", "[2,3]", "[[1,2,3],[4,5,6]]"))->request.inputs[0]),
            (std::vector<int32_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(values<int32_t>(parse(one("INT32", "[2,3]", "[1,2,3,4,5,6]"))->request.inputs[0]),
            (std::vector<int32_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(error(one("INT32", "[2,3]", "[[1,2],[3,4],[5,6]]")),
            "inputs[0].data[0]: a list of 2 elements, but dimension 1 of shape [2,3] is 3");
  EXPECT_EQ(error(one("INT32", "[1,2,2]", "[[[1,2],3]]")),
            "inputs[0].data[0][1]: 3 given, expected a list: the data is nested, so each of the 3 dimensions of shape "
            "[1,2,2] has its own lists");
  EXPECT_EQ(error(one("INT32", "[2,2]", "[[1,2],[3,[4]]]")),
            "inputs[0].data[1][1]: [4] given, expected a whole number from -2147483648 to 2147483647 for INT32");
  EXPECT_EQ(error(one("INT32", "[2,3]", "[1,2,3,4,5]")), "inputs[0].data: 5 elements, but shape [2,3] has 6");
}

TEST(InferJson, AValueThatDoesNotFitIsNamedWithItsPlaceAndTheRange) {
  EXPECT_EQ(error(one("UINT8", "[3]", "[1,2,300]")),
            "inputs[0].data[2]: 300 given, expected a whole number from 0 to 255 for UINT8");
  EXPECT_EQ(error(one("INT8", "[1]", "[-129]")),
            "inputs[0].data[0]: -129 given, expected a whole number from -128 to 127 for INT8");
  EXPECT_EQ(error(one("INT32", "[1]", "[1.5]")),
            "inputs[0].data[0]: 1.5 given, expected a whole number from -2147483648 to 2147483647 for INT32");
  EXPECT_EQ(error(one("UINT64", "[1]", "[-1]")),
            "inputs[0].data[0]: -1 given, expected a whole number from 0 to 18446744073709551615 for UINT64");
  EXPECT_EQ(error(one("FP32", "[1]", "[1e39]")),
            "inputs[0].data[0]: 1e+39 given, expected a number within the range of FP32 for FP32");
  EXPECT_THAT(error(one("FP32", "[1]", R"(["1"])")), HasSubstr("inputs[0].data[0]: \"1\" given"));
  EXPECT_THAT(error(one("BOOL", "[1]", "[1]")), HasSubstr("expected true or false for BOOL"));
  EXPECT_THAT(error(one("BYTES", "[1]", "[null]")), HasSubstr("null given, expected a string for BYTES"));
  EXPECT_THAT(error(one("FP16", "[1]", "[1]")), HasSubstr("FP16 has no JSON form"));
  EXPECT_THAT(error(one("BF16", "[1]", "[1]")), HasSubstr("BF16 has no JSON form"));
}

TEST(InferJson, WrongFieldsAreNamedByTheirPath) {
  EXPECT_THAT(error(""), HasSubstr("has no body"));
  EXPECT_THAT(error("{"), HasSubstr("is not valid JSON"));
  EXPECT_THAT(error("[]"), HasSubstr("request: [] given, expected a JSON object"));
  EXPECT_THAT(error("{}"), HasSubstr("inputs: missing"));
  EXPECT_EQ(error(R"({"inputs":{}})"), "inputs: {} given, expected a list");
  EXPECT_EQ(error(R"({"inputs":[7]})"), "inputs[0]: 7 given, expected an object");
  EXPECT_EQ(error(R"({"inputs":[{"shape":[1],"datatype":"FP32","data":[1]}]})"), "inputs[0].name: missing");
  EXPECT_THAT(error(R"({"inputs":[{"name":"x","shape":[1],"data":[1]}]})"), HasSubstr("inputs[0].datatype: missing"));
  EXPECT_THAT(error(R"({"inputs":[{"name":"x","datatype":"FP32","data":[1]}]})"),
              HasSubstr("inputs[0].shape: missing"));
  EXPECT_THAT(error(R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1]}]})"),
              HasSubstr("inputs[0].data: missing"));
  EXPECT_THAT(error(one("FLOAT", "[1]", "[1]")),
              HasSubstr("inputs[0].datatype: \"FLOAT\" given, expected one of BOOL"));
  EXPECT_EQ(error(one("FP32", "[-1]", "[1]")), "inputs[0].shape[0]: -1 given, expected a whole number of 0 or more");
  EXPECT_EQ(error(one("FP32", "3", "[1]")), "inputs[0].shape: 3 given, expected a list of dimensions");
  EXPECT_THAT(error(one("FP32", "[1099511627776, 1099511627776]", "[1]")), HasSubstr("more than 2^40 elements"));
  EXPECT_THAT(error(one("FP32", "[1]", "1")), HasSubstr("inputs[0].data: 1 given, expected a list of 1 elements"));
  EXPECT_EQ(error(R"({"id":7,"inputs":[]})"), "id: 7 given, expected a string");
  EXPECT_THAT(error(R"({"inputs":[],"parameters":{"binary_data_output":1}})"),
              HasSubstr("parameters.binary_data_output: 1 given"));
  EXPECT_THAT(error(R"({"inputs":[],"outputs":[{}]})"), HasSubstr("outputs[0].name: missing"));
  EXPECT_THAT(error(R"({"inputs":[],"outputs":[{"name":"y","parameters":{"classification":3}}]})"),
              HasSubstr("classification: not offered"));
  EXPECT_THAT(
      error(R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1],"parameters":{"shared_memory_region":"r"}}]})"),
      HasSubstr("shared memory regions are not offered"));
}

TEST(InferJson, NanAndInfinityComeAndGoAsBareWords) {
  const auto body = one("FP32", "[4]", R"([NaN, Infinity, -Infinity, "NaN"])");
  const auto v = values<float>(parse(body)->request.inputs[0]);
  EXPECT_TRUE(std::isnan(v[0]));
  EXPECT_EQ(v[1], std::numeric_limits<float>::infinity());
  EXPECT_EQ(v[2], -std::numeric_limits<float>::infinity());
  EXPECT_THAT(echoed(body), HasSubstr("[NaN,Infinity,-Infinity,NaN]"));
  EXPECT_THAT(error(R"({"inputs":[],"id":"NaN)"), HasSubstr("is not valid JSON"));
  // Nowhere else they are a value, and what stands for them inside means nothing from outside.
  EXPECT_THAT(error(one("BYTES", "[1]", "[NaN]")), HasSubstr("NaN given, expected a string"));
  EXPECT_THAT(error(one("INT32", "[1]", "[-Infinity]")), HasSubstr("-Infinity given, expected a whole number"));
  EXPECT_THAT(error(R"({"inputs":[],"id":NaN})"), HasSubstr("id: NaN given, expected a string"));
  EXPECT_THAT(error(one("FP32", "[1]", R"([{"":0}])")), HasSubstr("given, expected a number"));
}

TEST(InferJson, AnswersInTheShapeOfTheProtocol) {
  EXPECT_EQ(
      echoed(R"({"id":"a\"b","inputs":[{"name":"x","datatype":"INT64","shape":[1,2],"data":[1,-2]}]})"),
      R"({"model_name":"m","model_version":"1","id":"a\"b","outputs":[{"name":"x","datatype":"INT64","shape":[1,2],"data":[1,-2]}]})");
  EXPECT_THAT(echoed(one("FP32", "[4]", "[1, 0.1, 16777216, 1e-45]")), HasSubstr("[1.0,0.1,16777216.0,1e-45]"));
  EXPECT_THAT(echoed(one("FP64", "[2]", "[0.1, 1e300]")), HasSubstr("[0.1,1e+300]"));
  EXPECT_THAT(echoed(one("BOOL", "[2]", "[true,false]")), HasSubstr("[true,false]"));
  EXPECT_THAT(echoed(one("BYTES", "[2]", R"(["a\n\u0001", "é"])")), HasSubstr("[\"a\\n\\u0001\",\"é\"]"));
}

TEST(InferBinary, TensorsFollowTheJsonInTheOrderOfTheInputs) {
  const std::string json =
      R"({"inputs":[{"name":"a","datatype":"FP16","shape":[2],"parameters":{"binary_data_size":4}},)"
      R"({"name":"j","datatype":"INT8","shape":[1],"data":[7]},)"
      R"({"name":"b","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":7}}]})";
  const std::string binary("\x00\x3c\x00\xbc\x03\x00\x00\x00xyz", 11);
  auto r = parse(json + binary, json.size());
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->request.inputs[0].data, binary.substr(0, 4));
  EXPECT_EQ(r->request.inputs[1].data, "\7");
  EXPECT_EQ(bytes_elements(r->request.inputs[2].data).at(0), "xyz");
  EXPECT_TRUE(r->request.storage);
}

TEST(InferBinary, OutputsAreBinaryWhereAskedFor) {
  const std::string json =
      R"({"inputs":[{"name":"x","datatype":"INT16","shape":[2],"data":[1,2]},{"name":"y","datatype":"INT8","shape":[1],"data":[3]}],)"
      R"("parameters":{"binary_data_output":true},"outputs":[{"name":"x"},{"name":"y","parameters":{"binary_data":false}}]})";
  auto r = parse(json);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->request.outputs, (std::vector<std::string>{"x", "y"}));
  std::string text;
  const auto written = write_infer({"m", "1", r->request.inputs}, r->wish, text);
  ASSERT_TRUE(written);
  const std::string expected =
      R"({"model_name":"m","model_version":"1","outputs":[{"name":"x","datatype":"INT16","shape":[2],"parameters":{"binary_data_size":4}},)"
      R"({"name":"y","datatype":"INT8","shape":[1],"data":[3]}]})";
  ASSERT_TRUE(*written);
  EXPECT_EQ(text.substr(0, **written), expected);
  EXPECT_EQ(text.substr(**written), std::string("\1\0\2\0", 4));
}

TEST(InferBinary, LengthsThatDoNotAddUpAreRefused) {
  const auto json = [](int size) {
    return R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":)" +
           std::to_string(size) + "}}]}";
  };
  EXPECT_EQ(error(json(4) + "abcd", json(4).size()), "no error");
  EXPECT_EQ(error(json(4) + "abc", json(4).size()),
            "inputs[0].parameters.binary_data_size: 4 given, but 3 bytes follow the JSON");
  EXPECT_EQ(error(json(4) + "abcde", json(4).size()), "1 bytes are left after the binary data of all inputs");
  EXPECT_EQ(error(json(3) + "abc", json(3).size()), "inputs[0]: tensor 'x': 3 bytes of data, but FP32 [1] takes 4");
  EXPECT_THAT(error("{}", 3), HasSubstr("Inference-Header-Content-Length: 3 given, but the body has 2 bytes"));
  const std::string both =
      R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1],"parameters":{"binary_data_size":4}}]})";
  EXPECT_THAT(error(both + "abcd", both.size()), HasSubstr("expected one of the two"));
  const std::string bytes =
      R"({"inputs":[{"name":"x","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6}}]})";
  EXPECT_THAT(error(bytes + std::string("\x05\0\0\0ab", 6), bytes.size()),
              HasSubstr("BYTES element 0 says 5 bytes, but 2 are left"));
}

TEST(InferBinary, ABodyOfDataAloneFillsTheOnlyInput) {
  ModelInfo model{.name = "m", .inputs = {{"x", DataType::kFp32, {-1, 2}}}};
  auto r = parse_raw(std::string(24, '\0'), model);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->request.inputs[0].shape, (std::vector<int64_t>{3, 2}));
  EXPECT_FALSE(parse_raw(std::string(25, '\0'), model));
  model.inputs[0] = {"s", DataType::kBytes, {-1}};
  EXPECT_EQ(bytes_elements(parse_raw("abc", model)->request.inputs[0].data).at(0), "abc");
  model.inputs.push_back({"t", DataType::kBytes, {-1}});
  EXPECT_THAT(parse_raw("abc", model).error().message, HasSubstr("model 'm' has 2"));
}

TEST(InferJson, WhatHasNoJsonFormSaysHowToGetIt) {
  std::string text;
  auto fp16 = write_infer({"m", "1", {own_tensor("h", DataType::kFp16, {1}, "ab")}}, {}, text);
  ASSERT_FALSE(fp16);
  EXPECT_THAT(fp16.error().message, HasSubstr("binary_data_output"));
  std::string data;
  append_bytes_element(data, "\xff");
  auto bytes = write_infer({"m", "1", {own_tensor("b", DataType::kBytes, {1}, data)}}, {}, text);
  ASSERT_FALSE(bytes);
  EXPECT_THAT(bytes.error().message, HasSubstr("no UTF-8"));
}

// As std::to_chars writes them, whole numbers with ".0".
template <class T>
std::string shortest(T v) {
  char text[40];
  std::string out(text, std::to_chars(text, text + sizeof text, v).ptr);
  return out.find_first_of(".e") == std::string::npos ? out + ".0" : out;
}

template <class T>
void expect_shortest(DataType type, const std::vector<T>& values) {
  std::string expected, text;
  for (const T v : values) expected += (expected.empty() ? "" : ",") + shortest(v);
  append_json_elements(text, type, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
  EXPECT_EQ(text, expected);
}

TEST(JsonText, RealNumbersHaveTheirShortestForm) {
  std::vector<float> floats;
  std::vector<double> doubles;
  for (const int around : {0, 1, 8, 999, 1'000, 9'999, 10'000, 99'999, 100'000, 123'456, 999'999, 16'777'216})
    for (int sixteenths = -40; sixteenths <= 40; ++sixteenths)
      for (const double v : {around + sixteenths / 16.0, around + sixteenths / 10.0, -around + sixteenths / 8.0}) {
        floats.push_back(static_cast<float>(v));
        doubles.push_back(v);
      }
  for (const double v : {-0.0, 1e-3, 1.5e-7, 0.1, 1e22, 3.4e38, 1e5, 1e6}) {
    floats.push_back(static_cast<float>(v));
    doubles.push_back(v);
  }
  expect_shortest(DataType::kFp32, floats);
  expect_shortest(DataType::kFp64, doubles);
}

TEST(InferJson, TensorsOfEveryLengthHaveTheirOwnSize) {
  for (const auto& [type, bytes] : {std::pair{"FP64", 8}, {"FP32", 4}, {"INT16", 2}, {"BOOL", 1}}) {
    std::string data;
    for (int n = 1; n <= 80; ++n) {
      data += n > 1 ? "," : "";
      data += bytes == 1 ? "true" : "1";
      const std::string text = std::string(R"({"inputs":[{"name":"x","datatype":")") + type + R"(","shape":[)" +
                               std::to_string(n) + R"(],"data":[)" + data + "]}]}";
      const auto parsed = parse(text);
      ASSERT_TRUE(parsed) << parsed.error().message;
      EXPECT_EQ(parsed->request.inputs[0].data.size(), static_cast<size_t>(n * bytes)) << type << " of " << n;
    }
  }
}

TEST(InferJson, WholeNumbersBeyond64BitsAreNumbersToFloatingTypes) {
  EXPECT_EQ(
      values<float>(parse(one("FP32", "[1,2]", "[[100000000000000000000,-100000000000000000000]]"))->request.inputs[0]),
      (std::vector<float>{1e20f, -1e20f}));
  EXPECT_EQ(values<float>(parse(one("FP32", "[1]", "[ 3.4028235e+38 ]"))->request.inputs[0]),
            (std::vector<float>{std::numeric_limits<float>::max()}));
  EXPECT_THAT(error(one("UINT64", "[1]", "[18446744073709551616]")), HasSubstr("expected a whole number from 0 to"));
  EXPECT_THAT(error(one("FP32", "[1]", "[0100000000000000000000]")), HasSubstr("is not valid JSON"));
}

TEST(InferJson, AnOutputIsAskedForOnce) {
  const std::string input = R"({"inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[1]}],"outputs":[)";
  EXPECT_EQ(error(input + R"({"name":"x"},{"name":"y"},{"name":"x"}]})"), "output 'x' is asked for twice");
  const std::string name(1'000'000, 'n');
  EXPECT_LT(error(input + "{\"name\":\"" + name + "\"},{\"name\":\"" + name + "\"}]}").size(), 200u);
}

TEST(InferJson, AReplyAboveTheBoundIsAnErrorBeforeMemoryIsTaken) {
  // Never read: its size alone is too much.
  static const char kByte = 0;
  const Tensor huge{"y", DataType::kInt8, {}, {&kByte, size_t{1} << 31}, nullptr};
  std::string text;
  const auto refused = write_infer({"m", "1", {huge}}, {.binary = true}, text);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("more than 2147483647 bytes"));
  EXPECT_FALSE(write_model_infer({"m", "1", {huge}}, "", text));
  EXPECT_FALSE(write_stream_infer({"m", "1", {huge}}, "", text));
  EXPECT_EQ(text.capacity(), std::string().capacity());
}

TEST(Documents, HaveTritonsShape) {
  const ModelInfo model{.name = "m",
                        .version = "2",
                        .platform = "onnxruntime_onnx",
                        .inputs = {{"x", DataType::kBytes, {-1, 2}}},
                        .outputs = {{"y", DataType::kFp32, {-1}}}};
  EXPECT_EQ(
      model_json(model),
      R"({"name":"m","versions":["2"],"platform":"onnxruntime_onnx","inputs":[{"name":"x","datatype":"BYTES","shape":[-1,2]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1]}]})");
  EXPECT_THAT(config_json(model, 1),
              HasSubstr(R"("input":[{"name":"x","data_type":"TYPE_STRING","format":"FORMAT_NONE","dims":[-1,2])"));
  ModelStatistics s{.name = "m", .version = "2"};
  EXPECT_THAT(statistics_json({s}), HasSubstr(R"("batch_stats":[])"));
  s.execution_count = 1;
  s.success.add(500);
  EXPECT_THAT(statistics_json({s}), HasSubstr(R"("success":{"count":1,"ns":500})"));
  EXPECT_EQ(index_json({{"m", "2", "READY", ""}}), R"([{"name":"m","version":"2","state":"READY","reason":""}])");
  EXPECT_EQ(model_list_json({{"m", "2", "READY", ""}, {"n", "1", "READY", ""}}), R"({"models":["m","n"]})");
}

}  // namespace
}  // namespace colony::runtime::oip
