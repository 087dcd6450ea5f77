// Asks the onnx runtime itself, so that doctor and replica never disagree. Opens nothing.
#include "app/onnx_places.h"

#include "request/runtime/onnx/library.h"

namespace colony::app {

std::vector<std::string> onnx_places() {
  std::vector<std::string> paths;
  for (auto& place : runtime::onnx::places("")) paths.push_back(std::move(place.path));
  return paths;
}

}  // namespace colony::app
