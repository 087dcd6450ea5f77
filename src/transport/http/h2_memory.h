// Where nghttp2 gets its memory: it takes and gives back some ten small blocks per request, always on the thread of the
// connection's loop, so they come from lists of that thread and the heap is asked only while a thread warms up.
#pragma once

#include <cstddef>

namespace colony::http {

// Sizes up to kLargest in steps of kStep, a list for each. Not thread safe, but a block may be given back to another thread's
// lists than it was taken from.
class H2Blocks {
 public:
  static constexpr size_t kStep = 64, kLargest = 1024;
  static constexpr size_t kMostKept = size_t{1} << 20;  // LIMIT: bytes of free blocks per thread

  H2Blocks() = default;
  ~H2Blocks();
  H2Blocks(const H2Blocks&) = delete;
  H2Blocks& operator=(const H2Blocks&) = delete;

  static H2Blocks& of_this_thread();
  void* take(size_t size);  // null when there is no memory
  void give(void* block);   // null is allowed
  void* resize(void* block, size_t size);
  size_t kept() const { return kept_; }  // bytes of free blocks

 private:
  struct Header;
  Header* free_[kLargest / kStep] = {};
  size_t kept_ = 0;
};

}  // namespace colony::http
