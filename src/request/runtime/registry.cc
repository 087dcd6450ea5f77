// The runtimes and transforms that this binary has, by name.
#include <fmt/format.h>

#include "request/runtime/contract.h"
#include "request/runtime/echo/echo_runtime.h"
#include "request/runtime/onnx/onnx_runtime.h"
#include "request/runtime/transform/filetype/filetype.h"

namespace colony::runtime {

Result<std::unique_ptr<Runtime>> make_runtime(const std::string& name) {
  if (name == "echo") return std::make_unique<echo::EchoRuntime>();
  if (name == "onnx") return std::make_unique<onnx::OnnxRuntime>();
  return fail(invalid_argument(fmt::format("runtime '{}' does not exist; there are: echo, onnx", name)));
}

std::vector<std::string> transform_names() { return {"filetype"}; }

Result<std::unique_ptr<Transform>> make_transform(const std::string& name, const std::string& model_path) {
  if (name == "filetype") return filetype::make_filetype(model_path);
  return fail(invalid_argument(
      fmt::format("transform '{}' does not exist; there are: {}", name, fmt::join(transform_names(), ", "))));
}

}  // namespace colony::runtime
