// JSON values -> typed bytes, for `data` of an input. Private to infer_json.cc's side of the codec.
#pragma once

#include <string>
#include <vector>

#include "request/runtime/contract.h"
#include "request/runtime/oip/json_path.h"

namespace simdjson::dom {
class element;
}

namespace colony::runtime::oip {

// `path`: of the field, for errors. `most`: no more elements than this can be there (bytes of the body).
Result<std::string> read_data(const simdjson::dom::element& data, DataType type, const std::vector<int64_t>& shape,
                              uint64_t count, const JsonPath& path, uint64_t most);
std::string shown(const simdjson::dom::element& value);  // at most 60 bytes of it

}  // namespace colony::runtime::oip
