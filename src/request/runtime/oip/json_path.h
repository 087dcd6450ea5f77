// Where in a request's JSON something is, put into words only when an error needs them: a request that is right makes none.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace colony::runtime::oip {

// "inputs[2].parameters.binary_data_size" is {"inputs", 2, ".parameters.binary_data_size"}.
struct JsonPath {
  std::string_view list;
  size_t index = 0;
  std::string_view field = {};

  JsonPath at(std::string_view f) const { return {list, index, f}; }
  std::string text() const {
    std::string out(list);
    out += '[';
    out += std::to_string(index);
    out += ']';
    out += field;
    return out;
  }
};

}  // namespace colony::runtime::oip
