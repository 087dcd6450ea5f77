// Memory for objects that come and go with every request: blocks of one size that are used again instead of given back.
// One thread's, like the objects; whoever owns the pool outlives them.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace colony {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COLONY_KEEPS_BLOCKS 0  // so that the sanitizer sees who uses an object that is gone
#endif
#endif
#ifndef COLONY_KEEPS_BLOCKS
#define COLONY_KEEPS_BLOCKS 1
#endif

template <size_t kBytes, size_t kMostKept = 256>  // LIMIT: blocks that are kept while nobody uses them
class BlockPool {
 public:
  BlockPool() = default;
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool() {
    while (first_) ::operator delete(std::exchange(first_, first_->next));
  }

  template <class T, class... Args>
  T* make(Args&&... args) {
    static_assert(sizeof(T) <= kBytes && alignof(T) <= alignof(std::max_align_t));
    return ::new (take()) T(std::forward<Args>(args)...);
  }
  template <class T>
  void destroy(T* object) {
    object->~T();
    give_back(object);
  }

 private:
  struct Spare {
    Spare* next;
  };
  void* take() {
    if (!first_) return ::operator new(kBytes);
    --kept_;
    return std::exchange(first_, first_->next);
  }
  void give_back(void* block) {
    if (COLONY_KEEPS_BLOCKS == 0 || kept_ == kMostKept) return ::operator delete(block);
    ++kept_;
    first_ = ::new (block) Spare{first_};
  }

  Spare* first_ = nullptr;
  size_t kept_ = 0;
};

}  // namespace colony
