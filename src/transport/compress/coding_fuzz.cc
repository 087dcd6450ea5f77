// The first byte chooses the coding, the second how the input is cut; the rest is what a client may send. Whatever comes out
// is within the bound, is the same however the input was cut, and survives being packed again.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "transport/compress/coding.h"

using namespace colony::compress;  // NOLINT(google-build-using-namespace): a fuzz target is one function

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kMost = 1 << 20;
  if (size < 2) return 0;
  const auto coding = static_cast<Coding>(1 + data[0] % 3);
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto whole = decompress(coding, input, kMost);
  Decompressor cut(coding, kMost);
  std::string out;
  bool ok = true;
  for (size_t at = 0; ok && at < input.size(); at += 1 + data[1])
    ok = cut.feed(input.substr(at, 1 + data[1]), out).has_value();
  ok = ok && cut.finish().has_value();
  // libzstd holds a frame to the size that its header promises only when it sees all of it at once.
  CHECK(ok == whole.has_value() || coding == Coding::kZstd);
  CHECK(out.size() <= kMost + 1);
  if (ok && whole) {
    CHECK(out == *whole);
    CHECK(decompress(coding, compress(coding, out), kMost) == *whole);
  }
  (void)choose(input);
  return 0;
}
