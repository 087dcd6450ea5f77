// What an HTTP/2 connection needs only while something goes on: a stream, a header block or a DATA frame of which a part has
// come, frames on their way to the kernel. A connection at rest does without it, so thousands of idle ones cost little. What
// outlives the moment is not here but in H2Connection: the tables and windows, and the budgets of H2Guard, which a client must
// not win afresh by being idle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "async/loop.h"
#include "base/time.h"
#include "transport/http/h2_streams.h"

namespace colony::http {

class H2Connection;
class H2Stream;

// Lent by the thread's stock to a connection of that thread. One that a connection gives back is as good as new, but for
// the memory that it keeps.
struct H2Work {
  static H2Work& lend(H2Connection& to);
  static void give_back(H2Work& work);  // is_idle()
  // Of a connection that dies, in whatever state.
  static void drop(H2Work& work);
  static size_t lent_here();  // by the calling thread

  bool is_idle() const {
    return stream_count == 0 && block_stream == 0 && !in_data && unended.empty() && out.empty() && !queued;
  }
  // The bytes that a handler is being shown are the last of this stream.
  bool is_last_of(uint32_t id) const { return in_data && data_ends_stream && data_stream == id && data_left == 0; }
  // The connection's end_of_turn() at the end of this turn, however often this is called before. WHY not async::Deferred:
  // that is memory of each connection.
  void schedule(async::Loop& loop) {
    if (queued) return;
    queued = true;
    loop.defer([this] { run(); });
  }

  H2Connection* connection = nullptr;  // null: it died while this was queued

  // Input.
  std::string block;          // a header block that is not whole yet
  uint32_t block_stream = 0;  // whose; 0: none
  bool block_ends_stream = false;
  int continuations = 0;     // of a header block
  uint32_t data_stream = 0;  // of the DATA frame that has begun
  size_t data_left = 0, padding_left = 0;
  bool in_data = false, data_ends_stream = false;

  // Streams.
  H2Streams<H2Stream> open;
  H2Stream* streams = nullptr;
  size_t stream_count = 0, open_requests = 0;
  size_t bodies = 0;              // streams whose request has not ended
  size_t blocked_count = 0;       // streams with blocked_
  size_t buffered = 0;            // over all streams
  std::vector<H2Stream*> closed;  // on_done is due
  struct Unended {
    uint32_t id;
    TimePoint until;
  };
  std::vector<Unended> unended;  // the oldest first

  // Output.
  std::string out;  // frames of this turn
  H2Stream *first_ready = nullptr, *last_ready = nullptr;
  size_t ready_count = 0;
  uint64_t written = 0;
  uint64_t left_at_span = 0;                // of written, what had left when the span began
  TimePoint span_since = TimePoint::max();  // in which bytes wait for the client
  size_t stalled_at = 0;                    // bytes pending when kStall was armed
  bool delivering = false;
  bool pump_stopped = false;  // because the outbox was full
  bool queued = false;

 private:
  void run();
};

}  // namespace colony::http
