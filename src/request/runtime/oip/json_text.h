// Writing JSON by hand: strings with their escapes, numbers in the shortest form that reads back as the same value.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "request/runtime/contract.h"

namespace colony::runtime::oip {

// Appends to a string by way of a block on the stack: a string that grew by every word would look at its capacity for
// each. What was put is there when the writer is gone, or flushed.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}
  ~JsonWriter() { flush(); }
  JsonWriter(const JsonWriter&) = delete;
  JsonWriter& operator=(const JsonWriter&) = delete;

  // As it is.
  void text(std::string_view s) {
    if (s.size() > room()) [[unlikely]]
      return long_text(s);
    if (!s.empty()) std::memcpy(at_, s.data(), s.size());
    at_ += s.size();
  }
  void string(std::string_view s);                // in quotes, with its escapes
  void shape(const std::vector<int64_t>& shape);  // "[1,2,3]"
  void number(uint64_t v);
  // The elements of a numeric or BOOL tensor (not FP16, BF16, BYTES), with commas; the data must have passed check_data.
  // NaN and the infinities become the bare words NaN, Infinity, -Infinity, as Triton writes and its clients read them.
  void elements(DataType type, std::string_view data);
  size_t size() const { return out_.size() + static_cast<size_t>(at_ - block_); }  // of all that was put
  void flush() {
    out_.append(block_, at_);
    at_ = block_;
  }

 private:
  size_t room() const { return static_cast<size_t>(block_ + sizeof block_ - at_); }
  void long_text(std::string_view s);
  template <class T>
  void list(std::string_view data);

  std::string& out_;
  char block_[2048];
  char* at_ = block_;
};

// One piece of it alone.
void append_json_string(std::string& out, std::string_view s);
void append_json_shape(std::string& out, const std::vector<int64_t>& shape);  // "[1,2,3]"
void append_json_elements(std::string& out, DataType type, std::string_view data);

}  // namespace colony::runtime::oip
