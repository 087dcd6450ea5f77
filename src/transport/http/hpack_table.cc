// See hpack_table.h.
#include "transport/http/hpack_table.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

namespace colony::http {
namespace {

constexpr std::string_view kLines[kHpackStatic + 1] = {
    "",
    ":authority: \r\n",
    ":method: GET\r\n",
    ":method: POST\r\n",
    ":path: /\r\n",
    ":path: /index.html\r\n",
    ":scheme: http\r\n",
    ":scheme: https\r\n",
    ":status: 200\r\n",
    ":status: 204\r\n",
    ":status: 206\r\n",
    ":status: 304\r\n",
    ":status: 400\r\n",
    ":status: 404\r\n",
    ":status: 500\r\n",
    "accept-charset: \r\n",
    "accept-encoding: gzip, deflate\r\n",
    "accept-language: \r\n",
    "accept-ranges: \r\n",
    "accept: \r\n",
    "access-control-allow-origin: \r\n",
    "age: \r\n",
    "allow: \r\n",
    "authorization: \r\n",
    "cache-control: \r\n",
    "content-disposition: \r\n",
    "content-encoding: \r\n",
    "content-language: \r\n",
    "content-length: \r\n",
    "content-location: \r\n",
    "content-range: \r\n",
    "content-type: \r\n",
    "cookie: \r\n",
    "date: \r\n",
    "etag: \r\n",
    "expect: \r\n",
    "expires: \r\n",
    "from: \r\n",
    "host: \r\n",
    "if-match: \r\n",
    "if-modified-since: \r\n",
    "if-none-match: \r\n",
    "if-range: \r\n",
    "if-unmodified-since: \r\n",
    "last-modified: \r\n",
    "link: \r\n",
    "location: \r\n",
    "max-forwards: \r\n",
    "proxy-authenticate: \r\n",
    "proxy-authorization: \r\n",
    "range: \r\n",
    "referer: \r\n",
    "refresh: \r\n",
    "retry-after: \r\n",
    "server: \r\n",
    "set-cookie: \r\n",
    "strict-transport-security: \r\n",
    "transfer-encoding: \r\n",
    "user-agent: \r\n",
    "vary: \r\n",
    "via: \r\n",
    "www-authenticate: \r\n",
};

constexpr std::array<HpackField, kHpackStatic + 1> make_fields() {
  std::array<HpackField, kHpackStatic + 1> out{};
  for (uint32_t i = 1; i <= kHpackStatic; ++i) {
    const auto name = static_cast<uint32_t>(kLines[i].find(": ", 1));
    out[i] = {kLines[i].data(), name, static_cast<uint32_t>(kLines[i].size()) - name - 4, 0};
  }
  return out;
}
constexpr std::array<HpackField, kHpackStatic + 1> kFields = make_fields();

// Open addressing: the first entry of each name.
constexpr size_t kSlots = 128;
constexpr size_t slot_of(std::string_view name) {
  return (name.size() * 29 + static_cast<uint8_t>(name.front()) * 7 + static_cast<uint8_t>(name.back()) * 3 +
          static_cast<uint8_t>(name[name.size() / 2])) %
         kSlots;
}
constexpr std::array<uint8_t, kSlots> make_names() {
  std::array<uint8_t, kSlots> out{};
  for (uint8_t i = 1; i <= kHpackStatic; ++i) {
    size_t at = slot_of(kFields[i].name());
    while (out[at] != 0 && kFields[out[at]].name() != kFields[i].name()) at = (at + 1) % kSlots;
    if (out[at] == 0) out[at] = i;
  }
  return out;
}
constexpr std::array<uint8_t, kSlots> kNames = make_names();

}  // namespace

const HpackField& hpack_static(uint32_t index) { return kFields[index]; }

uint32_t hpack_static_name(std::string_view name) {
  if (name.empty()) return 0;
  for (size_t at = slot_of(name); kNames[at] != 0; at = (at + 1) % kSlots)
    if (kFields[kNames[at]].name() == name) return kNames[at];
  return 0;
}

void HpackTable::evict(uint32_t to) {
  while (size_ > to) {
    const Entry& e = oldest();
    size_ = static_cast<uint16_t>(size_ - e.name_size - e.value_size - 32);
    --count_;
  }
  if (count_ > 0) return;
  used_ = 0;
  newest_ = capacity_;
}

void HpackTable::set_limit(uint32_t limit) {
  limit_ = static_cast<uint16_t>(std::min(limit, kHpackTableSize));
  evict(limit_);
}

// What is left moves to the ends, or to a larger place when it fills more than half of this one. WHY hardly larger while
// nothing was ever evicted: most tables stop growing long before their limit, and what they hold then stays.
void HpackTable::make_room(size_t bytes) {
  const size_t from = count_ == 0 ? used_ : oldest().at, live = used_ - from;
  const size_t kept = count_ * sizeof(Entry), need = live + bytes + kept + sizeof(Entry);
  static_assert(kHpackTableSize * 3 + 32 <= std::numeric_limits<uint16_t>::max());
  if (need * 2 > capacity_) {
    const size_t larger = evicted_any() ? need * 3 : need < 512 ? need : need + need / 4;
    const auto capacity = static_cast<uint16_t>((larger + 39) / 32 * 32 - 8);  // sizes that malloc() gives whole
    auto block = std::make_unique_for_overwrite<std::byte[]>(capacity);
    if (count_ > 0) {
      std::memcpy(block.get(), text() + from, live);
      std::memcpy(block.get() + capacity - kept, entries(), kept);
    }
    block_ = std::move(block);
    capacity_ = capacity;
  } else if (count_ > 0) {
    std::memmove(block_.get(), text() + from, live);
    std::memmove(block_.get() + capacity_ - kept, entries(), kept);
  }
  newest_ = static_cast<uint16_t>(capacity_ - kept);
  used_ = static_cast<uint16_t>(live);
  for (uint32_t i = 0; i < count_; ++i) entries()[i].at = static_cast<uint16_t>(entries()[i].at - from);
}

void HpackTable::add(const HpackField& field) {
  if (field.size() > limit_) return evict(0);
  evict(limit_ - static_cast<uint32_t>(field.size()));
  const std::string_view line = field.line();
  if (used_ + line.size() + sizeof(Entry) > newest_) make_room(line.size());
  std::memcpy(text() + used_, line.data(), line.size());
  ++count_;
  newest_ = static_cast<uint16_t>(newest_ - sizeof(Entry));
  *entries() = {field.mark, used_, static_cast<uint16_t>(field.name_size), static_cast<uint16_t>(field.value_size)};
  used_ = static_cast<uint16_t>(used_ + line.size());
  size_ = static_cast<uint16_t>(size_ + field.size());
}

}  // namespace colony::http
