// Which replica gets the next request: power of two choices on outstanding requests (Mitzenmacher 2001), the replicas of
// this node first. Pure: the caller shows a load per candidate and brings the chance. A template, because it runs once
// per request and the loads live in atomics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/rng.h"

namespace colony::policy {

struct CandidateLoad {
  bool usable = false;  // connected, not draining, below its bound
  bool local = false;   // on this node
  uint32_t outstanding = 0;
};

// `load(i)` for i in [0, n) answers a CandidateLoad. Two candidates are drawn and the less loaded one wins; a local
// usable one beats a remote one. When neither draw is usable all are looked at, so nullopt means: none is usable.
template <class LoadFn>
std::optional<size_t> pick_replica(size_t n, Rng& rng, LoadFn&& load) {
  if (n == 0) return std::nullopt;
  if (n == 1) return load(size_t{0}).usable ? std::optional<size_t>(0) : std::nullopt;
  const size_t a = rng.below(n);
  size_t b = rng.below(n - 1);
  if (b >= a) ++b;
  const CandidateLoad la = load(a), lb = load(b);
  const auto better = [](const CandidateLoad& x, const CandidateLoad& y) {
    return x.local != y.local ? x.local : x.outstanding < y.outstanding;
  };
  if (la.usable && lb.usable && (la.local || lb.local)) return better(lb, la) ? b : a;
  // Two remote ones, or at least one that cannot: a local or a free one may still exist.
  std::optional<size_t> best;
  CandidateLoad best_load;
  bool any_local = la.local || lb.local;
  const size_t start = a;
  for (size_t k = 0; k < n; ++k) {
    const size_t i = (start + k) % n;
    const CandidateLoad l = load(i);
    any_local |= l.local;
    if (!l.usable) continue;
    if (!best || better(l, best_load)) {
      best = i;
      best_load = l;
    }
  }
  // Everything is remote and both draws can: the two choices decide, so that proxies do not all run to the same one.
  if (!any_local && la.usable && lb.usable) return better(lb, la) ? b : a;
  return best;
}

}  // namespace colony::policy
