// Protobuf's wire format by hand (https://protobuf.dev/programming-guides/encoding/): fields of a message as views into it,
// and messages appended to a string. For the two messages of inference, whose tensors the generated code would copy; all
// others use the generated code. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace colony::runtime::oip {

enum class WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kGroup = 3, kGroupEnd = 4, kFixed32 = 5 };

struct WireField {
  uint32_t number = 0;
  WireType type = WireType::kVarint;
  uint64_t value = 0;      // kVarint, kFixed32, kFixed64
  std::string_view bytes;  // kBytes
};

class WireReader {
 public:
  explicit WireReader(std::string_view message) : rest_(message) {}
  // False at the end, and when the bytes are no message: ok() tells which. Groups are skipped whole.
  bool next(WireField& field);
  bool ok() const { return ok_; }
  // The next varint by itself: of packed fields.
  bool varint(uint64_t& value);
  bool at_end() const { return rest_.empty(); }

 private:
  bool read(WireField& field);
  bool skip_group(uint32_t number, int depth);
  bool fail() {
    ok_ = false;
    return false;
  }

  std::string_view rest_;
  bool ok_ = true;
};

size_t varint_size(uint64_t value);
void append_long_varint(std::string& out, uint64_t value);
inline void append_varint(std::string& out, uint64_t value) {
  if (value < 0x80) [[likely]]
    out += static_cast<char>(value);
  else
    append_long_varint(out, value);
}
inline void append_tag(std::string& out, uint32_t number, WireType type) {
  append_varint(out, uint64_t{number} << 3 | static_cast<uint64_t>(type));
}
void append_bytes_field(std::string& out, uint32_t number, std::string_view bytes);
// What append_bytes_field will take, for a number below 16.
inline size_t bytes_field_size(size_t bytes) { return 1 + varint_size(bytes) + bytes; }

}  // namespace colony::runtime::oip
