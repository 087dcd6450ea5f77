// How a call's outcome travels in gRPC: grpc-status and grpc-message in the trailers, grpc-timeout in the request head.
// Error's codes are gRPC's, so this is a change of spelling only. Pure; used by our services and by the proxy, which
// must answer gRPC clients in their own terms.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace colony::grpc {

inline constexpr std::string_view kContentType = "application/grpc";

// Trailer lines "name: value\r\n". `reason` travels as x-colony-reason, so that it survives the way back.
inline constexpr std::string_view kOkTrailers = "grpc-status: 0\r\n";
std::string error_trailers(const Error& error);
// A whole HTTP/1.1 reply head for a call that fails before any message: 200, content-type, grpc-status, grpc-message.
std::string trailers_only_head(const Error& error);

// Reads the outcome from trailer lines (or from the fields of a trailers-only head, given as lines). No grpc-status in
// them: kUnknown, as the protocol asks.
Result<void> status_from_trailers(std::string_view lines);

// Percent-encoding of grpc-message: printable ASCII but '%' stays, every other byte becomes %XX. Decoding never fails:
// a broken escape stays as it is.
std::string encode_message(std::string_view text);
std::string decode_message(std::string_view text);

// grpc-timeout: 1 to 8 digits and one of H M S m u n. Strict: nullopt for anything else. Saturates at 10 years.
std::optional<Duration> parse_timeout(std::string_view value);
std::string format_timeout(Duration left);  // rounded up to what 8 digits can say; never "0n" for a positive time

}  // namespace colony::grpc
