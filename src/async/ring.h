// One direction of a byte channel in memory that two processes share: a single producer, a single consumer, no locks. The
// other end is not trusted: each end keeps its own position in its own memory and checks the one that it is told against
// it, bytes are copied out before anybody looks at them, and what does not fit together ends the channel. Pure: where the
// memory comes from and how a sleeper is woken is async/epoll_ring.h. Fuzzed (ring_fuzz.cc).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace colony::async {

inline constexpr size_t kRingBytes = 128 * 1024;  // in flight per direction; a power of two

// What both ends write to. Positions count bytes since the beginning and never wrap.
struct RingState {
  alignas(64) std::atomic<uint64_t> head{0};  // of the reader: everything before it was taken
  std::atomic<uint32_t> writer_waits{0};      // the writer found no room and wants to be told of some
  alignas(64) std::atomic<uint64_t> tail{0};  // of the writer: everything before it may be read
  alignas(64) std::atomic<uint32_t> reader_sleeps{0};
};
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

// One thread. `bytes` has kRingBytes.
class RingReader {
 public:
  RingReader(RingState& state, const char* bytes) : state_(state), bytes_(bytes) {}
  // Copies out what is there, `room` at most; 0: nothing. nullopt: the writer does not keep to the rules.
  std::optional<size_t> read(char* to, size_t room);
  bool has_bytes() const { return state_.tail.load(std::memory_order_acquire) != head_; }
  // Says that the writer must wake this end. False: bytes have come, there is no reason to sleep.
  bool sleep();
  void awake() { state_.reader_sleeps.store(0, std::memory_order_relaxed); }
  // After a read: does the writer wait for the room? Once per wish.
  bool must_tell_writer() { return state_.writer_waits.load() != 0 && state_.writer_waits.exchange(0) != 0; }

 private:
  RingState& state_;
  const char* const bytes_;
  uint64_t head_ = 0;
};

// One thread, another than the reader's or the same.
class RingWriter {
 public:
  RingWriter(RingState& state, char* bytes) : state_(state), bytes_(bytes) {}
  // Takes as much of a and then of b as there is room for. When that is not all, the reader will tell of room.
  // nullopt: the reader does not keep to the rules.
  std::optional<size_t> write(std::string_view a, std::string_view b);
  // After a write: does the reader sleep? Once per sleep.
  bool must_wake_reader() { return state_.reader_sleeps.load() != 0 && state_.reader_sleeps.exchange(0) != 0; }

 private:
  bool look_at_head();
  size_t room() const { return kRingBytes - static_cast<size_t>(tail_ - head_); }
  void put(std::string_view data);

  RingState& state_;
  char* const bytes_;
  uint64_t tail_ = 0, head_ = 0;  // head_: as last seen
};

}  // namespace colony::async
