// Errors say the tensor, what came and what is expected, in the client's words; ONNX Runtime's own texts appear only for
// what happens inside the graph.
#include "request/runtime/onnx/onnx_model.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <cstring>

#include "request/runtime/onnx/types.h"

namespace colony::runtime::onnx {
namespace {

std::string text(const TensorInfo& t) { return fmt::format("{} {}", to_string(t.type), shape_text(t.shape)); }

// No dimensions: a scalar, or a model that says nothing of the shape. ONNX Runtime has the same answer for both, so what
// comes is its own to judge.
bool fits(const std::vector<int64_t>& shape, const std::vector<int64_t>& expected) {
  if (expected.empty()) return true;
  return std::ranges::equal(shape, expected, [](int64_t got, int64_t want) { return want < 0 || got == want; });
}

// BYTES -> ONNX strings; embedded zero bytes survive.
Ort::Value string_value(const Tensor& tensor) {
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value value = Ort::Value::CreateTensor(allocator, tensor.shape.data(), tensor.shape.size(),
                                              ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING);
  size_t i = 0;
  for (const auto element : bytes_elements(tensor.data)) {
    char* to = value.GetResizedStringTensorElementBuffer(i++, element.size());
    std::memcpy(to, element.data(), element.size());
  }
  return value;
}

Tensor from_strings(const Ort::Value& value, std::string name, std::vector<int64_t> shape, size_t count) {
  std::string joined(value.GetStringTensorDataLength(), '\0'), bytes;
  std::vector<size_t> offsets(count);
  if (count > 0) value.GetStringTensorContent(joined.data(), joined.size(), offsets.data(), count);
  bytes.reserve(joined.size() + 4 * count);
  for (size_t i = 0; i < count; ++i) {
    const size_t end = i + 1 < count ? offsets[i + 1] : joined.size();
    append_bytes_element(bytes, std::string_view(joined).substr(offsets[i], end - offsets[i]));
  }
  return own_tensor(std::move(name), DataType::kBytes, std::move(shape), std::move(bytes));
}

Result<Tensor> to_tensor(std::shared_ptr<Ort::Value> value, const char* name) {
  if (!value->IsTensor()) return fail(internal_error(fmt::format("output '{}' is no tensor", name)));
  const auto info = value->GetTensorTypeAndShapeInfo();
  const auto type = from_onnx(info.GetElementType());
  if (!type)
    return fail(internal_error(fmt::format("output '{}' has {}", name, onnx_type_name(info.GetElementType()))));
  const size_t count = info.GetElementCount();
  if (*type == DataType::kBytes) return from_strings(*value, name, info.GetShape(), count);
  Tensor t{name, *type, info.GetShape(), {}, nullptr};
  t.data = {static_cast<const char*>(value->GetTensorRawData()), count * element_size(*type)};
  t.owner = std::move(value);
  return t;
}

// Ends a run when the request is cancelled, for as long as the guard lives.
class TerminateOnCancel {
 public:
  TerminateOnCancel(CancelFlag* flag, Ort::RunOptions& options) : flag_(flag) {
    if (flag_) flag_->set_hook([&options] { options.SetTerminate(); });
  }
  ~TerminateOnCancel() {
    if (flag_) flag_->clear_hook();
  }
  TerminateOnCancel(const TerminateOnCancel&) = delete;
  TerminateOnCancel& operator=(const TerminateOnCancel&) = delete;

 private:
  CancelFlag* flag_;
};

}  // namespace

std::string describe(const std::vector<TensorInfo>& tensors) {
  std::string out;
  for (const auto& t : tensors) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", t.name, text(t));
  return out.empty() ? "none" : out;
}

OnnxModel::OnnxModel(std::shared_ptr<const Library> library, Ort::Session session, ModelInfo info)
    : library_(std::move(library)),
      session_(std::move(session)),
      info_(std::move(info)),
      memory_(Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault)) {
  for (const auto& t : info_.inputs) input_names_.push_back(t.name.c_str());
}

OnnxModel::~OnnxModel() {
  session_ = Ort::Session(nullptr);
  malloc_trim(0);  // WHY: without it a third of what the session held stays with the process
}

Result<std::vector<const Tensor*>> OnnxModel::match_inputs(const InferRequest& request) const {
  std::vector<const Tensor*> matched(info_.inputs.size());
  for (const auto& given : request.inputs) {
    const auto it = std::ranges::find(info_.inputs, given.name, &TensorInfo::name);
    if (it == info_.inputs.end())
      return fail(invalid_argument(fmt::format("input '{}' is unknown; model '{}' takes: {}", brief(given.name),
                                               info_.name, describe(info_.inputs))));
    auto& slot = matched[static_cast<size_t>(it - info_.inputs.begin())];
    if (slot) return fail(invalid_argument(fmt::format("input '{}' is given twice", brief(given.name))));
    slot = &given;
  }
  for (size_t i = 0; i < matched.size(); ++i) {
    if (matched[i]) continue;
    const auto& wanted = info_.inputs[i];
    return fail(invalid_argument(
        fmt::format("input '{}' is missing; model '{}' takes it as {}", wanted.name, info_.name, text(wanted))));
  }
  return matched;
}

Result<std::vector<const char*>> OnnxModel::match_outputs(const InferRequest& request) const {
  std::vector<const char*> names;
  if (request.outputs.empty())
    for (const auto& t : info_.outputs) names.push_back(t.name.c_str());
  for (const auto& wanted : request.outputs) {
    const auto it = std::ranges::find(info_.outputs, wanted, &TensorInfo::name);
    if (it == info_.outputs.end())
      return fail(invalid_argument(fmt::format("output '{}' is unknown; model '{}' gives: {}", brief(wanted),
                                               info_.name, describe(info_.outputs))));
    if (std::ranges::find(names, std::string_view(it->name), [](const char* n) { return std::string_view(n); }) !=
        names.end())
      return fail(invalid_argument(fmt::format("output '{}' is asked for twice", wanted)));
    names.push_back(it->name.c_str());
  }
  return names;
}

Result<Ort::Value> OnnxModel::to_value(const Tensor& tensor, const TensorInfo& expected,
                                       std::vector<std::string>& aligned) const {
  if (tensor.type != expected.type)
    return fail(invalid_argument(fmt::format("input '{}' has the datatype {}, expected {}", tensor.name,
                                             to_string(tensor.type), to_string(expected.type))));
  if (!fits(tensor.shape, expected.shape))
    return fail(invalid_argument(fmt::format("input '{}' has the shape {}, expected {}{}", tensor.name,
                                             shape_text(tensor.shape), shape_text(expected.shape),
                                             std::ranges::count(expected.shape, -1) > 0 ? " (-1: any)" : "")));
  TRY_VOID(check_data(tensor));
  if (tensor.type == DataType::kBytes) return string_value(tensor);
  if (tensor.type == DataType::kBool) {
    // Another value than 0 and 1 in a C++ bool is undefined behaviour inside the graph.
    const auto bad = std::ranges::find_if(tensor.data, [](char c) { return c != 0 && c != 1; });
    if (bad != tensor.data.end())
      return fail(
          invalid_argument(fmt::format("input '{}': BOOL element {} is the byte {}, expected 0 or 1", tensor.name,
                                       bad - tensor.data.begin(), static_cast<int>(static_cast<unsigned char>(*bad)))));
  }
  std::string_view data = tensor.data;
  static constexpr char kNothing[16] = {};
  if (data.empty()) data = {kNothing, 0};
  if (reinterpret_cast<uintptr_t>(data.data()) % element_size(tensor.type) != 0) data = aligned.emplace_back(data);
  return Ort::Value::CreateTensor(memory_, const_cast<char*>(data.data()), data.size(), tensor.shape.data(),
                                  tensor.shape.size(), to_onnx(tensor.type));
}

Result<InferReply> OnnxModel::infer(InferRequest&& request) {
  if (request.cancel && request.cancel->cancelled()) return fail(cancelled("the request was cancelled before it ran"));
  TRY(const auto inputs, match_inputs(request));
  TRY(const auto wanted, match_outputs(request));
  try {
    std::vector<std::string> aligned;
    aligned.reserve(inputs.size());
    std::vector<Ort::Value> values;
    for (size_t i = 0; i < inputs.size(); ++i) {
      TRY(auto value, to_value(*inputs[i], info_.inputs[i], aligned));
      values.push_back(std::move(value));
    }
    Ort::RunOptions options;
    std::vector<Ort::Value> results;
    {
      const TerminateOnCancel guard(request.cancel.get(), options);
      results = session_.Run(options, input_names_.data(), values.data(), values.size(), wanted.data(), wanted.size());
    }
    InferReply reply{info_.name, info_.version, {}};
    for (size_t i = 0; i < results.size(); ++i) {
      TRY(auto tensor, to_tensor(std::make_shared<Ort::Value>(std::move(results[i])), wanted[i]));
      reply.outputs.push_back(std::move(tensor));
    }
    return reply;
  } catch (const Ort::Exception& e) {
    return fail(run_error(e, request));
  } catch (const std::exception& e) {
    return fail(internal_error(fmt::format("model '{}' failed: {}", info_.name, e.what()), "model_failed"));
  }
}

Error OnnxModel::run_error(const Ort::Exception& e, const InferRequest& request) const {
  if (request.cancel && request.cancel->cancelled()) return cancelled("the request was cancelled while it ran");
  auto text = fmt::format("model '{}' failed: {}", info_.name, e.what());
  if (e.GetOrtErrorCode() == ORT_INVALID_ARGUMENT) return invalid_argument(std::move(text), "model_failed");
  return internal_error(std::move(text), "model_failed");
}

}  // namespace colony::runtime::onnx
