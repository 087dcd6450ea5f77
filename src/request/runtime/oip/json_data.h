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

struct JsonText {
  uint64_t size = 0;      // bytes: no more elements than this can be in it
  bool loosened = false;  // loose_json.h: its bare words are numbers
};

// `path`: of the field, for errors.
Result<std::string> read_data(const simdjson::dom::element& data, DataType type, const std::vector<int64_t>& shape,
                              uint64_t count, const JsonPath& path, const JsonText& text);
std::string shown(const simdjson::dom::element& value);  // at most 60 bytes of it

}  // namespace colony::runtime::oip
