// transform: filetype. Bytes of any file -> the tensor that the magika model takes; its scores -> a JSON answer
// {"label","score","mime_type","group","description"}. Pre- and post-processing follow what the magika package (1.0.3,
// Apache-2.0) documents in its own source: features version 2, high-confidence mode. Labels, thresholds and sizes come
// from config.min.json, the words about each label from content_types_kb.min.json, both beside the model.
#pragma once

#include <memory>
#include <string>

#include "request/runtime/contract.h"

namespace colony::runtime::filetype {

// Reads both files; kNotFound or kInvalidArgument names what is missing or wrong in them.
Result<std::unique_ptr<Transform>> make_filetype(const std::string& model_path);

}  // namespace colony::runtime::filetype
