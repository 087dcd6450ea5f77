// See hpack_table.h.
#include "transport/http/hpack_table.h"

#include <algorithm>
#include <array>
#include <cstring>

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
    const Entry& e = entries_[first_++];
    size_ -= e.name_size + e.value_size + 32;
  }
  if (first_ == entries_.size()) {
    entries_.clear();
    first_ = used_ = 0;
  }
}

void HpackTable::set_limit(uint32_t limit) {
  limit_ = limit;
  evict(limit);
}

// The lines that are left move to the front, or to a larger place when they fill more than half of this one.
void HpackTable::make_room(size_t bytes) {
  const size_t from = first_ == entries_.size() ? used_ : entries_[first_].at;
  const size_t live = used_ - from;
  if ((live + bytes) * 2 > bytes_.size()) {
    std::vector<char> larger(std::max<size_t>(128, (live + bytes) * 3));
    std::copy_n(bytes_.data() + from, live, larger.data());
    bytes_.swap(larger);
  } else {
    std::memmove(bytes_.data(), bytes_.data() + from, live);
  }
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(first_));
  first_ = 0;
  for (Entry& e : entries_) e.at -= static_cast<uint32_t>(from);
  used_ = live;
}

void HpackTable::add(const HpackField& field) {
  if (field.size() > limit_) return evict(0);
  evict(limit_ - static_cast<uint32_t>(field.size()));
  const std::string_view line = field.line();
  if (used_ + line.size() > bytes_.size()) make_room(line.size());
  std::memcpy(bytes_.data() + used_, line.data(), line.size());
  entries_.push_back({static_cast<uint32_t>(used_), field.name_size, field.value_size, field.mark});
  used_ += line.size();
  size_ += static_cast<uint32_t>(field.size());
}

}  // namespace colony::http
