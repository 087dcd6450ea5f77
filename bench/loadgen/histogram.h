// Latencies in nanoseconds, counted in buckets whose width grows with the value: 128 per power of two, so that a
// percentile is right to within 0.8 % from 1 ns to 18 minutes. One thread writes; merge() joins those of several.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace colony::loadgen {

class Histogram {
 public:
  void add(uint64_t ns) {
    ++buckets_[index(ns)];
    ++count_;
    sum_ += ns;
    max_ = std::max(max_, ns);
  }

  void merge(const Histogram& other) {
    for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
  }

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  double mean() const { return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_); }

  // The value that `share` (0 to 1) of all values are not above; 0 when there are none.
  uint64_t percentile(double share) const {
    const auto rank = static_cast<uint64_t>(share * static_cast<double>(count_) + 0.5);
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen != 0 && seen >= std::max<uint64_t>(rank, 1)) return std::min(upper_bound(i), max_);
    }
    return 0;
  }

 private:
  static constexpr int kSubBits = 7;
  static constexpr uint64_t kLimit = (uint64_t{1} << 40) - 1;  // LIMIT: longer ones count as 18 minutes; max() is exact

  static size_t index(uint64_t value) {
    value = std::min(value, kLimit);
    if (value < (1u << kSubBits)) return value;
    const int shift = std::bit_width(value) - kSubBits - 1;
    return (static_cast<size_t>(shift + 1) << kSubBits) + ((value >> shift) & ((1u << kSubBits) - 1));
  }
  static uint64_t upper_bound(size_t i) {
    if (i < (1u << kSubBits)) return i;
    const size_t shift = (i >> kSubBits) - 1;
    return (((i & ((1u << kSubBits) - 1)) + (1u << kSubBits) + 1) << shift) - 1;
  }

  std::vector<uint64_t> buckets_ = std::vector<uint64_t>((40 - kSubBits + 1) << kSubBits);
  uint64_t count_ = 0, sum_ = 0, max_ = 0;
};

}  // namespace colony::loadgen
