// The link to an HTTP/1.1 backend that answers arbitrary bytes in arbitrary pieces, with several calls on it: every call
// ends exactly once or is cancelled, what is shown of a reply has one head and one end, and the link survives.
#include "base/check.h"
#include "transport/backend/link_fuzz_support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  return colony::backend::fuzz::run(&colony::backend::connect_http1, {}, bytes, size);
}
