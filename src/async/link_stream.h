// The further verbs of a stream that carries a link, which many requests share and whose other end may be a process of the
// same machine: gathering, and shared memory in place of the kernel's buffers (async/epoll_ring.h). The loops' own streams
// have them (link_stream() finds them); a stream over another one, like TLS, has not.
#pragma once

#include <cstdint>
#include <string_view>

#include "async/loop.h"

namespace colony::async {

class LinkStream {
 public:
  // While on, what is written may stay in the outbox until the loop has looked for further events without waiting, so that
  // what they write leaves in the same call. Never waited for: a look that finds nothing flushes (bounds: async/turn.h).
  virtual void gather(bool on) = 0;

  // Rings. The side that will be asked says that it expects the offer (false: it cannot). The other offers, with a message
  // of its own protocol, all or nothing. The first accepts with its answer, the socket's last bytes, or says no by
  // write(). The offerer writes nothing in between and goes over when the answer is yes. Then the socket only tells of
  // the peer's end.
  virtual bool expect_ring() = 0;
  virtual Result<void> offer_ring(std::string_view message) = 0;
  virtual Result<void> accept_ring(std::string_view answer) = 0;
  virtual void use_ring() = 0;
  virtual bool on_ring() const = 0;
  virtual uint64_t bells() const = 0;  // how often the peer had to be woken

  // Read now and not once per turn: a stop-watch for what the bytes of one turn cost. Nothing waits for it.
  virtual TimePoint clock() const = 0;

 protected:
  ~LinkStream() = default;
};

inline LinkStream* link_stream(Stream& stream) { return dynamic_cast<LinkStream*>(&stream); }

}  // namespace colony::async
