// The envelope of a message in a stream, as Connect has it: one byte of flags, a big-endian length, the message. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "transport/rpc/rpc.h"

namespace colony::rpc {

inline constexpr uint8_t kEndOfStream = 0x02;  // the payload is JSON: {} or the error
inline constexpr size_t kEnvelopeHead = 5;
inline constexpr size_t kMaxMessage = 16 * 1024 * 1024;  // LIMIT: of one message, either way

// kResourceExhausted beyond kMaxMessage; `out` is as it was then.
Result<void> append_envelope(std::string& out, uint8_t flags, std::string_view payload);

enum class EnvelopeState : uint8_t { kComplete, kNeedMore, kBad };
// kComplete: kEnvelopeHead + payload.size() bytes belong to the message. kBad: unknown flags or too long.
EnvelopeState read_envelope(std::string_view data, uint8_t& flags, std::string_view& payload);

}  // namespace colony::rpc
