// Another implementation of HPACK, for tests and fuzzing only: what does nghttp2 read?
#pragma once

#include <nghttp2/nghttp2.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"

namespace colony::http::testing {

using HpackList = std::vector<std::pair<std::string, std::string>>;

class HpackReference {
 public:
  HpackReference() { CHECK(nghttp2_hd_inflate_new(&inflater_) == 0); }
  ~HpackReference() { nghttp2_hd_inflate_del(inflater_); }
  HpackReference(const HpackReference&) = delete;
  HpackReference& operator=(const HpackReference&) = delete;

  void set_limit(size_t bytes) { CHECK(nghttp2_hd_inflate_change_table_size(inflater_, bytes) == 0); }
  std::optional<HpackList> decode(std::string_view block) {
    HpackList out;
    const auto* p = reinterpret_cast<const uint8_t*>(block.data());
    size_t left = block.size();
    for (;;) {
      nghttp2_nv nv{};
      int flags = 0;
      const auto n = nghttp2_hd_inflate_hd2(inflater_, &nv, &flags, p, left, 1);
      if (n < 0) return std::nullopt;
      p += n;
      left -= static_cast<size_t>(n);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        out.emplace_back(std::string(reinterpret_cast<const char*>(nv.name), nv.namelen),
                         std::string(reinterpret_cast<const char*>(nv.value), nv.valuelen));
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_);
    return out;
  }
  size_t table_size() const { return nghttp2_hd_inflate_get_dynamic_table_size(inflater_); }

 private:
  nghttp2_hd_inflater* inflater_ = nullptr;
};

}  // namespace colony::http::testing
