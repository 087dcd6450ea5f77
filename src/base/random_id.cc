// getrandom(2) never fails once the pool is ready; a short read is a broken kernel contract, hence CHECK.
#include "base/random_id.h"

#include <sys/random.h>

#include "base/check.h"

namespace colony {
namespace {
constexpr char kHex[] = "0123456789abcdef";
}

uint64_t random_seed() {
  uint64_t v = 0;
  CHECK(getrandom(&v, sizeof v, 0) == sizeof v);
  return v;
}

std::string random_hex(size_t bytes) {
  std::string out;
  out.reserve(bytes * 2);
  for (size_t i = 0; i < bytes; ++i) {
    unsigned char b = 0;
    CHECK(getrandom(&b, 1, 0) == 1);
    out += kHex[b >> 4];
    out += kHex[b & 15];
  }
  return out;
}

std::string hex_id(Rng& rng, size_t bytes) {
  std::string out;
  out.reserve(bytes * 2);
  uint64_t word = 0;
  for (size_t i = 0; i < bytes; ++i) {
    if (i % 8 == 0) word = rng.next();
    const auto b = static_cast<unsigned char>(word >> (i % 8 * 8));
    out += kHex[b >> 4];
    out += kHex[b & 15];
  }
  return out;
}

}  // namespace colony
