// Writing JSON by hand: strings with their escapes, numbers in the shortest form that reads back as the same value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "request/runtime/contract.h"

namespace colony::runtime::oip {

void append_json_string(std::string& out, std::string_view s);
void append_json_number(std::string& out, int64_t v);
void append_json_number(std::string& out, uint64_t v);
// NaN and the infinities become the bare words NaN, Infinity, -Infinity, as Triton writes and its clients read them.
void append_json_number(std::string& out, float v);
void append_json_number(std::string& out, double v);
// "[1,2,3]"
void append_json_shape(std::string& out, const std::vector<int64_t>& shape);

// The elements of a numeric or BOOL tensor (not FP16, BF16, BYTES), with commas; the data must have passed check_data.
void append_json_elements(std::string& out, DataType type, std::string_view data);

}  // namespace colony::runtime::oip
