// Where a replica on this machine will look for ONNX Runtime, for `colony doctor`: the command line may not include the
// runtimes, so the answer is carried to it from here.
#pragma once

#include <string>
#include <vector>

namespace colony::app {

std::vector<std::string> onnx_places();

}  // namespace colony::app
