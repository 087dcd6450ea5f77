// An Error as the JSON body that Connect prescribes for a failed call, {"code","message"}, with our own members beside
// them so that it travels whole. Reads as well what http::error_reply writes. A flat object of strings by hand: no JSON
// library belongs in transport/. Pure; fuzzed.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace colony::rpc {

std::string error_to_json(const Error& error);
// What is missing or unreadable falls back to the HTTP status and the text itself (bounded).
Error error_from_json(std::string_view body, int http_status);

}  // namespace colony::rpc
