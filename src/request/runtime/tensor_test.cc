#include <gtest/gtest.h>

#include <chrono>

#include "request/runtime/contract.h"

namespace colony::runtime {
namespace {

TEST(Tensor, EveryDatatypeHasANameThatParsesBack) {
  for (int i = 0; i <= static_cast<int>(DataType::kBytes); ++i) {
    const auto t = static_cast<DataType>(i);
    EXPECT_EQ(parse_data_type(to_string(t)), t);
  }
  EXPECT_EQ(parse_data_type("FP8"), std::nullopt);
  EXPECT_EQ(parse_data_type("fp32"), std::nullopt);
}

TEST(Tensor, ElementCountIsTheProductAndBounded) {
  EXPECT_EQ(element_count({}), 1u);
  EXPECT_EQ(element_count({2, 3, 4}), 24u);
  EXPECT_EQ(element_count({0, 1000000}), 0u);
  EXPECT_EQ(element_count({int64_t{1} << 40}), uint64_t{1} << 40);
  EXPECT_FALSE(element_count({int64_t{1} << 40, 2}));
  EXPECT_FALSE(element_count({INT64_MAX, INT64_MAX}));
  auto negative = element_count({2, -1});
  ASSERT_FALSE(negative);
  EXPECT_EQ(negative.error().message, "shape [2,-1] has the negative dimension -1");
}

TEST(Tensor, DataMustHaveExactlyTheSizeOfItsShape) {
  EXPECT_TRUE(check_data(own_tensor("x", DataType::kFp32, {2}, std::string(8, '\0'))));
  auto bad = check_data(own_tensor("x", DataType::kFp32, {2}, std::string(7, '\0')));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().message, "tensor 'x': 7 bytes of data, but FP32 [2] takes 8");
}

TEST(Tensor, BytesElementsAreWalkedAndCounted) {
  std::string data;
  append_bytes_element(data, "one");
  append_bytes_element(data, "");
  append_bytes_element(data, std::string_view("a\0b", 3));
  EXPECT_TRUE(check_data(own_tensor("s", DataType::kBytes, {3}, data)));
  const auto elements = bytes_elements(data);
  ASSERT_EQ(elements.size(), 3u);
  EXPECT_EQ(elements[2], std::string_view("a\0b", 3));
  EXPECT_FALSE(check_data(own_tensor("s", DataType::kBytes, {2}, data)));
  EXPECT_FALSE(check_data(own_tensor("s", DataType::kBytes, {4}, data)));
  EXPECT_FALSE(check_data(own_tensor("s", DataType::kBytes, {3}, data.substr(0, data.size() - 1))));
}

TEST(Tensor, ErrorsCarryNoMoreThanTheBeginningOfATextOrShape) {
  EXPECT_EQ(brief("x"), "x");
  EXPECT_EQ(brief(std::string(101, 'x')), std::string(97, 'x') + "...");
  EXPECT_EQ(brief("\xC3\xA9\xC3\xA9\xC3\xA9", 5), "\xC3\xA9...");
  EXPECT_EQ(shape_text(std::vector<int64_t>(17, 1)), "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,... 17 dimensions]");
}

TEST(CancelFlag, RunsTheHookOnceWhoeverIsFirst) {
  CancelFlag early;
  int calls = 0;
  early.set_hook([&] { ++calls; });
  early.cancel();
  early.cancel();
  EXPECT_EQ(calls, 1);
  CancelFlag late;
  late.cancel();
  late.set_hook([&] { ++calls; });
  EXPECT_EQ(calls, 2);
  CancelFlag cleared;
  cleared.set_hook([&] { ++calls; });
  cleared.clear_hook();
  cleared.cancel();
  EXPECT_EQ(calls, 2);
}

TEST(Registry, NamesWhatExistsForAnUnknownRuntimeOrTransform) {
  auto runtime = make_runtime("tensorflow");
  ASSERT_FALSE(runtime);
  EXPECT_EQ(runtime.error().message, "runtime 'tensorflow' does not exist; there are: echo, onnx");
  auto transform = make_transform("image", "");
  ASSERT_FALSE(transform);
  EXPECT_EQ(transform.error().message, "transform 'image' does not exist; there are: filetype");
}

TEST(Echo, GivesInputsBackAndNamesThemForAnUnknownOutput) {
  auto runtime = make_runtime("echo");
  ASSERT_TRUE(runtime);
  auto model = (*runtime)->load({.version = "3"}, "app", "");
  ASSERT_TRUE(model);
  EXPECT_TRUE((*model)->cheap());
  InferRequest request;
  request.inputs.push_back(own_tensor("a", DataType::kInt8, {2}, "xy"));
  request.inputs.push_back(own_tensor("b", DataType::kInt8, {1}, "z"));
  auto reply = (*model)->infer(InferRequest(request));
  ASSERT_TRUE(reply);
  ASSERT_EQ(reply->outputs.size(), 2u);
  EXPECT_EQ(reply->outputs[0].data, "xy");
  EXPECT_EQ(reply->version, "3");
  request.outputs = {"b"};
  EXPECT_EQ((*model)->infer(InferRequest(request))->outputs[0].name, "b");
  request.outputs = {"c"};
  auto unknown = (*model)->infer(InferRequest(request));
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("here: a, b"), std::string::npos);
  // Many tensors are found the same way, the first of a name too, and an error names some of them.
  request.inputs.clear();
  for (int i = 999; i >= 0; --i)
    request.inputs.push_back(own_tensor("t" + std::to_string(i), DataType::kInt8, {1}, "1"));
  request.inputs.push_back(own_tensor("t7", DataType::kInt8, {1}, "2"));
  request.outputs = {"t7", "t999"};
  auto many = (*model)->infer(InferRequest(request));
  ASSERT_TRUE(many);
  EXPECT_EQ(many->outputs[0].name + many->outputs[1].name, "t7t999");
  EXPECT_EQ(many->outputs[0].data, "1");
  request.outputs = {std::string(1'000'000, 'u')};
  EXPECT_LT((*model)->infer(std::move(request)).error().message.size(), 1'000u);
}

TEST(Echo, ARequestWithAnInputThatUserConfigCallsSlowTakesThatLongAndOthersDoNot) {
  const std::string config = R"({"slow":{"sleeps":{"sleep_ms":20},"spins":{"spin_ms":20}},"threshold":1})";
  auto model = (*make_runtime("echo"))->load({}, "app", config);
  ASSERT_TRUE(model);
  EXPECT_FALSE((*model)->cheap());
  for (const auto& [name, slow] : {std::pair("sleeps", true), {"spins", true}, {"fast", false}}) {
    InferRequest request;
    request.inputs.push_back(own_tensor(name, DataType::kInt8, {2}, "xy"));
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ((*model)->infer(InferRequest(request))->outputs[0].data, "xy");
    if (slow) EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(20)) << name;
  }
}

TEST(Echo, ACancelledDelayEndsAtOnce) {
  auto model = (*make_runtime("echo"))->load({}, "m", R"({"slow":{"a":{"sleep_ms":60000}}})");
  ASSERT_TRUE(model);
  InferRequest request;
  request.inputs.push_back(own_tensor("a", DataType::kInt8, {1}, "x"));
  request.cancel = std::make_shared<CancelFlag>();
  request.cancel->cancel();
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE((*model)->infer(InferRequest(request)));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST(Echo, ADelayThatIsNoneIsNamed) {
  const auto message = [](const std::string& config) {
    auto model = (*make_runtime("echo"))->load({}, "m", config);
    return model ? std::string("loaded") : model.error().message;
  };
  EXPECT_EQ(message(R"({"slow":5})"), "user_config.slow: {INPUT: {sleep_ms: N}} or {INPUT: {spin_ms: N}}");
  EXPECT_EQ(message(R"({"slow":{"a":{"wait_ms":5}}})"),
            "user_config.slow.a: {\"wait_ms\":5}; {sleep_ms: N} or {spin_ms: N}");
  EXPECT_EQ(message(R"({"slow":{"a":{"spin_ms":60001}}})"),
            "user_config.slow.a.spin_ms: 60001; a whole number, 0 to 60000");
  EXPECT_EQ(message("[1]"), "loaded");
  EXPECT_EQ(message(""), "loaded");
}

}  // namespace
}  // namespace colony::runtime
