// One loaded session. Inputs are checked against the model's own metadata before the run; tensors go in without a copy
// where they are aligned, and come out as views into ONNX Runtime's memory.
#pragma once

#include <memory>

#include "request/runtime/contract.h"
#include "request/runtime/onnx/library.h"
#include "request/runtime/onnx/ort_api.h"

namespace colony::runtime::onnx {

// Any thread, several at once. Destruction ends the session and gives its memory back to the system; that takes
// milliseconds, so let a pool thread do it.
class OnnxModel final : public Model {
 public:
  OnnxModel(std::shared_ptr<const Library> library, Ort::Session session, ModelInfo info);
  ~OnnxModel() override;

  const ModelInfo& info() const override { return info_; }
  Result<InferReply> infer(InferRequest&& request) override;

 private:
  Result<Ort::Value> to_value(const Tensor& tensor, const TensorInfo& expected,
                              std::vector<std::string>& aligned) const;
  Result<std::vector<const Tensor*>> match_inputs(const InferRequest& request) const;
  Result<std::vector<const char*>> match_outputs(const InferRequest& request) const;
  Error run_error(const Ort::Exception& e, const InferRequest& request) const;

  std::shared_ptr<const Library> library_;
  Ort::Session session_;
  ModelInfo info_;
  Ort::MemoryInfo memory_;
  std::vector<const char*> input_names_;  // point into info_
};

// "bytes INT32 [-1,2048], mask BOOL [-1]"
std::string describe(const std::vector<TensorInfo>& tensors);

}  // namespace colony::runtime::onnx
