// The link to an h2c backend that greets and then sends arbitrary bytes in arbitrary pieces, with several calls on it: every
// call ends exactly once or is cancelled, what is shown of a reply has one head and one end, and the link survives.
#include "base/check.h"
#include "transport/backend/link_fuzz_support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  // SETTINGS without an entry: else no byte of the input would reach a call.
  return colony::backend::fuzz::run(&colony::backend::connect_h2, std::string("\0\0\0\4\0\0\0\0\0", 9), bytes, size);
}
