// Inference requests as most clients spell them, read in one pass from the text to the tensors. What is spelled otherwise, or
// is wrong in any way, is left to the parser, which knows all of JSON and has the words for every error: so nothing here may
// be taken that the parser refuses, or mean something else to it (fuzz target oip_json compares them). Private to the codec.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "request/runtime/oip/contract.h"

namespace colony::runtime::oip {

// Usual: nothing but inputs, each of name, shape, datatype and then data, a flat list of numbers; an id; and the names of the
// outputs. No key twice, no escapes, ASCII. False: it is not, and `to` holds anything.
bool read_usual(const std::string& json, ParsedInfer& to);

// parse_infer() by way of the parser, however the request is spelled. `to` is new.
Result<void> parse_any_infer(std::shared_ptr<std::string> body, std::optional<uint64_t> json_length, ParsedInfer& to);

}  // namespace colony::runtime::oip
