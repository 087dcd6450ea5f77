// runtime: onnx. ONNX models through ONNX Runtime's C++ API; the library is opened when the first model is loaded.
#pragma once

#include "request/runtime/contract.h"

namespace colony::runtime::onnx {

// Stateless; any thread. A failed load leaves nothing behind.
class OnnxRuntime final : public Runtime {
 public:
  Result<std::shared_ptr<Model>> load(const ModelSpec& spec, const std::string& name,
                                      const std::string& user_config) override;
};

}  // namespace colony::runtime::onnx
