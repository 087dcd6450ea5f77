// INVARIANT: who is about to sleep says so before its last look at the other's position, and who moves a position looks for
// a sleeper after it has moved it (both sequentially consistent), so one of the two sees the other.
#include "async/ring.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace colony::async {

static_assert(std::has_single_bit(kRingBytes));

std::optional<size_t> RingReader::read(char* to, size_t room) {
  const uint64_t there = state_.tail.load(std::memory_order_acquire) - head_;
  if (there > kRingBytes) return std::nullopt;
  const size_t n = std::min<size_t>(there, room);
  if (n == 0) return 0;
  const size_t at = head_ & (kRingBytes - 1), first = std::min(n, kRingBytes - at);
  std::memcpy(to, bytes_ + at, first);
  if (n > first) std::memcpy(to + first, bytes_, n - first);
  head_ += n;
  state_.head.store(head_);
  return n;
}

bool RingReader::sleep() {
  state_.reader_sleeps.store(1);
  if (state_.tail.load() == head_) return true;
  awake();
  return false;
}

// False: the position cannot be.
bool RingWriter::look_at_head() {
  const uint64_t now = state_.head.load();
  if (now - head_ > tail_ - head_) return false;  // behind what was said before, or ahead of what was written
  head_ = now;
  return true;
}

void RingWriter::put(std::string_view data) {
  const size_t at = tail_ & (kRingBytes - 1), first = std::min(data.size(), kRingBytes - at);
  std::memcpy(bytes_ + at, data.data(), first);
  if (data.size() > first) std::memcpy(bytes_, data.data() + first, data.size() - first);
  tail_ += data.size();
}

std::optional<size_t> RingWriter::write(std::string_view a, std::string_view b) {
  const size_t size = a.size() + b.size();
  if (room() < size) {
    if (!look_at_head()) return std::nullopt;
    if (room() < size) {
      state_.writer_waits.store(1);
      if (!look_at_head()) return std::nullopt;
      if (room() >= size) state_.writer_waits.store(0, std::memory_order_relaxed);
    }
  }
  const size_t n = std::min(size, room());
  if (n == 0) return 0;
  put(a.substr(0, n));
  if (n > a.size()) put(b.substr(0, n - a.size()));
  state_.tail.store(tail_);
  return n;
}

}  // namespace colony::async
