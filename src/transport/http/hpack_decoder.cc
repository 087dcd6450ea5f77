// See hpack_decoder.h.
#include "transport/http/hpack_decoder.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "transport/http/hpack_huffman.h"

namespace colony::http {

HpackMarks::HpackMarks(Of* f) : of(f), statics{} {
  for (uint32_t i = 1; i <= kHpackStatic; ++i) statics[i] = f(hpack_static(i).name(), hpack_static(i).value());
}

void HpackDecoder::begin(HpackTable& table, std::string_view block, std::string& scratch) {
  table_ = &table;
  p_ = block.data();
  end_ = p_ + block.size();
  scratch_ = &scratch;
  fields_begun_ = false;
}

// RFC 7541, 5.1, with a prefix of so many bits in the byte at p_.
bool HpackDecoder::integer(unsigned bits, uint32_t most, uint32_t& out) {
  constexpr uint32_t kAll = std::numeric_limits<uint32_t>::max();
  const uint32_t prefix = (1u << bits) - 1;
  uint32_t n = static_cast<uint8_t>(*p_++) & prefix;
  if (n == prefix) {
    for (unsigned shift = 0;; shift += 7) {
      if (p_ == end_ || shift >= 32) return false;
      const auto byte = static_cast<uint8_t>(*p_++);
      const uint32_t add = byte & 0x7f;
      if (add > kAll >> shift || add << shift > kAll - n) return false;
      n += add << shift;
      if (byte < 0x80) break;
    }
  }
  out = n;
  return n <= most;
}

bool HpackDecoder::indexed(uint32_t index, HpackField& out) const {
  if (index == 0) return false;
  if (index <= kHpackStatic) {
    out = hpack_static(index);
    out.mark = marks_.statics[index];
    return true;
  }
  const size_t n = index - kHpackStatic - 1;
  if (n >= table_->count()) return false;
  out = table_->at(n);
  return true;
}

char* HpackDecoder::room(size_t n) {
  if (scratch_->size() < used_ + n) scratch_->resize(std::max<size_t>(used_ + n, 1024));
  return scratch_->data() + used_;
}

// A string literal to the scratch; `size` is of what it says.
bool HpackDecoder::string(uint32_t& size) {
  if (p_ == end_) return false;
  const bool coded = (*p_ & 0x80) != 0;
  uint32_t n = 0;
  if (!integer(7, kMaxString, n) || n > static_cast<size_t>(end_ - p_)) return false;
  char* const to = room(coded ? huffman_room(n) : n);
  if (coded) {
    const char* const end = huffman_decode({p_, n}, to);
    if (end == nullptr) return false;
    size = static_cast<uint32_t>(end - to);
  } else {
    if (n > 0) std::memcpy(to, p_, n);
    size = n;
  }
  p_ += n;
  used_ += size;
  return true;
}

bool HpackDecoder::literal(unsigned bits, HpackField& out) {
  used_ = 0;
  uint32_t index = 0;
  if (!integer(bits, std::numeric_limits<uint32_t>::max(), index)) return false;
  if (index == 0) {
    if (!string(out.name_size)) return false;
  } else {
    HpackField known;
    if (!indexed(index, known)) return false;
    std::memcpy(room(known.name_size), known.text, known.name_size);
    used_ = out.name_size = known.name_size;
  }
  std::memcpy(room(2), ": ", 2);
  used_ += 2;
  if (!string(out.value_size)) return false;
  std::memcpy(room(2), "\r\n", 2);
  out.text = scratch_->data();
  out.mark = marks_.of(out.name(), out.value());
  return true;
}

HpackDecoder::Next HpackDecoder::next(HpackField& field) {
  while (p_ != end_) {
    const auto byte = static_cast<uint8_t>(*p_);
    if (byte >= 0x80) {
      fields_begun_ = true;
      uint32_t index = 0;
      return integer(7, kHpackStatic + kHpackTableSize, index) && indexed(index, field) ? Next::kField : Next::kBad;
    }
    if (byte >= 0x40) {
      fields_begun_ = true;
      if (!literal(6, field)) return Next::kBad;
      table_->add(field);
      return Next::kField;
    }
    if (byte < 0x20) {
      fields_begun_ = true;
      return literal(4, field) ? Next::kField : Next::kBad;
    }
    uint32_t limit = 0;
    if (fields_begun_ || !integer(5, kHpackTableSize, limit)) return Next::kBad;
    table_->set_limit(limit);
  }
  return Next::kEnd;
}

}  // namespace colony::http
