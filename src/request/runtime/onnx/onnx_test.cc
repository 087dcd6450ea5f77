// ONNX Runtime as opened on this machine, with the tiny models of tests/data/onnx and the demo's model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <latch>
#include <thread>

#include "request/runtime/contract.h"
#include "request/runtime/onnx/library.h"
#include "request/runtime/onnx/model_file.h"

extern "C" void __sanitizer_purge_allocator() __attribute__((weak));

namespace colony::runtime {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

std::string source(const std::string& file) {
  const char* root = std::getenv("COLONY_SOURCE_DIR");
  return (root ? std::string(root) + "/" : std::string()) + file;
}
std::string tiny(const std::string& name) { return source("tests/data/onnx/" + name + ".onnx"); }

Result<std::shared_ptr<Model>> load(ModelSpec spec) { return make_runtime("onnx").value()->load(spec, "m", ""); }
std::shared_ptr<Model> load_ok(const std::string& path) {
  auto model = load({.path = path});
  EXPECT_TRUE(model) << model.error().message;
  return model ? *model : nullptr;
}

template <class T>
std::string raw(std::initializer_list<T> values) {
  std::string out(values.size() * sizeof(T), '\0');
  std::memcpy(out.data(), std::data(values), out.size());
  return out;
}

Result<InferReply> infer(Model& model, std::vector<Tensor> inputs, std::vector<std::string> outputs = {}) {
  InferRequest request;
  request.inputs = std::move(inputs);
  request.outputs = std::move(outputs);
  return model.infer(std::move(request));
}

std::string error_of(const Result<InferReply>& r) { return r ? "no error" : r.error().message; }
std::string load_error(ModelSpec spec) {
  auto r = load(std::move(spec));
  return r ? "no error" : r.error().message;
}

struct IdentityCase {
  const char* file;
  DataType type;
  std::string data;
};

class Identity : public testing::TestWithParam<IdentityCase> {};

TEST_P(Identity, ComesBackByteForByteInEveryDatatype) {
  auto model = load_ok(tiny(std::string("identity_") + GetParam().file));
  ASSERT_TRUE(model);
  EXPECT_EQ(model->info().inputs[0].type, GetParam().type);
  EXPECT_EQ(model->info().inputs[0].shape, (std::vector<int64_t>{-1, 2}));
  auto reply = infer(*model, {own_tensor("x", GetParam().type, {2, 2}, GetParam().data)});
  ASSERT_TRUE(reply) << reply.error().message;
  ASSERT_EQ(reply->outputs.size(), 1u);
  EXPECT_EQ(reply->outputs[0].name, "y");
  EXPECT_EQ(reply->outputs[0].type, GetParam().type);
  EXPECT_EQ(reply->outputs[0].shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(reply->outputs[0].data, GetParam().data);
  // The same bytes at an odd address: nothing may depend on the alignment of a request's body.
  std::string shifted = "." + GetParam().data;
  Tensor odd{"x", GetParam().type, {2, 2}, std::string_view(shifted).substr(1), nullptr};
  auto again = infer(*model, {odd});
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->outputs[0].data, GetParam().data);
}

std::string four_strings() {
  std::string data;
  for (std::string_view s :
       {std::string_view("one"), std::string_view(""), std::string_view("a\0b", 3), std::string_view("\xC3\xA9")})
    append_bytes_element(data, s);
  return data;
}

INSTANTIATE_TEST_SUITE_P(
    Types, Identity,
    testing::Values(IdentityCase{"bool", DataType::kBool, raw<uint8_t>({0, 1, 1, 0})},
                    IdentityCase{"uint8", DataType::kUint8, raw<uint8_t>({0, 1, 254, 255})},
                    IdentityCase{"uint16", DataType::kUint16, raw<uint16_t>({0, 1, 2, 65535})},
                    IdentityCase{"uint32", DataType::kUint32, raw<uint32_t>({0, 1, 2, 4294967295u})},
                    IdentityCase{"uint64", DataType::kUint64, raw<uint64_t>({0, 1, 2, UINT64_MAX})},
                    IdentityCase{"int8", DataType::kInt8, raw<int8_t>({-128, -1, 0, 127})},
                    IdentityCase{"int16", DataType::kInt16, raw<int16_t>({-32768, -1, 0, 32767})},
                    IdentityCase{"int32", DataType::kInt32, raw<int32_t>({INT32_MIN, -1, 0, INT32_MAX})},
                    IdentityCase{"int64", DataType::kInt64, raw<int64_t>({INT64_MIN, -1, 0, INT64_MAX})},
                    IdentityCase{"fp16", DataType::kFp16, raw<uint16_t>({0x3C00, 0xBC00, 0x7BFF, 0x0001})},
                    IdentityCase{"bf16", DataType::kBf16, raw<uint16_t>({0x3F80, 0xBF80, 0x7F7F, 0x0001})},
                    IdentityCase{"fp32", DataType::kFp32, raw<float>({1.5f, -0.0f, 3.4e38f, 1e-45f})},
                    IdentityCase{"fp64", DataType::kFp64, raw<double>({1.5, -0.0, 1.7e308, 5e-324})},
                    IdentityCase{"bytes", DataType::kBytes, four_strings()}),
    [](const auto& info) { return std::string(info.param.file); });

TEST(Onnx, ComputesWithAnyLengthOfAFreeDimensionAndAnyOrderOfInputs) {
  auto model = load_ok(tiny("add_sub"));
  ASSERT_TRUE(model);
  EXPECT_EQ(model->info().platform, "onnxruntime_onnx");
  for (size_t n : {0, 1, 7}) {
    const std::string a = std::string(reinterpret_cast<const char*>(std::vector<float>(n, 3).data()), n * 4);
    const std::string b = std::string(reinterpret_cast<const char*>(std::vector<float>(n, 1).data()), n * 4);
    const auto dim = static_cast<int64_t>(n);
    auto reply =
        infer(*model, {own_tensor("b", DataType::kFp32, {dim}, b), own_tensor("a", DataType::kFp32, {dim}, a)});
    ASSERT_TRUE(reply) << reply.error().message;
    ASSERT_EQ(reply->outputs.size(), 2u);
    EXPECT_EQ(reply->outputs[1].name, "difference");
    EXPECT_EQ(reply->outputs[1].shape, (std::vector<int64_t>{dim}));
    if (n > 0) EXPECT_EQ(reply->outputs[1].data.substr(0, 4), raw<float>({2.0f}));
  }
  auto one = infer(
      *model,
      {own_tensor("a", DataType::kFp32, {1}, raw<float>({3})), own_tensor("b", DataType::kFp32, {1}, raw<float>({1}))},
      {"difference"});
  ASSERT_TRUE(one);
  ASSERT_EQ(one->outputs.size(), 1u);
  EXPECT_EQ(one->outputs[0].name, "difference");
  auto scalar = load_ok(tiny("scalar"));
  EXPECT_EQ(infer(*scalar, {own_tensor("x", DataType::kFp32, {}, raw<float>({2}))})->outputs[0].data, raw<float>({-2}));
  auto any = load_ok(tiny("unknown_rank"));
  ASSERT_TRUE(any);
  for (const auto& shape : {std::vector<int64_t>{}, {1}, {1, 1, 1}}) {
    const auto reply = infer(*any, {own_tensor("x", DataType::kFp32, shape, raw<float>({2}))});
    ASSERT_TRUE(reply) << reply.error().message;
    EXPECT_EQ(reply->outputs[0].shape, shape);
  }
}

TEST(Onnx, AnErrorNamesTheTensorWhatCameAndWhatIsExpected) {
  auto model = load_ok(tiny("add_sub"));
  ASSERT_TRUE(model);
  const Tensor a = own_tensor("a", DataType::kFp32, {1}, raw<float>({1})),
               b = own_tensor("b", DataType::kFp32, {1}, raw<float>({1}));
  const auto error = [&](std::vector<Tensor> inputs, std::vector<std::string> outputs = {}) {
    return error_of(infer(*model, std::move(inputs), std::move(outputs)));
  };
  EXPECT_EQ(error({a}), "input 'b' is missing; model 'm' takes it as FP32 [-1]");
  EXPECT_EQ(error({a, b, own_tensor("c", DataType::kFp32, {1}, raw<float>({1}))}),
            "input 'c' is unknown; model 'm' takes: a FP32 [-1], b FP32 [-1]");
  EXPECT_EQ(error({a, a}), "input 'a' is given twice");
  EXPECT_EQ(error({a, own_tensor("b", DataType::kInt32, {1}, raw<int32_t>({1}))}),
            "input 'b' has the datatype INT32, expected FP32");
  EXPECT_EQ(error({a, own_tensor("b", DataType::kFp32, {1, 1}, raw<float>({1}))}),
            "input 'b' has the shape [1,1], expected [-1] (-1: any)");
  EXPECT_EQ(error({a, own_tensor("b", DataType::kFp32, {2}, raw<float>({1}))}),
            "tensor 'b': 4 bytes of data, but FP32 [2] takes 8");
  EXPECT_EQ(error({a, b}, {"product"}),
            "output 'product' is unknown; model 'm' gives: sum FP32 [-1], difference FP32 [-1]");
  EXPECT_EQ(error({a, b}, {"sum", "sum"}), "output 'sum' is asked for twice");
  auto flags = load_ok(tiny("identity_bool"));
  EXPECT_EQ(error_of(infer(*flags, {own_tensor("x", DataType::kBool, {1, 2}, raw<uint8_t>({1, 7}))})),
            "input 'x': BOOL element 1 is the byte 7, expected 0 or 1");
}

TEST(Onnx, AFailureInsideTheGraphIsAnErrorOfThatRequestOnly) {
  auto model = load_ok(tiny("gather"));
  ASSERT_TRUE(model);
  const auto bad = infer(*model, {own_tensor("x", DataType::kInt64, {1}, raw<int64_t>({9}))});
  EXPECT_THAT(error_of(bad), HasSubstr("model 'm' failed"));
  auto good = infer(*model, {own_tensor("x", DataType::kInt64, {1}, raw<int64_t>({3}))});
  ASSERT_TRUE(good);
  EXPECT_EQ(good->outputs[0].data, raw<float>({30}));
}

TEST(Onnx, CancellationEndsARunThatHasBegun) {
  auto model = load_ok(tiny("slow"));
  ASSERT_TRUE(model);
  InferRequest request;
  request.inputs = {own_tensor("rounds", DataType::kInt64, {}, raw<int64_t>({INT64_MAX})),
                    own_tensor("m", DataType::kFp32, {64, 64}, std::string(64 * 64 * 4, '\0'))};
  request.cancel = std::make_shared<CancelFlag>();
  std::latch begun(1);
  Result<InferReply> reply;
  std::thread runner([&] {
    begun.count_down();
    reply = model->infer(InferRequest(request));
  });
  begun.wait();
  request.cancel->cancel();
  runner.join();
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Code::kCancelled);
}

TEST(Onnx, SeveralThreadsMayRunOneModel) {
  auto model = load_ok(tiny("identity_int64"));
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < 50; ++i) {
        const auto data = raw<int64_t>({t, i});
        auto reply = infer(*model, {own_tensor("x", DataType::kInt64, {1, 2}, data)});
        if (!reply || reply->outputs[0].data != data) ++wrong;
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(OnnxLoad, RefusesWhatCannotBeServedAndSaysWhy) {
  EXPECT_THAT(load_error({.path = tiny("sequence_output")}),
              HasSubstr("output 'y' is a sequence, and only tensors can be served"));
  EXPECT_THAT(load_error({.path = tiny("complex_input")}), HasSubstr("complex64"));
  EXPECT_THAT(load_error({.path = tiny("scalar"), .providers = {"tpu"}}),
              HasSubstr("provider 'tpu' is not in this ONNX Runtime"));
  EXPECT_THAT(load_error({.path = tiny("scalar"), .providers = {"tpu"}}), HasSubstr("cpu"));
  EXPECT_THAT(load_error({.path = tiny("scalar"), .graph_level = "most"}),
              HasSubstr("graph_level 'most' is unknown; there are: disabled, basic, extended, all"));
  EXPECT_THAT(load_error({.path = tiny("scalar"), .intra_op = 0}), HasSubstr("intra_op is 0, expected 1 to 1024"));
  EXPECT_THAT(load_error({}), HasSubstr("model.path is missing"));
  for (const char* level : {"disabled", "basic", "extended", "all"})
    EXPECT_TRUE(load({.path = tiny("scalar"), .intra_op = 2, .graph_level = level}));
}

class ModelFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "colony-onnx-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& content) {
    const auto path = (folder_ / "model.onnx").string();
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  static std::string error(const std::string& path) {
    auto r = onnx::check_model_file(path);
    return r ? "no error" : r.error().message;
  }
  fs::path folder_;
};

TEST_F(ModelFile, EveryWayToBeWrongHasItsOwnWords) {
  EXPECT_THAT(error((folder_ / "absent.onnx").string()), HasSubstr("No such file or directory"));
  EXPECT_THAT(error(folder_.string()), HasSubstr("is a directory: give the .onnx file in it"));
  EXPECT_THAT(error("/dev/null"), HasSubstr("is not a regular file"));
  EXPECT_THAT(error(file("")), HasSubstr("is empty"));
  EXPECT_THAT(error(file("this is a text\n")), HasSubstr("is not an ONNX model"));
  EXPECT_THAT(error(file("\x89PNG\r\n\x1a\n1234567890")), HasSubstr("is not an ONNX model"));
  EXPECT_THAT(error(file(std::string("\x08\x08", 2))), HasSubstr("is not an ONNX model"));
  EXPECT_THAT(error(file(std::string(4096, '\0'))), HasSubstr("is not an ONNX model"));
  std::ifstream whole(tiny("add_sub"), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(whole)), {});
  EXPECT_EQ(error(file(bytes)), "no error");
  for (size_t cut = 3; cut < bytes.size() - 4; cut += 7)
    EXPECT_NE(error(file(bytes.substr(0, cut))), "no error") << cut;
  EXPECT_THAT(error(file(bytes.substr(0, 60))), HasSubstr("is truncated: it has 60 bytes"));
}

TEST_F(ModelFile, BrokenInsideIsRefusedByTheLibraryAndReportedWithThePath) {
  std::ifstream whole(tiny("add_sub"), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(whole)), {});
  const size_t at = bytes.find("Add");
  bytes.replace(at, 3, "Axx");
  const auto path = file(bytes);
  EXPECT_THAT(load_error({.path = path}), testing::AllOf(HasSubstr(path), HasSubstr("cannot be loaded")));
}

TEST(OnnxLibrary, EveryPlaceIsNamedAndAConfiguredOneIsTheOnlyOne) {
  EXPECT_EQ(onnx::places("/opt/ort/libonnxruntime.so").size(), 1u);
  const char* before = std::getenv("COLONY_ORT_LIBRARY");
  const std::string kept = before ? before : "";
  unsetenv("COLONY_ORT_LIBRARY");
  const auto all = onnx::places("");
  ASSERT_GE(all.size(), 4u);
  EXPECT_EQ(all.front().what, "beside the binary");
  EXPECT_EQ(all.back().path, "libonnxruntime.so.1");
  setenv("COLONY_ORT_LIBRARY", "/opt/other.so", 1);
  EXPECT_EQ(onnx::places("").at(0).path, "/opt/other.so");
  if (kept.empty())
    unsetenv("COLONY_ORT_LIBRARY");
  else
    setenv("COLONY_ORT_LIBRARY", kept.c_str(), 1);
}

TEST(OnnxLibrary, OneLibraryServesAProcess) {
  ASSERT_TRUE(load({.path = tiny("scalar")}));
  EXPECT_THAT(load_error({.path = tiny("scalar"), .library = "/opt/other.so"}),
              HasSubstr("this process has already opened ONNX Runtime from"));
}

uint64_t resident_kib() {
  if (__sanitizer_purge_allocator) __sanitizer_purge_allocator();
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stoull(line.substr(6));
  return 0;
}

TEST(OnnxMemory, ThirtyRoundsOfLoadInferUnloadDoNotGrow) {
  const auto path = source("examples/filetype/model.onnx");
  ASSERT_TRUE(fs::exists(path)) << path << ": run ./dev setup";
  const uint64_t model_kib = fs::file_size(path) / 1024;
  std::vector<uint64_t> after;
  for (int round = 0; round < 30; ++round) {
    {
      auto model = load_ok(path);
      ASSERT_TRUE(model);
      EXPECT_GT(model->info().inputs.size(), 0u);
      auto reply = infer(*model, {own_tensor("bytes", DataType::kInt32, {2, 2048}, std::string(2 * 2048 * 4, '\0'))});
      ASSERT_TRUE(reply) << reply.error().message;
      EXPECT_EQ(reply->outputs[0].shape, (std::vector<int64_t>{2, 214}));
    }
    after.push_back(resident_kib());
  }
  const uint64_t early = after[19], late = after[29];
  // The sanitizer's allocator never gives its size classes back and creeps on by itself.
  const uint64_t allowed = __sanitizer_purge_allocator ? 2048 : model_kib / 10;
  EXPECT_LE(late, early + allowed) << testing::PrintToString(after);
}

}  // namespace
}  // namespace colony::runtime
