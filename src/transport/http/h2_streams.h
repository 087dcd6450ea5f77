// The open streams of a connection by id: ids are odd and grow, so half of one is nearly a place in a small table
// (open addressing, no memory while there has been no stream). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace colony::http {

template <class T>
class H2Streams {
 public:
  size_t count() const { return count_; }
  size_t slots() const { return slots_.size(); }
  T* find(uint32_t id) const {
    if (count_ == 0) return nullptr;
    for (size_t at = place(id); slots_[at].stream != nullptr; at = next(at))
      if (slots_[at].id == id) return slots_[at].stream;
    return nullptr;
  }
  // An id that is not in it.
  void add(uint32_t id, T* stream) {
    if ((count_ + 1) * 2 > slots_.size()) resize(slots_.empty() ? kSmallest : slots_.size() * 2);
    put(id, stream);
    ++count_;
  }
  void remove(uint32_t id) {
    if (count_ == 0) return;
    size_t at = place(id);
    while (slots_[at].stream != nullptr && slots_[at].id != id) at = next(at);
    if (slots_[at].stream == nullptr) return;
    --count_;
    // What stands behind and would have stood here moves up, so that no search ends at the gap.
    for (size_t from = next(at); slots_[from].stream != nullptr; from = next(from)) {
      if (((from - place(slots_[from].id)) & (slots_.size() - 1)) < ((from - at) & (slots_.size() - 1))) continue;
      slots_[at] = slots_[from];
      at = from;
    }
    slots_[at] = {};
  }

 private:
  struct Slot {
    uint32_t id = 0;
    T* stream = nullptr;
  };
  static constexpr size_t kSmallest = 2;
  size_t place(uint32_t id) const { return (id >> 1) & (slots_.size() - 1); }
  size_t next(size_t at) const { return (at + 1) & (slots_.size() - 1); }
  void put(uint32_t id, T* stream) {
    size_t at = place(id);
    while (slots_[at].stream != nullptr) at = next(at);
    slots_[at] = {id, stream};
  }
  void resize(size_t n) {
    std::vector<Slot> old(n);
    old.swap(slots_);
    for (const Slot& s : old)
      if (s.stream != nullptr) put(s.id, s.stream);
  }

  std::vector<Slot> slots_;  // a power of two
  size_t count_ = 0;
};

}  // namespace colony::http
