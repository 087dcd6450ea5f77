// HPACK header blocks as fields (RFC 7541): a walk that the caller drives, one field at a time. Pure.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "transport/http/hpack_table.h"

namespace colony::http {

// What a decoder's user wants to know of fields. A field of a table is looked at once, however often blocks name it.
struct HpackMarks {
  using Of = uint32_t(std::string_view name, std::string_view value);
  explicit HpackMarks(Of* f);
  Of* of;
  std::array<uint32_t, kHpackStatic + 1> statics;
};

// Of a connection only the table lasts. After kBad the connection is over: the tables of both ends differ.
class HpackDecoder {
 public:
  explicit HpackDecoder(const HpackMarks& marks) : marks_(marks) {}

  // `scratch` holds what is spelled out in the block. Table, block and scratch stay until the last next(), which changes
  // the table.
  void begin(HpackTable& table, std::string_view block, std::string& scratch);
  enum class Next : uint8_t { kField, kEnd, kBad };
  // The field's text holds until the next call.
  Next next(HpackField& field);

  static constexpr uint32_t kMaxString = 64 * 1024;  // LIMIT: bytes of a name or a value as they come

 private:
  bool integer(unsigned bits, uint32_t most, uint32_t& out);
  bool indexed(uint32_t index, HpackField& out) const;
  bool string(uint32_t& size);
  bool literal(unsigned bits, HpackField& out);
  char* room(size_t n);

  const HpackMarks& marks_;
  HpackTable* table_ = nullptr;
  const char *p_ = nullptr, *end_ = nullptr;
  std::string* scratch_ = nullptr;
  size_t used_ = 0;  // of scratch_
  bool fields_begun_ = false;
};

}  // namespace colony::http
