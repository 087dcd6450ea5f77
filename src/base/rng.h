// Chance is injected: every component takes an Rng& so that a test can print and replay its seed. xoshiro256**
// (Blackman and Vigna, https://prng.di.unimi.it/). Not for secrets: those come from base/random_id.h.
#pragma once

#include <cstdint>

namespace colony {

class Rng {
 public:
  explicit Rng(uint64_t seed);

  uint64_t next() {
    const uint64_t result = rotl(s_[1] * 5, 7) * 9, t = s_[1] << 17;
    s_[2] ^= s_[0];
    s_[3] ^= s_[1];
    s_[1] ^= s_[2];
    s_[0] ^= s_[3];
    s_[2] ^= t;
    s_[3] = rotl(s_[3], 45);
    return result;
  }
  // Uniform in [0, n); n > 0. Multiply-shift: the bias is below 2^-32 for n < 2^32.
  uint64_t below(uint64_t n) { return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * n) >> 64); }
  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  // [0, 1)

 private:
  static uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  uint64_t s_[4];
};

}  // namespace colony
