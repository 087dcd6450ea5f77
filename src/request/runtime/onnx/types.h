// OIP datatypes against ONNX element types; what ONNX has beyond OIP (complex, 8-bit and 4-bit floats) is named.
#pragma once

#include <optional>
#include <string>

#include "request/runtime/contract.h"
#include "request/runtime/onnx/ort_api.h"

namespace colony::runtime::onnx {

std::optional<DataType> from_onnx(ONNXTensorElementDataType t);
ONNXTensorElementDataType to_onnx(DataType t);
std::string onnx_type_name(ONNXTensorElementDataType t);  // for errors about types that OIP lacks

}  // namespace colony::runtime::onnx
