// Any bytes as the JSON of an error and as an envelope: no crash, and what was read survives being written again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "transport/rpc/envelope.h"
#include "transport/rpc/error_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const colony::Error error = colony::rpc::error_from_json(text, 500);
  const colony::Error again = colony::rpc::error_from_json(colony::rpc::error_to_json(error), 200);
  if (again.code != error.code || again.reason != error.reason) std::abort();
  if (!error.message.empty() && again.message != error.message) std::abort();
  uint8_t flags = 0;
  std::string_view payload;
  if (colony::rpc::read_envelope(text, flags, payload) == colony::rpc::EnvelopeState::kComplete) {
    if (payload.size() + colony::rpc::kEnvelopeHead > size) std::abort();
  }
  return 0;
}
