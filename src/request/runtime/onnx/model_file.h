// Looks at a model file before ONNX Runtime does, so that a wrong path, a cut download or another kind of file gets an
// error that says so. Reads a few bytes per top-level field, never the weights.
#pragma once

#include <string>

#include "base/result.h"

namespace colony::runtime::onnx {

Result<void> check_model_file(const std::string& path);

}  // namespace colony::runtime::onnx
