// Writes the header blocks of replies (RFC 7541). Made for replies that resemble one another: a field that has been seen
// before goes into the dynamic table and costs one byte from then on; everything else is spelled out, without Huffman's
// code and without a place in the table. Pure.
#pragma once

#include <array>
#include <string_view>

#include "transport/http/hpack_table.h"

namespace colony::http {

// One direction of one connection. A block is begin(), then status(), then fields; every call returns the end of what it
// wrote. Room: kBegin for begin() and status() together, name + value + kPerField for a field.
class HpackEncoder {
 public:
  static constexpr size_t kBegin = 24, kPerField = 12;

  // The client's SETTINGS_HEADER_TABLE_SIZE; tells it at the next block.
  void set_limit(uint32_t bytes);

  char* begin(char* out);
  char* status(char* out, int status);  // three digits
  // `name` in lower case.
  char* field(char* out, std::string_view name, std::string_view value);

 private:
  static constexpr size_t kRemembered = 16;  // fields that were spelled out last

  HpackTable table_;
  // Half of their hashes, a ring. A field that is taken for another goes into the table the first time it comes.
  std::array<uint16_t, kRemembered> seen_{};
  uint16_t next_seen_ = 0;
  uint16_t lowest_limit_ = kHpackTableSize;  // since the last block
  bool limit_changed_ = false;
};

}  // namespace colony::http
