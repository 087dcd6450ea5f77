// Feeds arbitrary bytes in arbitrary cuts and checks that the cuts do not matter, nor whether messages are taken away.
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "transport/grpc/framing.h"

namespace {

using colony::grpc::MessageDecoder;
using colony::grpc::Packed;

using Messages = std::vector<std::pair<std::string, Packed>>;

Messages decode(std::string_view data, size_t step, bool take, bool& bad) {
  constexpr size_t kMost = 64 * 1024;
  MessageDecoder decoder(kMost, Packed::kYes);
  Messages out;
  std::string_view m;
  std::string owner;  // of what m shows, once taken
  bad = false;
  for (size_t at = 0; at < data.size() && !bad; at += step) {
    decoder.feed(data.substr(at, step));
    for (auto s = decoder.next(m);; s = decoder.next(m)) {
      bad = s == MessageDecoder::State::kBad;
      if (s != MessageDecoder::State::kMessage) break;
      if (take) owner = decoder.take(m);
      out.emplace_back(m, decoder.packed());
    }
  }
  CHECK(decoder.buffered() <= kMost + colony::grpc::kPrefixBytes);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  bool bad_whole = false, bad_cut = false, bad_taken = false;
  const auto whole = decode(bytes, bytes.size() + 1, false, bad_whole);
  const size_t step = data[0] % 128 < 100 ? data[0] % 37 + 1u : data[0] * 64u;
  const auto cut = decode(bytes, step, false, bad_cut);
  const auto taken = decode(bytes, step, true, bad_taken);
  CHECK(whole == cut && whole == taken);
  CHECK(bad_whole == bad_cut && bad_whole == bad_taken);
  return 0;
}
