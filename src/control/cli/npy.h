// NumPy's .npy format (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html), read as an OIP tensor.
// Pure: bytes in, tensor out. Fuzzed (npy_fuzz.cc).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace colony::cli {

struct NpyArray {
  std::string datatype;  // OIP: "FP32"
  std::vector<int64_t> shape;
  std::string_view data;  // row-major, little endian; views into the input
};
// Refused, by name: Fortran order with more than one axis, big endian, objects, strings, structured types, a size that
// does not match the shape.
Result<NpyArray> parse_npy(std::string_view bytes);

}  // namespace colony::cli
