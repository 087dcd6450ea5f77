// A ring in each direction (async/ring.h) under a unix stream of an EpollLoop: the shared memory (a sealed memfd), the two
// eventfds by which the ends wake each other, and their way over the socket (SCM_RIGHTS). Once in use, all bytes go through
// the rings; the socket stays open and tells of the peer's death. Internal to the loop.
//
// When a bell is rung: only when the other end has said that it sleeps, or waits for room. A loop says so before it waits
// in epoll and takes it back afterwards, for the rings that had traffic lately; the others sleep until their bell rings.
#pragma once

#include <sys/types.h>

#include <array>
#include <memory>
#include <string_view>

#include "async/epoll_sources.h"
#include "async/ring.h"

namespace colony::async {

// Owned by its stream, lives on its loop.
class EpollRing final : public EpollSink, public AwakeRing {
 public:
  enum class State : uint8_t { kExpected, kOffered, kInUse };

  EpollRing(EpollContext& context, EpollStream& stream) : context_(context), stream_(stream) {}
  ~EpollRing();
  EpollRing(const EpollRing&) = delete;
  EpollRing& operator=(const EpollRing&) = delete;

  State state() const { return state_; }
  uint64_t bells() const { return bells_; }
  // The offering side: makes memory and bells and sends them beside `message`, all or nothing.
  Result<void> offer(int socket, std::string_view message);
  void use();
  // The accepting side: what came over the socket; more than one set, or an incomplete one, is closed.
  void passed(const int* fds, size_t count);
  Result<void> accept();  // checks and maps what has been passed; use() follows

  // n < 0: the peer does not keep to the rules.
  ssize_t read(char* to, size_t room);
  ssize_t write(std::string_view a, std::string_view b);

  void on_events(uint32_t events) override;
  // For the loop, around its wait. True: there are bytes.
  bool look();
  bool look_and_sleep();
  void stop_sleeping();

 private:
  Result<void> map(int memory);
  void ring_bell();
  void had_traffic();

  EpollContext& context_;
  EpollStream& stream_;
  State state_ = State::kExpected;
  std::array<int, 3> passed_{-1, -1, -1};  // memory, the acceptor's bell, the offerer's bell
  int bell_ = -1, peers_bell_ = -1;
  void* memory_ = nullptr;
  bool offerer_ = false, sleeping_ = false;
  uint8_t quiet_waits_ = 0;
  uint64_t bells_ = 0;
  std::unique_ptr<RingReader> reader_;
  std::unique_ptr<RingWriter> writer_;
};

}  // namespace colony::async
