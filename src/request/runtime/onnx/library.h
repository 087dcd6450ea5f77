// Finds and opens ONNX Runtime. Nothing links it: Colony starts without it, and a user's own build (CUDA, a newer version)
// can be named. The C API only grows, so a library at least as new as our headers will do.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace Ort {
struct Env;
}

namespace colony::runtime::onnx {

struct Place {
  std::string what;  // "model.library", "COLONY_ORT_LIBRARY", "beside the binary", ...
  std::string path;  // a file, or a soname for the loader
};
// Every place to look at, in order; several when a folder holds several versions. `configured`: ModelSpec.library, may be
// empty. A configured path or COLONY_ORT_LIBRARY is the only place when given: no silent fall-back to another library.
std::vector<Place> places(const std::string& configured);

// An opened library with its process-wide environment. Shared by all models; kept open until the process ends, because
// the library keeps threads and thread-local state of its own.
struct Library {
  std::string path, version;
  std::vector<std::string> providers;  // "cpu", "cuda", ...
  std::shared_ptr<Ort::Env> env;
};

// The first call decides for the process (LIMIT: one ONNX Runtime per process, its C++ API has one function table);
// another `configured` afterwards is kFailedPrecondition. Any thread. The error names every place tried and the way out.
Result<std::shared_ptr<const Library>> open_library(const std::string& configured);

// "CUDAExecutionProvider" -> "cuda".
std::string short_provider_name(std::string_view name);

}  // namespace colony::runtime::onnx
