// HPACK's tables (RFC 7541, 2.3): the static one, and the dynamic one of a decoder or an encoder. A field is kept as the
// line "name: value\r\n" that it becomes in a head (head.h), so that taking it from a table is one copy. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace colony::http {

struct HpackField {
  const char* text = nullptr;  // the line
  uint32_t name_size = 0, value_size = 0;
  uint32_t mark = 0;  // the table's user's own: what is known of this field

  constexpr std::string_view name() const { return {text, name_size}; }
  constexpr std::string_view value() const { return {text + name_size + 2, value_size}; }
  std::string_view line() const { return {text, size_t{name_size} + value_size + 4}; }
  size_t size() const { return size_t{name_size} + value_size + 32; }  // as HPACK counts
};

inline constexpr uint32_t kHpackStatic = 61;       // entries of the static table, from 1 on
inline constexpr uint32_t kHpackTableSize = 4096;  // of a dynamic table, before anything else is agreed on

const HpackField& hpack_static(uint32_t index);  // 1 to kHpackStatic
// The first entry of that name (lower case), or 0.
uint32_t hpack_static_name(std::string_view name);

// Not thread safe. An unused one holds no memory, one in use at most three times its limit.
class HpackTable {
 public:
  size_t count() const { return count_; }
  uint32_t size() const { return size_; }
  uint32_t limit() const { return limit_; }
  void set_limit(uint32_t limit);  // up to kHpackTableSize
  // Counted from the newest, which is 0. The field's text holds until the next change.
  HpackField at(size_t n) const {
    const Entry& e = entries()[n];
    return {text() + e.at, e.name_size, e.value_size, e.mark};
  }
  uint32_t mark_at(size_t n) const { return entries()[n].mark; }
  // Evicts what has to go; a field that is larger than the table empties it (RFC 7541, 4.4). Its text is elsewhere.
  void add(const HpackField& field);

 private:
  // WHY narrow: thousands of connections are idle, and each has two tables.
  struct Entry {
    uint32_t mark;
    uint16_t at, name_size, value_size;
  };
  char* text() const { return reinterpret_cast<char*>(block_.get()); }
  Entry* entries() const { return reinterpret_cast<Entry*>(block_.get() + newest_); }
  // Behind the oldest there is a place that an evicted one left.
  bool evicted_any() const { return newest_ + count_ * sizeof(Entry) < capacity_; }
  const Entry& oldest() const { return entries()[count_ - 1]; }
  void evict(uint32_t to);
  void make_room(size_t bytes);

  // The lines from its beginning, the oldest first; the entries up to its end, the newest first.
  std::unique_ptr<std::byte[]> block_;
  uint16_t capacity_ = 0;           // of block_
  uint16_t used_ = 0, newest_ = 0;  // of block_: where the lines end and the entries begin
  uint16_t count_ = 0;
  uint16_t size_ = 0, limit_ = kHpackTableSize;
};

}  // namespace colony::http
