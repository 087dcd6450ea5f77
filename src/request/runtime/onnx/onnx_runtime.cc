// Loading: the file first, then options, then the session, then the model's own metadata; each step with an error that
// names what was wrong and what would be right.
#include "request/runtime/onnx/onnx_runtime.h"

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "request/runtime/onnx/library.h"
#include "request/runtime/onnx/model_file.h"
#include "request/runtime/onnx/onnx_model.h"
#include "request/runtime/onnx/types.h"

namespace colony::runtime::onnx {
namespace {

// Resident bytes of this process; 0 when /proc does not say.
uint64_t resident_bytes() {
  FILE* file = std::fopen("/proc/self/statm", "re");
  if (!file) return 0;
  unsigned long long total = 0, resident = 0;
  const int n = std::fscanf(file, "%llu %llu", &total, &resident);
  std::fclose(file);
  return n == 2 ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

Result<GraphOptimizationLevel> graph_level(const std::string& name) {
  if (name == "all" || name.empty()) return ORT_ENABLE_ALL;
  if (name == "extended") return ORT_ENABLE_EXTENDED;
  if (name == "basic") return ORT_ENABLE_BASIC;
  if (name == "disabled") return ORT_DISABLE_ALL;
  return fail(
      invalid_argument(fmt::format("graph_level '{}' is unknown; there are: disabled, basic, extended, all", name)));
}

Result<void> add_provider(Ort::SessionOptions& options, const std::string& provider, const Library& library) {
  const std::string name = short_provider_name(provider);
  if (std::ranges::find(library.providers, name) == library.providers.end())
    return fail(
        invalid_argument(fmt::format("provider '{}' is not in this ONNX Runtime ({} {}); there are: {}", provider,
                                     library.path, library.version, fmt::join(library.providers, ", ")),
                         "provider_unavailable"));
  try {
    if (name == "cpu") return {};  // always there, after the others
    if (name == "cuda") {
      options.AppendExecutionProvider_CUDA(OrtCUDAProviderOptions());
    } else if (name == "tensorrt") {
      OrtTensorRTProviderOptions trt{};
      options.AppendExecutionProvider_TensorRT(trt);
    } else if (name == "openvino") {
      options.AppendExecutionProvider_OpenVINO_V2({});
    } else {
      std::string upper = name;
      for (char& c : upper)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
      options.AppendExecutionProvider(upper, {});
    }
    return {};
  } catch (const std::exception& e) {
    return fail(failed_precondition(fmt::format("provider '{}' does not start: {}", provider, e.what()),
                                    "provider_unavailable"));
  }
}

Result<Ort::SessionOptions> session_options(const ModelSpec& spec, const Library& library) {
  if (spec.intra_op < 1 || spec.intra_op > 1024)
    return fail(invalid_argument(fmt::format("intra_op is {}, expected 1 to 1024 threads", spec.intra_op)));
  TRY(const auto level, graph_level(spec.graph_level));
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(spec.intra_op);
  options.SetInterOpNumThreads(1);
  // Spinning threads burn the cores that other replicas of the machine serve with.
  options.AddConfigEntry("session.intra_op.allow_spinning", "0");
  options.AddConfigEntry("session.inter_op.allow_spinning", "0");
  options.SetGraphOptimizationLevel(level);
  for (const auto& provider : spec.providers) TRY_VOID(add_provider(options, provider, library));
  return options;
}

Result<TensorInfo> tensor_info(std::string name, const Ort::TypeInfo& type, std::string_view direction) {
  if (type.GetONNXType() != ONNX_TYPE_TENSOR) {
    static constexpr std::string_view kKinds[] = {"something unknown", "a tensor",        "a sequence",       "a map",
                                                  "an opaque value",   "a sparse tensor", "an optional value"};
    const auto kind = static_cast<size_t>(type.GetONNXType());
    return fail(invalid_argument(
        fmt::format(
            "{} '{}' is {}, and only tensors can be served; export the model without it (for scikit-learn models: "
            "the converter's option zipmap=False)",
            direction, name, kind < std::size(kKinds) ? kKinds[kind] : kKinds[0]),
        "model_not_tensors"));
  }
  const auto tensor = type.GetTensorTypeAndShapeInfo();
  const auto data_type = from_onnx(tensor.GetElementType());
  if (!data_type)
    return fail(invalid_argument(fmt::format("{} '{}' is of type {}, which the Open Inference Protocol does not have",
                                             direction, name, onnx_type_name(tensor.GetElementType())),
                                 "model_datatype"));
  return TensorInfo{std::move(name), *data_type, tensor.GetShape()};
}

Result<ModelInfo> read_info(const Ort::Session& session) {
  ModelInfo info;
  info.platform = "onnxruntime_onnx";
  Ort::AllocatorWithDefaultOptions allocator;
  for (size_t i = 0; i < session.GetInputCount(); ++i) {
    TRY(auto t, tensor_info(session.GetInputNameAllocated(i, allocator).get(), session.GetInputTypeInfo(i), "input"));
    info.inputs.push_back(std::move(t));
  }
  for (size_t i = 0; i < session.GetOutputCount(); ++i) {
    TRY(auto t,
        tensor_info(session.GetOutputNameAllocated(i, allocator).get(), session.GetOutputTypeInfo(i), "output"));
    info.outputs.push_back(std::move(t));
  }
  return info;
}

Result<std::shared_ptr<Model>> load_now(const ModelSpec& spec, const std::string& name) {
  if (spec.path.empty()) return fail(invalid_argument("model.path is missing: the onnx runtime needs a model file"));
  TRY_VOID(check_model_file(spec.path));
  TRY(auto library, open_library(spec.library));
  try {
    TRY(auto options, session_options(spec, *library));
    options.SetLogId(name.c_str());
    const uint64_t before = resident_bytes();
    Ort::Session session(*library->env, spec.path.c_str(), options);
    auto info = read_info(session);
    if (!info) return fail(std::move(info.error()).within(fmt::format("model file {}", spec.path)));
    info->name = name;
    info->version = spec.version.empty() ? "1" : spec.version;
    const uint64_t after = resident_bytes();
    info->bytes = after > before ? after - before : 0;
    return std::make_shared<OnnxModel>(std::move(library), std::move(session), std::move(*info));
  } catch (const std::exception& e) {
    return fail(
        invalid_argument(fmt::format("model file {} cannot be loaded: {}", spec.path, e.what()), "model_not_loadable"));
  }
}

}  // namespace

Result<std::shared_ptr<Model>> OnnxRuntime::load(const ModelSpec& spec, const std::string& name, const std::string&) {
  auto model = load_now(spec, name);
  if (!model) malloc_trim(0);  // what a failed load had taken
  return model;
}

}  // namespace colony::runtime::onnx
