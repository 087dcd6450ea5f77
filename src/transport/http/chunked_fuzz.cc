// The chunked decoder on arbitrary bytes, shown whole and in pieces: the same body, trailers and verdict, no byte read
// outside, and no more body than bytes.
#include <cstring>
#include <memory>
#include <string>

#include "base/check.h"
#include "transport/http/chunked.h"

namespace colony::http {
namespace {

struct Outcome {
  ChunkedDecoder::Event last = ChunkedDecoder::Event::kNeedMore;
  std::string body, trailers;
  size_t used = 0;
  bool operator==(const Outcome&) const = default;
};

Outcome decode(std::string_view wire, size_t step, size_t max_piece) {
  Outcome out;
  ChunkedDecoder decoder;
  for (size_t shown = std::min(step, wire.size());; shown = std::min(shown + step, wire.size())) {
    const size_t n = shown - out.used;
    auto exact = std::make_unique<char[]>(n);
    std::memcpy(exact.get(), wire.data() + out.used, n);
    std::string_view data{exact.get(), n};
    do {
      size_t used = 0;
      std::string_view piece;
      out.last = decoder.next(data, used, piece, max_piece);
      CHECK(used <= data.size());
      if (out.last == ChunkedDecoder::Event::kBad) {
        CHECK(!piece.empty());
        out.used = 0;
        return out;
      }
      out.used += used;
      data.remove_prefix(used);
      if (out.last == ChunkedDecoder::Event::kData) {
        CHECK(!piece.empty() && piece.size() <= max_piece);
        out.body += piece;
      }
      if (out.last == ChunkedDecoder::Event::kEnd) {
        CHECK(valid_trailers(piece));
        out.trailers = piece;
        return out;
      }
    } while (out.last == ChunkedDecoder::Event::kData);
    if (shown == wire.size()) return out;
  }
}

}  // namespace
}  // namespace colony::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace colony::http;
  if (size < 2 || size > 4096) return 0;
  const std::string_view wire(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  const Outcome whole = decode(wire, wire.size(), SIZE_MAX);
  CHECK(whole.body.size() <= wire.size());
  const Outcome parts = decode(wire, 1 + bytes[0] % 16, 1 + bytes[0] / 16);
  CHECK(whole == parts);
  return 0;
}
