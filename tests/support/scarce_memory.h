// For tests of what is left when memory ends. Replaces the program's operator new: one file of a test binary may include it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

namespace colony::testing {

// While it lives, allocations of this thread with a size from `least` to `most` find no memory.
class ScarceMemory {
 public:
  explicit ScarceMemory(size_t least, size_t most = SIZE_MAX) : least_(least), most_(most) { now_ = this; }
  ~ScarceMemory() { now_ = nullptr; }
  ScarceMemory(const ScarceMemory&) = delete;
  ScarceMemory& operator=(const ScarceMemory&) = delete;
  size_t failed() const { return failed_; }

  static void* allocate(size_t size) {
    if (now_ != nullptr && size >= now_->least_ && size <= now_->most_) {
      ++now_->failed_;
      return nullptr;
    }
    return std::malloc(size == 0 ? 1 : size);
  }

 private:
  static inline thread_local ScarceMemory* now_ = nullptr;
  const size_t least_, most_;
  size_t failed_ = 0;
};

}  // namespace colony::testing

void* operator new(size_t size) {
  void* const p = colony::testing::ScarceMemory::allocate(size);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return colony::testing::ScarceMemory::allocate(size);
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
