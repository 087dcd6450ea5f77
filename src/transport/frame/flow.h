// The two ends' common half: writing frames to a stream, and one direction of a call under credit, seen from its sender
// (Outflow) and its receiver (Inflow). Internal to transport/frame.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "async/loop.h"
#include "transport/frame/codec.h"
#include "transport/http/head.h"

namespace colony::frame {

inline constexpr uint32_t kMaxSlots = 1 << 16;
inline constexpr uint32_t slot_of(uint32_t stream) { return stream & (kMaxSlots - 1); }

struct HelloPayload {
  uint32_t version, features, max_streams;
};

void write_frame(async::Stream& to, const Header& header, std::string_view payload = {});
void write_hello(async::Stream& to, uint32_t max_streams, uint32_t features);
std::string ring_frame(bool yes);                   // the offer (false) and the answers
HelloPayload read_hello(std::string_view payload);  // of a decoded kHello
// The head without its hop-by-hop fields, with `extra` lines, and `body` behind it, as one frame. `header`: type, stream,
// timeout and flags; the lengths are filled in.
void write_head_frame(async::Stream& to, Header header, const http::HeadBase& head, std::string_view extra,
                      std::string_view body);

// The same with a head block that is ready to travel.
void write_block_frame(async::Stream& to, Header header, std::string_view block, std::string_view body);

// What may be sent, what waits for credit, and the end. More than the credit is kept here, never sent.
class Outflow {
 public:
  void reset();
  // How much of the first body bytes may travel in the head's own frame, and whether `end` may too.
  size_t first(size_t size) const;
  void sent(size_t bytes, bool end) {
    credit_ -= static_cast<int64_t>(bytes);
    ended_ = end;
  }
  // False: no memory is left for what must wait. Part of `data` may have left; nothing whole will follow it.
  [[nodiscard]] bool send(async::Stream& to, uint32_t stream, std::string_view data, bool end);
  void end(async::Stream& to, uint32_t stream, std::string_view trailers);
  // True: somebody found no room before and there is some now.
  bool grant(async::Stream& to, uint32_t stream, uint32_t bytes);
  int64_t writable();
  bool ended() const { return ended_; }  // the end has been written
  size_t held() const { return waiting_ ? waiting_->bytes.size() - waiting_->at : 0; }

 private:
  struct Waiting {
    std::string bytes, trailers;
    size_t at = 0;
    bool end = false;
  };
  void put(async::Stream& to, uint32_t stream, std::string_view data, bool end);

  int64_t credit_ = kStreamCredit;
  bool ended_ = false, wants_room_ = false;
  std::unique_ptr<Waiting> waiting_;
};

class Inflow {
 public:
  void reset() { left_ = kStreamCredit, used_ = 0; }
  bool take(size_t bytes) { return (left_ -= static_cast<int64_t>(bytes)) >= 0; }  // false: more than was granted
  void consumed(async::Stream& to, uint32_t stream, size_t bytes);

 private:
  int64_t left_ = kStreamCredit;
  uint32_t used_ = 0;  // consumed and not yet granted again
};

}  // namespace colony::frame
