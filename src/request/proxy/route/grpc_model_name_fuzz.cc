// Every cut of the input must agree with the whole: more bytes never change an answer that was given.
#include <cstdint>
#include <cstdlib>

#include "request/proxy/route/grpc_model_name.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace colony::proxy;
  if (size > 512) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  std::string_view name, why;
  const PeekState last = grpc_model_name(all, name, why);
  for (size_t cut = 0; cut < size; ++cut) {
    std::string_view n, w;
    const PeekState s = grpc_model_name(all.substr(0, cut), n, w);
    if (s == PeekState::kNeedMore) continue;
    if (s != last || n != name || (s == PeekState::kBad && w != why)) std::abort();
  }
  if (last == PeekState::kFound && !name.empty() &&
      (name.data() < all.data() || name.data() + name.size() > all.data() + all.size()))
    std::abort();
  return 0;
}
