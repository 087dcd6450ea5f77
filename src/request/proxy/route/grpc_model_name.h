// Reads the model's name from the first bytes of a gRPC inference call: field 1 of the first message, found by a
// bounds-checked walk over the protobuf wire format, so that the proxy forwards tensors without parsing them. Of a
// compressed message only so much is unpacked. Pure and fuzzed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "transport/compress/coding.h"

namespace colony::proxy {

enum class PeekState : uint8_t {
  kFound,     // `name` is set; empty when the message has no field 1
  kNeedMore,  // the name lies further on than the bytes that are here
  kBad,       // not a message: `why` says what is wrong
};

inline constexpr size_t kMostUnpacked = 64 * 1024;  // LIMIT: the name must come before this

// `bytes`: the request body from its start (gRPC's 5-byte prefix first). `coding`: of compressed messages, as grpc-encoding
// says. `unpacked`: where a compressed message's beginning goes; `name` may point into it.
PeekState grpc_model_name(std::string_view bytes, compress::Coding coding, std::string& unpacked,
                          std::string_view& name, std::string_view& why);

}  // namespace colony::proxy
