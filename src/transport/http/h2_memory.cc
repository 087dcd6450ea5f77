// Every block has a header in front with its room, because free() is not told the size.
#include "transport/http/h2_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace colony::http {

struct alignas(std::max_align_t) H2Blocks::Header {
  size_t room;   // bytes after this header
  Header* next;  // in its list, while free
};

H2Blocks::~H2Blocks() {
  for (Header* list : free_) {
    while (list != nullptr) {
      Header* next = list->next;
      std::free(list);
      list = next;
    }
  }
}

void* H2Blocks::take(size_t size) {
  const size_t room = std::max(kStep, (size + kStep - 1) / kStep * kStep);
  if (room <= kLargest) {
    if (Header*& list = free_[room / kStep - 1]; list != nullptr) {
      Header* h = list;
      list = h->next;
      kept_ -= room;
      return h + 1;
    }
  }
  auto* h = static_cast<Header*>(std::malloc(sizeof(Header) + room));
  if (h == nullptr) return nullptr;
  h->room = room;
  return h + 1;
}

void H2Blocks::give(void* block) {
  if (block == nullptr) return;
  Header* h = static_cast<Header*>(block) - 1;
  if (h->room > kLargest || kept_ + h->room > kMostKept) {
    std::free(h);
    return;
  }
  Header*& list = free_[h->room / kStep - 1];
  h->next = list;
  list = h;
  kept_ += h->room;
}

void* H2Blocks::resize(void* block, size_t size) {
  if (block == nullptr) return take(size);
  const size_t room = (static_cast<Header*>(block) - 1)->room;
  if (size <= room) return block;
  void* larger = take(size);
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, block, room);
  give(block);
  return larger;
}

H2Blocks& H2Blocks::of_this_thread() {
  static thread_local H2Blocks blocks;
  return blocks;
}

}  // namespace colony::http
