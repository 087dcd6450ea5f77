// Protobuf's wire format by hand (https://protobuf.dev/programming-guides/encoding/): fields of a message as views into it,
// and messages put into memory of their size. For the two messages of inference, whose tensors the generated code would copy; all
// others use the generated code. Pure.
#pragma once

#include <cstdint>
#include <cstring>
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
// What a bytes field takes, for a number below 16.
inline size_t bytes_field_size(size_t bytes) { return 1 + varint_size(bytes) + bytes; }

// Into memory whose size is known to be enough. Numbers of fields are below 16.
class WireWriter {
 public:
  explicit WireWriter(char* to) : at_(to) {}
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) *at_++ = static_cast<char>(value | 0x80);
    *at_++ = static_cast<char>(value);
  }
  // The tag and size of a field whose bytes are put next.
  void begin_bytes(uint32_t number, size_t size) {
    *at_++ = static_cast<char>(number << 3 | static_cast<uint32_t>(WireType::kBytes));
    varint(size);
  }
  void bytes_field(uint32_t number, std::string_view bytes) {
    begin_bytes(number, bytes.size());
    if (!bytes.empty()) std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }
  const char* at() const { return at_; }

 private:
  char* at_;
};

}  // namespace colony::runtime::oip
