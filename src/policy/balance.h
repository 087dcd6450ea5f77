// Which replica gets the next request: power of two choices on outstanding requests (Mitzenmacher 2001), the replicas of
// this node first. Pure: the caller shows a load per candidate and brings the chance. A template, because it runs once
// per request and the loads live in atomics. Whether there has to be a choice at all is policy/burst.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/rng.h"

namespace colony::policy {

struct CandidateLoad {
  bool usable = false;  // connected, not draining, below its bound
  uint32_t outstanding = 0;
};

// Among the candidates [first, first + n): two are drawn and the less loaded one wins. One that cannot is drawn again a few
// times; when that finds none, or when there are but few, all are looked at, so nullopt means: none is usable.
template <class LoadFn>
std::optional<size_t> pick_among(size_t first, size_t n, Rng& rng, LoadFn&& load) {
  constexpr size_t kFew = 8;      // looking at so many is as cheap as drawing again
  constexpr size_t kRedraws = 8;  // with half of them unusable, one in a thousand picks looks at all
  if (n == 0) return std::nullopt;
  if (n == 1) return load(first).usable ? std::optional<size_t>(first) : std::nullopt;
  std::optional<size_t> best;
  uint32_t least = 0;
  const auto look = [&](size_t i) {
    const CandidateLoad l = load(first + i);
    if (l.usable && (!best || l.outstanding < least)) {
      best = first + i;
      least = l.outstanding;
    }
    return l.usable;
  };
  const size_t a = rng.below(n);
  size_t b = rng.below(n - 1);
  if (b >= a) ++b;
  int usable = look(a);
  usable += look(b);
  if (n > kFew)
    for (size_t k = 0; k < kRedraws && usable < 2; ++k) usable += look(rng.below(n));
  if (usable == 2 || (best && n > kFew)) return best;
  for (size_t k = 0; k < n; ++k) look((a + k) % n);
  return best;
}

// The first `local` of n candidates are on this node: one of them that is usable beats all others.
template <class LoadFn>
std::optional<size_t> pick_replica(size_t local, size_t n, Rng& rng, LoadFn&& load) {
  if (const auto i = pick_among(0, local, rng, load)) return i;
  return pick_among(local, n - local, rng, load);
}

}  // namespace colony::policy
