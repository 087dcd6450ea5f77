// The error table: one row per code. docs/errors.md shows the same rows; error_test.cc compares the two.
#include "base/error.h"

#include <array>
#include <cerrno>
#include <cstring>

namespace colony {
namespace {

struct Row {
  Code code;
  std::string_view name;
  int http;
  int exit;
};

constexpr std::array<Row, 17> kTable{{
    {Code::kOk, "OK", 200, 0},
    {Code::kCancelled, "CANCELLED", 499, 1},
    {Code::kUnknown, "UNKNOWN", 500, 1},
    {Code::kInvalidArgument, "INVALID_ARGUMENT", 400, 2},
    {Code::kDeadlineExceeded, "DEADLINE_EXCEEDED", 504, 1},
    {Code::kNotFound, "NOT_FOUND", 404, 3},
    {Code::kAlreadyExists, "ALREADY_EXISTS", 409, 2},
    {Code::kPermissionDenied, "PERMISSION_DENIED", 403, 2},
    {Code::kResourceExhausted, "RESOURCE_EXHAUSTED", 429, 1},
    {Code::kFailedPrecondition, "FAILED_PRECONDITION", 412, 2},
    {Code::kAborted, "ABORTED", 409, 1},
    {Code::kOutOfRange, "OUT_OF_RANGE", 400, 2},
    {Code::kUnimplemented, "UNIMPLEMENTED", 501, 1},
    {Code::kInternal, "INTERNAL", 500, 1},
    {Code::kUnavailable, "UNAVAILABLE", 503, 4},
    {Code::kDataLoss, "DATA_LOSS", 500, 1},
    {Code::kUnauthenticated, "UNAUTHENTICATED", 401, 2},
}};

const Row& row(Code code) {
  auto i = static_cast<size_t>(code);
  return i < kTable.size() ? kTable[i] : kTable[2];
}

Error make(Code code, std::string message, std::string reason, Origin origin, Retry retry) {
  return Error{code, std::move(message), std::move(reason), origin, retry};
}

}  // namespace

Error&& Error::within(std::string_view outer) && {
  message = std::string(outer) + ": " + message;
  return std::move(*this);
}

Error invalid_argument(std::string message, std::string reason) {
  return make(Code::kInvalidArgument, std::move(message), std::move(reason), Origin::kClient, Retry::kNo);
}
Error not_found(std::string message, std::string reason) {
  return make(Code::kNotFound, std::move(message), std::move(reason), Origin::kClient, Retry::kNo);
}
Error already_exists(std::string message, std::string reason) {
  return make(Code::kAlreadyExists, std::move(message), std::move(reason), Origin::kClient, Retry::kNo);
}
Error failed_precondition(std::string message, std::string reason) {
  return make(Code::kFailedPrecondition, std::move(message), std::move(reason), Origin::kClient, Retry::kNo);
}
Error unavailable(std::string message, std::string reason) {
  return make(Code::kUnavailable, std::move(message), std::move(reason), Origin::kUpstream, Retry::kIfFresh);
}
Error deadline_exceeded(std::string message, std::string reason) {
  return make(Code::kDeadlineExceeded, std::move(message), std::move(reason), Origin::kSelf, Retry::kNo);
}
Error cancelled(std::string message, std::string reason) {
  return make(Code::kCancelled, std::move(message), std::move(reason), Origin::kClient, Retry::kNo);
}
Error unimplemented(std::string message, std::string reason) {
  return make(Code::kUnimplemented, std::move(message), std::move(reason), Origin::kSelf, Retry::kNo);
}
Error internal_error(std::string message, std::string reason) {
  return make(Code::kInternal, std::move(message), std::move(reason), Origin::kSelf, Retry::kNo);
}
Error resource_exhausted(std::string message, std::string reason) {
  return make(Code::kResourceExhausted, std::move(message), std::move(reason), Origin::kSelf, Retry::kYes);
}
Error data_loss(std::string message, std::string reason) {
  return make(Code::kDataLoss, std::move(message), std::move(reason), Origin::kSelf, Retry::kNo);
}

Error errno_error(std::string message, int errno_value) {
  message += ": ";
  message += std::strerror(errno_value);
  switch (errno_value) {
    case ENOENT: return make(Code::kNotFound, std::move(message), "no_such_file", Origin::kSelf, Retry::kNo);
    case EACCES:
    case EPERM:
    case EROFS: return make(Code::kPermissionDenied, std::move(message), "not_permitted", Origin::kSelf, Retry::kNo);
    case ENOSPC:
    case EDQUOT: return make(Code::kResourceExhausted, std::move(message), "no_space", Origin::kSelf, Retry::kYes);
    case EMFILE:
    case ENFILE:
      return make(Code::kResourceExhausted, std::move(message), "too_many_files", Origin::kSelf, Retry::kYes);
    case EADDRINUSE: return make(Code::kAlreadyExists, std::move(message), "address_in_use", Origin::kSelf, Retry::kNo);
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENETUNREACH:
    case EHOSTUNREACH: return unavailable(std::move(message), "connection");
    case ETIMEDOUT: return deadline_exceeded(std::move(message));
    default: return internal_error(std::move(message));
  }
}

std::string_view code_name(Code code) { return row(code).name; }
int http_status(Code code) { return row(code).http; }
int exit_code(Code code) { return row(code).exit; }

Code code_from_http(int status) {
  if (status >= 200 && status < 400) return Code::kOk;
  switch (status) {
    case 400: return Code::kInvalidArgument;
    case 401: return Code::kUnauthenticated;
    case 403: return Code::kPermissionDenied;
    case 404: return Code::kNotFound;
    case 408:
    case 504: return Code::kDeadlineExceeded;
    case 409: return Code::kAlreadyExists;
    case 412: return Code::kFailedPrecondition;
    case 429: return Code::kResourceExhausted;
    case 499: return Code::kCancelled;
    case 501: return Code::kUnimplemented;
    case 502:
    case 503: return Code::kUnavailable;
    default: return status < 500 ? Code::kInvalidArgument : Code::kInternal;
  }
}

}  // namespace colony
