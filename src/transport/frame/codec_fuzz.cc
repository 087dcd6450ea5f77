// The frame decoder on arbitrary bytes: nothing is read outside, a whole frame encodes to the bytes it came from, and a
// cut never turns a good frame bad.
#include <cstring>
#include <memory>

#include "base/check.h"
#include "transport/frame/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace colony::frame;
  auto exact = std::make_unique<char[]>(size);
  if (size > 0) std::memcpy(exact.get(), bytes, size);
  std::string_view data{exact.get(), size};
  for (;;) {
    Header header, cut_header;
    std::string_view payload, cut_payload, why;
    const DecodeState state = decode(data, header, payload, why);
    const size_t cut = data.empty() ? 0 : static_cast<uint8_t>(data[0]) % data.size();
    auto part = std::make_unique<char[]>(cut);
    if (cut > 0) std::memcpy(part.get(), data.data(), cut);
    const DecodeState early = decode({part.get(), cut}, cut_header, cut_payload, why);
    CHECK(early != DecodeState::kComplete || state == DecodeState::kComplete);
    CHECK(early != DecodeState::kBad || state == DecodeState::kBad);
    if (state != DecodeState::kComplete) break;
    CHECK(payload.size() == header.length && header.length <= kMaxFrame);
    std::string again;
    append_frame(again, header, payload);
    CHECK(data.substr(0, again.size()) == again);
    data.remove_prefix(again.size());
  }
  return 0;
}
