// The HTTP/1.1 link's parts (link.h): Http1Wire is one keep-alive connection and the strict reading of its replies
// (http1_wire.cc), Http1Link the pool of them and the calls that wait for one (http1_link.cc). Internal to
// transport/backend.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "transport/backend/link_base.h"
#include "transport/http/chunked.h"

namespace colony::backend {

class Http1Link;
class Http1Wire;

inline constexpr int64_t kRequestWindow = 256 * 1024;  // LIMIT: request bytes of one call that wait for the backend
inline constexpr size_t kReplyWindow = 256 * 1024;     // LIMIT: reply bytes of one call that were not consumed yet

struct Http1Call : CallSlot<Http1Wire> {
  using CallSlot::CallSlot;
  void clear();
  std::string kept;      // while it waits: what is to be written
  std::string asked;     // of an upgrade: the protocols, in lower case
  uint64_t left = 0;     // of a body whose length the head says: not given yet
  bool chunked = false;  // the request's body
  bool ended = false;    // the request is whole
  bool head_request = false;
  bool safe = false;         // GET, HEAD, OPTIONS, PUT, DELETE: may be sent twice
  bool upgrade = false;      // the request asks for a tunnel: nothing follows its head before that is granted
  bool tunnel = false;       // ... and has it; then `ended` is about our half
  bool reply_ended = false;  // the backend has ended its half of the tunnel
  mutable bool wants_room = false;
};

// One connection. Owned by the link; closed ones live to the end of the turn.
class Http1Wire final : public async::StreamHandler {
 public:
  Http1Wire(Http1Link& link, std::unique_ptr<async::Stream> stream);

  void begin(Http1Call& call);  // the request was or will be written by the caller
  void write(std::string_view a, std::string_view b) { stream_->write_now(a, b); }
  int64_t room() const { return kRequestWindow - static_cast<int64_t>(stream_->pending()); }
  // Of a tunnel: our half ends once everything has left.
  void end_half() { stream_->shutdown_write(); }
  bool all_left() const { return gone_ || stream_->pending() == 0; }
  bool gone() const { return gone_; }  // of a tunnel: the backend takes nothing any more, after it has ended its half
  void consumed(size_t bytes);
  void close() { closed_ = true; }  // nothing more is read or said
  bool closed() const { return closed_; }
  Http1Call* call() const { return call_; }

  size_t on_bytes(std::string_view data) override;
  void on_drained() override;
  void on_end() override;
  void on_closed(const Error& error) override;

  TimePoint idle_since{};
  Duration idle_limit;  // what is left of the server's own patience
  size_t index = 0;     // in the link's list

 private:
  enum class Phase : uint8_t { kHead, kLength, kChunked, kUntilClose, kTunnel };
  bool read_head(std::string_view data, size_t& used);  // false: look no further
  bool read_interim(const http::ReplyHead& head, std::string_view rest);
  bool read_body(std::string_view data, size_t& used);
  void tunnel_lost(const Error* why);
  void show(std::string_view piece);
  // The reply is whole, `rest` bytes came after it. The wire is free (or closed) before the handler hears of it.
  frame::CallHandler& finish(size_t rest);
  void lost(const Error* why);
  void bad(std::string_view why);

  Http1Link& link_;
  std::unique_ptr<async::Stream> stream_;
  Http1Call* call_ = nullptr;
  http::ChunkedDecoder decoder_;
  uint64_t left_ = 0;
  size_t unconsumed_ = 0;
  size_t interim_ = 0;  // bytes of interim replies to this call
  Phase phase_ = Phase::kHead;
  bool closed_ = false, keep_ = false, heard_ = false, paused_ = false, used_before_ = false;
  bool gone_ = false;
};

// Calls never wait for each other: each has a connection to itself, as many as calls run. What the backend does not take
// (connection refused) fails the calls that wait with retry = kYes; calls that run on other connections go on.
class Http1Link final : public LinkBase<Http1Call, Http1Wire> {
 public:
  static constexpr size_t kMaxConnections = 1024;  // LIMIT: per link, so per loop and backend; further calls wait
  static constexpr size_t kMaxIdle = 256;          // LIMIT: connections kept for later calls
  // LIMIT: how long a connection rests before it is given up. WHY: servers end idle ones after 5 s (Node, uvicorn) or
  // more; a request that crosses that end is lost. One that may not be sent twice takes only a very young connection.
  static constexpr Duration kIdle = 4s, kIdleUnsafe = 1s;
  static constexpr size_t kMaxInterim = http::kMaxHeadBytes;  // LIMIT: bytes of interim replies to one call

  Http1Link(async::Loop& loop, async::Endpoint to, Deadline deadline, Events events);
  ~Http1Link() override = default;

  frame::CallId call(const http::RequestHead& head, std::string_view extra, std::string_view body, bool end,
                     Deadline deadline, frame::CallHandler& handler) override;
  int64_t writable(frame::CallId id) const override;
  void body(frame::CallId id, std::string_view data, bool end) override;
  void end(frame::CallId id, std::string_view trailers) override;
  void consumed(frame::CallId id, size_t reply_bytes) override;
  // WHY so: only the backend knows how its protocol says goodbye, and the end of our half is all that it can be told.
  void drain(frame::CallId id) override { end(id, {}); }
  void drain_tunnels() override;

 private:
  friend class Http1Wire;

  void start(Http1Call& call, const http::RequestHead& head, std::string_view extra, std::string_view body, bool end,
             Deadline deadline) override;
  void abandon(Http1Wire& wire, Http1Call&) override { drop_wire(wire); }
  void on_connected(Result<std::unique_ptr<async::Stream>> stream) override;
  void before_failures() override;
  void granted(Http1Call& call);  // it is a tunnel now
  void send_tunnel(Http1Call& call, std::string_view data);
  void end_tunnel_if_over(Http1Call& call);
  void emit(Http1Call& call, std::string_view a, std::string_view b);
  bool take_idle(Http1Call& call);
  void dial_as_needed();
  void serve_waiting(Http1Wire& wire);
  void free_wire(Http1Wire& wire);  // idle, or the next waiting call's
  void drop_wire(Http1Wire& wire);  // destroyed at the end of the turn
  void expire_idle();

  std::vector<Http1Wire*> idle_;             // the youngest last
  std::vector<frame::CallId> tunnels_over_;  // on_tunnel_over is due at the end of the turn
  bool leaving_ = false;                     // no new calls come
  std::string scratch_;
  async::Timer idle_timer_;
};

}  // namespace colony::backend
