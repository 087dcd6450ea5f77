// Reads the model's name from the first bytes of a gRPC inference call: field 1 of the first message, found by a
// bounds-checked walk over the protobuf wire format, so that the proxy forwards tensors without parsing them. Pure and
// fuzzed.
#pragma once

#include <cstdint>
#include <string_view>

namespace colony::proxy {

enum class PeekState : uint8_t {
  kFound,     // `name` is set; empty when the message has no field 1
  kNeedMore,  // the name lies further on than the bytes that are here
  kBad,       // not a message: `why` says what is wrong
};

// `bytes`: the request body from its start (gRPC's 5-byte prefix first).
PeekState grpc_model_name(std::string_view bytes, std::string_view& name, std::string_view& why);

}  // namespace colony::proxy
