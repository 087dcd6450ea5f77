// Feeds arbitrary bytes in arbitrary cuts and checks that the cuts do not matter.
#include <cstdlib>
#include <string>
#include <vector>

#include "base/check.h"
#include "transport/grpc/framing.h"

namespace {

using colony::grpc::MessageDecoder;

std::vector<std::string> decode(std::string_view data, size_t step, bool& bad) {
  MessageDecoder decoder(4096);
  std::vector<std::string> out;
  std::string_view m;
  bad = false;
  for (size_t at = 0; at < data.size() && !bad; at += step) {
    decoder.feed(data.substr(at, step));
    for (auto s = decoder.next(m);; s = decoder.next(m)) {
      bad = s == MessageDecoder::State::kBad;
      if (s != MessageDecoder::State::kMessage) break;
      out.emplace_back(m);
    }
  }
  CHECK(decoder.buffered() <= 4096 + colony::grpc::kPrefixBytes);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  bool bad_whole = false, bad_cut = false;
  const auto whole = decode(bytes, bytes.size() + 1, bad_whole);
  const auto cut = decode(bytes, data[0] % 37 + 1u, bad_cut);
  CHECK(whole == cut);
  CHECK(bad_whole == bad_cut);
  return 0;
}
