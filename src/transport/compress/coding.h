// Content codings (RFC 9110, 8.4) of bodies and gRPC messages: gzip, deflate (zlib's format) and zstd. The one home of zlib
// and libzstd; everything else sees bytes. Pure, any thread, no state between calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace colony::compress {

enum class Coding : uint8_t { kIdentity, kGzip, kDeflate, kZstd };
std::string_view to_string(Coding coding);
// One token, in any case; "x-gzip" is gzip. nullopt: not one of ours.
std::optional<Coding> parse_coding(std::string_view token);
inline constexpr std::string_view kCodings = "gzip, deflate, zstd";  // for Accept-Encoding, and for people

// The coding that an Accept-Encoding (or grpc-accept-encoding) list likes best; of equals the cheapest to make. kIdentity
// when nothing of ours is in it; "*" alone asks for nothing.
Coding choose(std::string_view accepted);

// LIMIT: what is produced beyond kFree bytes may be at most kMaxRatio times what was read. Zeros shrink a thousandfold, so
// that a small honest body may exceed the ratio and a large one is a bomb.
inline constexpr size_t kFreeOutput = size_t{16} << 20;
inline constexpr size_t kMaxRatio = 200;

// Bytes of one body as they come. Memory: the library's window (32 KiB; zstd up to 8 MiB) and what was appended to `out`,
// which grows with what is really produced, never with what a header promises.
// On failure: RESOURCE_EXHAUSTED "body_too_large" when a bound is exceeded, INVALID_ARGUMENT "bad_encoding" for broken data;
// every later call fails in the same way.
class Decompressor {
 public:
  Decompressor(Coding coding, size_t max_output);  // any but kIdentity
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  Result<void> feed(std::string_view data, std::string& out);
  // The input has ended: an error when the coding's own end was not in it.
  Result<void> finish();
  // Stops early and without an error once so much was produced: for who wants the beginning only.
  void enough_at(size_t output) { enough_ = output; }

 private:
  struct Library;
  Result<void> fail_with(Error error);
  Result<void> check();

  const Coding coding_;
  const size_t max_output_;
  std::unique_ptr<Library> library_;
  size_t enough_ = SIZE_MAX;
  uint64_t read_ = 0, made_ = 0;
  bool at_end_ = false;  // of a gzip member or zstd frame; another may follow
  std::optional<Error> error_;
};

inline constexpr size_t kLeastPacked = 1024;  // LIMIT: a smaller reply is left as it is
Result<std::string> decompress(Coding coding, std::string_view data, size_t max_output);
// Fast rather than small: level 1.
std::string compress(Coding coding, std::string_view data);

}  // namespace colony::compress
