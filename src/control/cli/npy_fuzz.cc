// Any bytes: an array whose data lies inside the input and fits its shape, or an Error.
#include <cstdint>
#include <cstdlib>

#include "control/cli/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  auto a = colony::cli::parse_npy(in);
  if (a && !a->data.empty() && (a->data.data() < in.data() || a->data.data() + a->data.size() != in.data() + in.size()))
    std::abort();
  return 0;
}
