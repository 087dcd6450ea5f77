// See proto_wire.h.
#include "request/runtime/oip/proto_wire.h"

#include <cstring>

namespace colony::runtime::oip {
namespace {

constexpr int kMostNested = 100;  // LIMIT: groups within groups, as protobuf's own readers have it
constexpr uint64_t kMostKey = (uint64_t{1} << 35) - 1;  // five bytes; protobuf's own readers take 32 bits of them

template <class T>
bool fixed(std::string_view& rest, uint64_t& value) {
  T v;
  if (rest.size() < sizeof v) return false;
  std::memcpy(&v, rest.data(), sizeof v);
  rest.remove_prefix(sizeof v);
  value = v;
  return true;
}

}  // namespace

bool WireReader::varint(uint64_t& value) {
  if (!rest_.empty() && static_cast<unsigned char>(rest_[0]) < 0x80) [[likely]] {
    value = static_cast<unsigned char>(rest_[0]);
    rest_.remove_prefix(1);
    return true;
  }
  value = 0;
  for (size_t i = 0; i < 10 && i < rest_.size(); ++i) {
    const auto b = static_cast<unsigned char>(rest_[i]);
    value |= static_cast<uint64_t>(b & 0x7f) << (7 * i);
    if (b >= 0x80) continue;
    rest_.remove_prefix(i + 1);
    return true;
  }
  return fail();
}

bool WireReader::read(WireField& field) {
  uint64_t key = 0;
  if (!varint(key)) return false;
  if (key > kMostKey) return fail();
  field.number = static_cast<uint32_t>(key) >> 3;
  if (field.number == 0) return fail();
  field.type = static_cast<WireType>(key & 7);
  switch (field.type) {
    case WireType::kVarint: return varint(field.value);
    case WireType::kFixed64: return fixed<uint64_t>(rest_, field.value) || fail();
    case WireType::kFixed32: return fixed<uint32_t>(rest_, field.value) || fail();
    case WireType::kBytes: {
      uint64_t size = 0;
      if (!varint(size)) return false;
      if (size > rest_.size()) return fail();
      field.bytes = rest_.substr(0, size);
      rest_.remove_prefix(size);
      return true;
    }
    case WireType::kGroup:
    case WireType::kGroupEnd: return true;
  }
  return fail();
}

bool WireReader::skip_group(uint32_t number, int depth) {
  if (depth > kMostNested) return fail();
  for (WireField inner;;) {
    if (rest_.empty()) return fail();
    if (!read(inner)) return false;
    if (inner.type == WireType::kGroupEnd) return inner.number == number || fail();
    if (inner.type == WireType::kGroup && !skip_group(inner.number, depth + 1)) return false;
  }
}

bool WireReader::next(WireField& field) {
  // Nearly all: bytes, with a number below 16 and fewer than 128 of them.
  if (ok_ && rest_.size() >= 2) {
    const auto key = static_cast<unsigned char>(rest_[0]), size = static_cast<unsigned char>(rest_[1]);
    constexpr unsigned kOne = 1 << 3 | static_cast<unsigned>(WireType::kBytes);
    if ((key & 7) == static_cast<unsigned>(WireType::kBytes) && key >= kOne && (key | size) < 0x80 &&
        size <= rest_.size() - 2) [[likely]] {
      field.number = key >> 3;
      field.type = WireType::kBytes;
      field.bytes = rest_.substr(2, size);
      rest_.remove_prefix(size_t{2} + size);
      return true;
    }
  }
  for (;;) {
    if (rest_.empty() || !ok_) return false;
    if (!read(field)) return false;
    if (field.type == WireType::kGroupEnd) return fail();
    if (field.type != WireType::kGroup) return true;
    if (!skip_group(field.number, 1)) return false;
  }
}

size_t varint_size(uint64_t value) {
  size_t n = 1;
  for (; value >= 0x80; value >>= 7) ++n;
  return n;
}

}  // namespace colony::runtime::oip
