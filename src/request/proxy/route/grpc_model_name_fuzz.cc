// Every cut of the input must agree with the whole: more bytes never change an answer that was given. The same bytes as a
// compressed message: a name, if there is one, lies within what was unpacked.
#include <cstdint>
#include <cstdlib>

#include "request/proxy/route/grpc_model_name.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace colony::proxy;
  if (size > 512) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  constexpr auto kPlain = colony::compress::Coding::kIdentity;
  std::string unpacked;
  std::string_view name, why;
  if (size > 0) {
    const auto coding = static_cast<colony::compress::Coding>(data[0] % 4);
    const PeekState state = grpc_model_name(all.substr(1), coding, unpacked, name, why);
    const std::string_view from = all.size() > 1 && all[1] == 1 ? std::string_view(unpacked) : all;
    if (state == PeekState::kFound && !name.empty() &&
        (name.data() < from.data() || name.data() + name.size() > from.data() + from.size()))
      std::abort();
    name = why = {};
  }
  const PeekState last = grpc_model_name(all, kPlain, unpacked, name, why);
  for (size_t cut = 0; cut < size; ++cut) {
    std::string_view n, w;
    const PeekState s = grpc_model_name(all.substr(0, cut), kPlain, unpacked, n, w);
    if (s == PeekState::kNeedMore) continue;
    if (s != last || n != name || (s == PeekState::kBad && w != why)) std::abort();
  }
  if (last == PeekState::kFound && !name.empty() &&
      (name.data() < all.data() || name.data() + name.size() > all.data() + all.size()))
    std::abort();
  return 0;
}
