// See buffer.h. Blocks grow by doubling and content moves to the front when more than half of the block is dead, so
// each byte is moved a bounded number of times however large the queue gets.
#include "async/buffer.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace colony::async {
namespace {
size_t class_of(size_t size) {
  return static_cast<size_t>(std::countr_zero(size) - std::countr_zero(SlabPool::kSmallest));
}
// WHY signed: at the end of a program another thread may give back what this one lent.
thread_local int64_t lent = 0;
}  // namespace

size_t SlabPool::lent_here() { return static_cast<size_t>(std::max<int64_t>(lent, 0)); }

SlabPool::~SlabPool() {
  for (auto& blocks : idle_) {
    for (char* block : blocks) delete[] block;
  }
}

SlabPool::Slab SlabPool::borrow(size_t at_least) {
  const size_t size = std::bit_ceil(at_least < kSmallest ? kSmallest : at_least);
  const size_t c = class_of(size);
  lent += static_cast<int64_t>(size);
  if (c < kClasses && !idle_[c].empty()) {
    char* block = idle_[c].back();
    idle_[c].pop_back();
    return {block, size};
  }
  return {new char[size], size};
}

void SlabPool::give_back(Slab slab) {
  const size_t c = class_of(slab.size);
  lent -= static_cast<int64_t>(slab.size);
  if (c < kClasses && (idle_[c].size() + 1) * slab.size <= kKeptPerClass) {
    idle_[c].push_back(slab.data);
  } else {
    delete[] slab.data;
  }
}

Buffer::Buffer(Buffer&& other) noexcept
    : pool_(other.pool_),
      slab_(std::exchange(other.slab_, {})),
      begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  clear();
  pool_ = other.pool_;
  slab_ = std::exchange(other.slab_, {});
  begin_ = std::exchange(other.begin_, 0);
  end_ = std::exchange(other.end_, 0);
  return *this;
}

char* Buffer::room(size_t at_least) {
  if (slab_.data && room_size() >= at_least) return slab_.data + end_;
  const size_t used = size();
  if (slab_.data && begin_ >= slab_.size / 2 && slab_.size - used >= at_least) {
    std::memmove(slab_.data, slab_.data + begin_, used);
  } else {
    auto bigger = pool_->borrow(used + at_least);
    if (used) std::memcpy(bigger.data, slab_.data + begin_, used);
    if (slab_.data) pool_->give_back(slab_);
    slab_ = bigger;
  }
  begin_ = 0;
  end_ = used;
  return slab_.data + end_;
}

void Buffer::append(std::string_view data) {
  if (data.empty()) return;
  if (room_size() < data.size()) room(data.size());
  std::memcpy(slab_.data + end_, data.data(), data.size());
  end_ += data.size();
}

void Buffer::consume(size_t n) {
  CHECK(n <= size());
  begin_ += n;
  if (empty()) clear();
}

void Buffer::give_back() {
  pool_->give_back(slab_);
  slab_ = {};
  begin_ = end_ = 0;
}

}  // namespace colony::async
