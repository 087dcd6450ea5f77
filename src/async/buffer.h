// The memory of streams. A SlabPool lends blocks of 4 KiB to 1 MiB (powers of two) and keeps what comes back, within a
// bound; a Buffer is a contiguous queue of bytes that borrows a block when it first holds something and gives it back
// as soon as it is empty, so that an idle connection owns no memory. One loop, one thread.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

namespace colony::async {

class SlabPool {
 public:
  static constexpr size_t kSmallest = 4096;
  static constexpr size_t kClasses = 9;                     // up to 1 MiB; larger blocks are never kept
  static constexpr size_t kKeptPerClass = 2 * 1024 * 1024;  // LIMIT: idle bytes per class

  SlabPool() = default;
  ~SlabPool();
  SlabPool(const SlabPool&) = delete;
  SlabPool& operator=(const SlabPool&) = delete;

  struct Slab {
    char* data = nullptr;
    size_t size = 0;
  };
  Slab borrow(size_t at_least);
  void give_back(Slab slab);
  // Bytes of blocks that are lent, of all pools of the calling thread: a loop's own, since a loop is one thread.
  static size_t lent_here();

 private:
  std::array<std::vector<char*>, kClasses> idle_;
};

class Buffer {
 public:
  explicit Buffer(SlabPool& pool) : pool_(&pool) {}
  ~Buffer() { clear(); }
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  const char* data() const { return slab_.data + begin_; }
  std::string_view view() const { return {data(), size()}; }

  void append(std::string_view data);
  void consume(size_t n);       // from the front
  char* room(size_t at_least);  // writable bytes behind the content
  size_t room_size() const { return slab_.size - end_; }
  void grew(size_t n) { end_ += n; }  // n bytes were written to room()
  void clear() {
    if (slab_.data) give_back();
  }

 private:
  void give_back();

  SlabPool* pool_;
  SlabPool::Slab slab_;
  size_t begin_ = 0, end_ = 0;
};

}  // namespace colony::async
