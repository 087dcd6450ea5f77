// What one request and its reply may have, in JSON and in gRPC alike. Private to the codec.
#pragma once

#include <cstddef>

namespace colony::runtime::oip {

inline constexpr size_t kMaxTensors = 4096;                 // LIMIT: inputs, or outputs, of one request
inline constexpr size_t kMaxDimensions = 64;                // LIMIT: of one tensor
inline constexpr size_t kMaxReply = (size_t{1} << 31) - 1;  // LIMIT: bytes of one reply; protobuf has no larger message

}  // namespace colony::runtime::oip
