// The one error type of Colony. Codes are gRPC's sixteen, so that one table (docs/errors.md, base/error.cc) maps an
// error to an HTTP status, a gRPC code, an exit code and a metric label. Not for impossible states: those are CHECK.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace colony {

// Numbers are gRPC's (https://grpc.io/docs/guides/status-codes/).
enum class Code : uint8_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// Where the fault lies: the caller's input, something that this process called, or this process itself.
enum class Origin : uint8_t { kClient, kUpstream, kSelf };

// May the same call be made again? kIfFresh: only when the callee cannot have begun to act on it.
enum class Retry : uint8_t { kNo, kYes, kIfFresh };

struct Error {
  Code code = Code::kUnknown;
  std::string message;  // for a person: what, which value, what would be right
  std::string reason;   // for a machine: a stable snake_case word such as "queue_full"; may be empty
  Origin origin = Origin::kSelf;
  Retry retry = Retry::kNo;

  // Puts "outer: " before the message; for adding what was being done when it failed.
  Error&& within(std::string_view outer) &&;
};

Error invalid_argument(std::string message, std::string reason = "invalid_argument");
Error not_found(std::string message, std::string reason = "not_found");
Error already_exists(std::string message, std::string reason = "already_exists");
Error failed_precondition(std::string message, std::string reason = "failed_precondition");
Error unavailable(std::string message, std::string reason = "unavailable");
Error deadline_exceeded(std::string message, std::string reason = "deadline_exceeded");
Error cancelled(std::string message, std::string reason = "cancelled");
Error unimplemented(std::string message, std::string reason = "unimplemented");
Error internal_error(std::string message, std::string reason = "internal");
Error resource_exhausted(std::string message, std::string reason = "resource_exhausted");
Error data_loss(std::string message, std::string reason = "data_loss");
// "MESSAGE: strerror(errno_value)"; ENOENT becomes kNotFound, EACCES and EROFS kPermissionDenied, ENOSPC
// kResourceExhausted, EADDRINUSE kAlreadyExists, connection errors kUnavailable, everything else kInternal.
Error errno_error(std::string message, int errno_value);

std::string_view code_name(Code code);  // "INVALID_ARGUMENT", the gRPC spelling
int http_status(Code code);             // kDeadlineExceeded 504, kUnavailable 503, kCancelled 499, ...
Code code_from_http(int status);        // the reverse, for replies of plain HTTP peers
int exit_code(Code code);               // 0 ok; 2 the user's mistake; 3 not found; 4 not reachable; 1 anything else

}  // namespace colony
