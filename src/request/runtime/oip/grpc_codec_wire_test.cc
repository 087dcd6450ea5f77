// Builds messages with the generated code, as a client would.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "inference/grpc_service.pb.h"
#include "request/runtime/oip/contract.h"

namespace colony::runtime::oip {
namespace {

using testing::HasSubstr;

inference::ModelInferRequest request(const std::string& type, std::vector<int64_t> shape) {
  inference::ModelInferRequest r;
  r.set_model_name("m");
  r.set_id("7");
  auto* in = r.add_inputs();
  in->set_name("x");
  in->set_datatype(type);
  for (const int64_t d : shape) in->add_shape(d);
  return r;
}
Result<InferRequest> parse(std::string_view bytes) {
  auto message = std::make_shared<std::string>(bytes);
  InferRequest request;
  const auto done = parse_model_infer(*message, message, request);
  return done ? Result<InferRequest>(std::move(request)) : fail(done.error());
}
Result<InferRequest> parse(const inference::ModelInferRequest& r) { return parse(r.SerializeAsString()); }

std::string error(const inference::ModelInferRequest& r) {
  auto parsed = parse(r);
  return parsed ? "no error" : parsed.error().message;
}

TEST(GrpcCodec, TypedContentsBecomeTheDatatypesOwnBytes) {
  auto r = request("INT8", {3});
  for (const int v : {-128, 0, 127}) r.mutable_inputs(0)->mutable_contents()->add_int_contents(v);
  auto parsed = parse(r);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->model, "m");
  EXPECT_EQ(parsed->id, "7");
  EXPECT_EQ(parsed->inputs[0].data, std::string("\x80\x00\x7f", 3));
  auto strings = request("BYTES", {2});
  strings.mutable_inputs(0)->mutable_contents()->add_bytes_contents("a");
  strings.mutable_inputs(0)->mutable_contents()->add_bytes_contents("");
  EXPECT_EQ(bytes_elements(parse(strings)->inputs[0].data).size(), 2u);
  auto flags = request("BOOL", {1});
  flags.mutable_inputs(0)->mutable_contents()->add_bool_contents(true);
  EXPECT_EQ(parse(flags)->inputs[0].data, "\1");
  auto wide = request("UINT64", {1});
  wide.mutable_inputs(0)->mutable_contents()->add_uint64_contents(UINT64_MAX);
  EXPECT_EQ(parse(wide)->inputs[0].data, std::string(8, '\xff'));
}

TEST(GrpcCodec, RawContentsAreSharedWithTheMessage) {
  auto r = request("FP16", {2});
  r.add_raw_input_contents("abcd");
  auto parsed = parse(r);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->inputs[0].data, "abcd");
  const auto& message = *std::static_pointer_cast<std::string>(parsed->storage);
  EXPECT_GE(parsed->inputs[0].data.data(), message.data()) << "no copy was made";
  EXPECT_LE(parsed->inputs[0].data.data(), message.data() + message.size());
}

TEST(GrpcCodec, ReadsWhatOtherWritersMayWrite) {
  using namespace std::string_literals;
  // A shape one dimension at a time, contents in two parts, fields out of order, an unknown field and an unknown group.
  const std::string input = "\x18\x02\x18\x01\x2a\x06\x32\x04\x00\x00\x80\x3f\x2a\x06\x32\x04\x00\x00\x00\x40"s +
                            "\x12\x04"s + "FP32" + "\x0a\x01x"s;
  const std::string message = "\x2a"s + static_cast<char>(input.size()) + input + "\xfa\x01\x03new"s +
                              "\xf3\x01\x08\x01\xfb\x01\x08\x02\xfc\x01\xf4\x01"s + "\x0a\x03old\x0a\x01m"s;
  inference::ModelInferRequest theirs;
  ASSERT_TRUE(theirs.ParseFromString(message));
  const auto ours = parse(message);
  ASSERT_TRUE(ours) << ours.error().message;
  EXPECT_EQ(ours->model, theirs.model_name());
  EXPECT_EQ(ours->model, "m");
  EXPECT_EQ(ours->inputs[0].shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(ours->inputs[0].data, "\x00\x00\x80\x3f\x00\x00\x00\x40"s);
}

TEST(GrpcCodec, RefusesWhatIsNoMessage) {
  using namespace std::string_literals;
  for (const std::string& bytes : {"\x0a\x05"
                                   "abc"s,
                                   "\x0a\x01\xff"s, "\x00\x01"s, "\x0b\x08\x01"s, "\x0c"s, "\x07"s, "\x2a\x02\x0a\x07"s,
                                   "\x2a\x04\x18\x01\x1a\x05"s, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s,
                                   "\x8a\x80\x80\x80\x80\x01\x00"s}) {
    EXPECT_FALSE(inference::ModelInferRequest().ParseFromString(bytes));
    const auto parsed = parse(bytes);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().message, "the message is no inference.ModelInferRequest");
  }
}

TEST(GrpcCodec, ErrorsNameTheField) {
  auto narrow = request("INT8", {1});
  narrow.mutable_inputs(0)->mutable_contents()->add_int_contents(300);
  EXPECT_EQ(error(narrow), "inputs[0].contents.int_contents[0]: 300 does not fit INT8 (-128 to 127)");
  auto other = request("FP32", {1});
  other.mutable_inputs(0)->mutable_contents()->add_int_contents(1);
  EXPECT_EQ(error(other),
            "inputs[0].contents.fp32_contents: 0 elements, but the shape has 1 (FP32 goes into fp32_contents)");
  auto half = request("FP16", {1});
  half.mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
  EXPECT_THAT(error(half), HasSubstr("FP16 has no typed contents"));
  auto both = request("FP32", {1});
  both.mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
  both.add_raw_input_contents("abcd");
  EXPECT_THAT(error(both), HasSubstr("has contents and raw_input_contents"));
  auto extra = request("FP32", {1});
  extra.add_raw_input_contents("abcd");
  extra.add_raw_input_contents("abcd");
  EXPECT_EQ(error(extra), "raw_input_contents: 2 elements for 1 inputs, expected one for each");
  auto size = request("FP32", {2});
  size.add_raw_input_contents("abcd");
  EXPECT_EQ(error(size), "inputs[0]: tensor 'x': 4 bytes of data, but FP32 [2] takes 8");
  EXPECT_THAT(error(request("FLOAT", {1})), HasSubstr("inputs[0].datatype: 'FLOAT' given"));
  EXPECT_THAT(error(request("FP32", {-1})), HasSubstr("negative dimension -1"));
  auto shared = request("FP32", {1});
  (*shared.mutable_inputs(0)->mutable_parameters())["shared_memory_region"].set_string_param("r");
  EXPECT_THAT(error(shared), HasSubstr("inputs[0].parameters.shared_memory_region"));
  EXPECT_EQ(parse(std::string_view("\xff\xff")).error().message, "the message is no inference.ModelInferRequest");
}

TEST(GrpcCodec, TensorsDimensionsAndContentsAreBounded) {
  auto many = request("INT8", {1});
  for (int i = 0; i < 4096; ++i) *many.add_inputs() = many.inputs(0);
  EXPECT_EQ(error(many), "inputs: more than 4096 tensors");
  auto outputs = request("INT8", {1});
  for (int i = 0; i < 4097; ++i) outputs.add_outputs()->set_name(std::to_string(i));
  EXPECT_EQ(error(outputs), "outputs: more than 4096 tensors");
  auto raws = request("INT8", {1});
  for (int i = 0; i < 4097; ++i) raws.add_raw_input_contents("x");
  EXPECT_EQ(error(raws), "raw_input_contents: more than 4096 elements");
  EXPECT_EQ(error(request("INT8", std::vector<int64_t>(65, 1))), "inputs[0].shape: more than 64 dimensions");
  auto twice = request("INT8", {1});
  twice.add_raw_input_contents("x");
  for (const char* name : {"x", "x"}) twice.add_outputs()->set_name(name);
  EXPECT_EQ(error(twice), "output 'x' is asked for twice");
  auto long_name = request("INT8", std::vector<int64_t>(64, 1'000));
  long_name.mutable_inputs(0)->set_datatype(std::string(1'000'000, 'T'));
  EXPECT_LT(error(long_name).size(), 400u);
  long_name.mutable_inputs(0)->set_datatype("INT8");
  EXPECT_LT(error(long_name).size(), 200u);
}

TEST(GrpcCodec, RepliesCarryRawContents) {
  const InferReply reply{"m", "1", {own_tensor("y", DataType::kInt16, {2}, "abcd")}};
  inference::ModelInferResponse out;
  std::string message;
  ASSERT_TRUE(write_model_infer(reply, "7", message));
  ASSERT_TRUE(out.ParseFromString(message));
  EXPECT_EQ(out.id(), "7");
  EXPECT_EQ(out.outputs(0).datatype(), "INT16");
  EXPECT_EQ(out.raw_output_contents(0), "abcd");
  inference::ModelStreamInferResponse stream;
  ASSERT_TRUE(stream.ParseFromString(write_stream_error(invalid_argument("no"), "8")));
  EXPECT_EQ(stream.error_message(), "no");
  EXPECT_EQ(stream.infer_response().id(), "8");
}

TEST(GrpcCodec, DocumentsParseAsTheirMessages) {
  const ModelInfo model{
      .name = "m", .version = "2", .platform = "onnxruntime_onnx", .inputs = {{"x", DataType::kBytes, {-1}}}};
  inference::ModelMetadataResponse metadata;
  ASSERT_TRUE(metadata.ParseFromString(model_message(model)));
  EXPECT_EQ(metadata.inputs(0).datatype(), "BYTES");
  inference::ModelConfigResponse config;
  ASSERT_TRUE(config.ParseFromString(config_message(model, 1)));
  EXPECT_EQ(config.config().input(0).data_type(), inference::TYPE_STRING);
  inference::ModelStatisticsResponse stats;
  ModelStatistics s{.name = "m", .execution_count = 3};
  s.queue.add(9);
  ASSERT_TRUE(stats.ParseFromString(statistics_message({s})));
  EXPECT_EQ(stats.model_stats(0).inference_stats().queue().ns(), 9u);
  inference::ServerMetadataResponse server;
  ASSERT_TRUE(server.ParseFromString(server_message()));
  EXPECT_EQ(server.name(), "colony");
  inference::ModelReadyRequest ready;
  ready.set_name("m");
  ready.set_version("2");
  EXPECT_EQ(parse_named_model(ready.SerializeAsString())->version, "2");
}

}  // namespace
}  // namespace colony::runtime::oip
