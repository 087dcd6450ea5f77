// The server side of HTTP/2: one H2Connection per stream of bytes, one H2Stream per request, which is the Exchange that a
// Service sees. Internal to transport/http; connection.h has the face that the server uses.
//   h2_input.cc       frames in
//   h2_connection.cc  streams, frames out, drain, the end
//   h2_stream.cc      the Exchange
//   h2_limits.cc      what a client may send and how long it may take
//   h2_work.h         what a connection at rest does without
//   h2_head.h, hpack_decoder.h, hpack_encoder.h, h2_frame.h   the bytes, without a connection
// WHY our own and not a library: docs/adr/0010-own-http2-server.md.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "async/alarms.h"
#include "transport/http/connection.h"
#include "transport/http/h2_frame.h"
#include "transport/http/h2_guard.h"
#include "transport/http/h2_head.h"
#include "transport/http/h2_work.h"
#include "transport/http/hpack_encoder.h"

namespace colony::http {

class H2Connection;

// One request. Owned by its connection while it is in its list, and otherwise by the thread's stock of spare ones; lives on
// the connection's loop. `handler` is null for a request that no Service has seen or that was refused.
// On failure: the stream's end reaches the handler as on_done(false), never inside one of the Exchange's own functions.
class H2Stream final : public Exchange {
 public:
  void reply(std::string_view block, std::string_view body, More more) override;
  void reply(const ReplyHead& head, std::string_view body, More more) override;
  void body(std::string_view data, More more) override;
  void end(std::string_view trailers) override;
  void abort(const Error& error) override;
  int64_t writable() const override;
  void consumed(size_t bytes) override;
  Carrier carrier() const override { return Carrier::kHttp2; }
  Deadline deadline() const override { return Deadline::never(); }
  std::string_view peer() const override;
  bool secure() const override;
  async::Loop& loop() override;

 private:
  friend class H2Connection;

  void reset(H2Connection& connection, uint32_t id);
  void trim();
  void interim(const ReplyHead& head);
  void go_on();  // 100 Continue to a client that waits for it
  size_t buffered() const { return pending_.size() - sent_; }
  bool ends_now() const { return reply_ended_ && !reply_sent_ && buffered() == 0; }
  // There is something that its own window lets go.
  bool sendable() const { return !closed_ && (ends_now() || (buffered() > 0 && window_ > 0)); }
  // Sends `data` as far as windows and the outbox allow, and keeps the rest.
  void give(std::string_view data, bool last);
  bool send_kept();  // one frame of what was kept; false when the connection's window is shut
  void send_data(std::string_view data, bool last);
  void finish_sending();

  H2Connection* connection_ = nullptr;
  H2Stream *next_ = nullptr, *previous_ = nullptr;              // the connection's list
  H2Stream *next_ready_ = nullptr, *previous_ready_ = nullptr;  // those that wait for their turn to send
  uint32_t id_ = 0;

  // The request.
  ExchangeHandler* handler_ = nullptr;
  size_t unconsumed_ = 0;       // body bytes shown to the handler and not given back
  size_t credit_ = 0;           // given back, and not yet told to the client
  int64_t receive_window_ = 0;  // what the client may still send
  uint64_t received_ = 0;       // bytes of the body
  std::optional<uint64_t> length_;
  TimePoint body_since_,
      held_since_;  // when the body began, moved on by what it was held back; since when it is held back
  bool request_ended_ = false;
  bool counted_ = false;    // in stats.open_requests
  bool expecting_ = false;  // its client waits for 100 Continue
  bool is_head_ = false, is_grpc_ = false;

  // The reply.
  std::string pending_;  // body bytes not yet in frames, from sent_ on
  size_t sent_ = 0;
  std::string reply_trailers_;
  int64_t window_ = 0;  // what the client lets us send; below zero after it has made its windows smaller
  // The span in which bytes wait for the client's window: when it began, and how many have left since.
  TimePoint span_since_ = TimePoint::max();
  uint64_t left_in_span_ = 0;
  bool replied_ = false;          // the head was given
  bool reply_ended_ = false;      // nothing more will be given
  bool reply_sent_ = false;       // END_STREAM has left for the outbox
  bool ready_ = false;            // in the list of those that wait for their turn
  mutable bool blocked_ = false;  // the handler was told that there is no room

  bool aborted_ = false;  // on_done will say so
  bool closed_ = false;   // no frame belongs to it any more; on_done is due
};

// Owned by the server. Owns its stream and its requests. One turn is a read of what has come, and one write of everything
// that was answered meanwhile, by requests of this connection or by whoever replied to them in the same turn.
class H2Connection final : public Connection {
 public:
  H2Connection(std::unique_ptr<async::Stream> stream, ConnectionContext& context);
  ~H2Connection() override;

  size_t on_bytes(std::string_view data) override;
  void on_drained() override;
  void on_end() override;
  void on_closed(const Error& error) override;

  void drain() override;
  void drain_gently() override;
  size_t open_requests() const override { return work_ == nullptr ? 0 : work_->open_requests; }
  bool idle() const override { return work_ == nullptr || work_->stream_count == 0; }
  bool closing() const override { return draining_ || ending_ || over_; }

 private:
  friend class H2Stream;
  friend struct H2Work;

  static constexpr size_t kOutbox = 256 * 1024;          // LIMIT: bytes under way to the kernel
  static constexpr int64_t kStreamBuffer = 256 * 1024;   // reply bytes that one stream may hold
  static constexpr size_t kConnectionBuffer = 8u << 20;  // above this every stream gets only kStreamMinimum
  static constexpr int64_t kStreamMinimum = 16 * 1024;   // so that no stream can starve the others for good
  static constexpr Duration kLinger = 1s;
  static constexpr Duration kDrainNotice = 1s;
  static constexpr size_t kMostUnended = 64;  // LIMIT: requests that are answered and go on
  static constexpr Duration kUnended = 1s;

  int32_t window_size() const;  // of a stream, as we tell the client
  void wake();                  // something is about to go on
  void rest();                  // nothing does any more

  // Input. Each returns how much of what is there it has used; 0: it is not whole.
  size_t take_preface(std::string_view data);
  size_t take_frame(std::string_view data);
  size_t take_data(std::string_view data);  // of a DATA frame that has begun
  size_t begin_data(const H2FrameHead& head, std::string_view data);
  void end_data();
  bool charge(const H2FrameHead& head);  // false: a flood, and the connection has ended
  void on_frame(const H2FrameHead& head, std::string_view payload);
  void on_headers(const H2FrameHead& head, std::string_view payload);
  void on_continuation(const H2FrameHead& head, std::string_view payload);
  void on_block(uint32_t id, bool end_stream, std::string_view block);
  void on_request_block(uint32_t id, bool end_stream, std::string_view block);
  void on_trailers_block(H2Stream& stream, bool end_stream, std::string_view block);
  void on_settings(const H2FrameHead& head, std::string_view payload);
  bool on_setting(uint16_t name, uint32_t value);
  void on_window_update(const H2FrameHead& head, std::string_view payload);
  void on_reset(const H2FrameHead& head, std::string_view payload);
  bool read_failed(H2Read read);  // the block ends the connection
  void fail(H2Error error);       // what the client did wrong ends the connection

  // Streams.
  H2Stream& open_stream(uint32_t id);
  void close_stream(H2Stream& stream);  // no frame belongs to it any more
  void detach(H2Stream& stream);
  void reset_stream(H2Stream& stream, H2Error error);
  void start_request(H2Stream& stream, const RequestHead& head, bool end_stream);
  void finish_request(H2Stream& stream, bool ok);  // on_done, and the object is free again
  void finish_requests();
  void request_ended(H2Stream& stream, std::string_view trailers);
  void charge_reset();                             // rapid reset
  void give_back(H2Stream* stream, size_t bytes);  // of what was received: the windows open again

  // Limits.
  struct Refusal {
    int status;
    std::string_view message;
    std::optional<Limit> limit;
  };
  static Refusal refusal_of(int status, std::string_view problem);
  std::optional<Refusal> over_limit(const RequestHead& head) const;
  void hold_to_body_limit(H2Stream& stream);
  void refuse(H2Stream& stream, const Refusal& refusal);
  TimePoint body_due(const H2Stream& stream) const;
  TimePoint look_at_body(H2Stream& stream);  // until when it need not be looked at again
  TimePoint look_at_reply(H2Stream& stream);
  TimePoint look_at_outbox();
  void on_limits();
  void arm_limits();
  void note_pending(size_t pending);
  // Answered whole before its request has ended: its client may end it yet.
  void await_end(uint32_t id);
  bool is_unended(uint32_t id) const;
  void client_ended(uint32_t id);  // a stream that may be over for us already
  void on_unended();

  // Output.
  std::string& out();
  bool outbox_full() const { return work_->out.size() + stream_->pending() >= kOutbox; }
  void queue(H2Stream& stream);  // it waits for its turn to send
  void unqueue(H2Stream& stream);
  void pump();  // frames of those that wait
  void goaway(uint32_t last, H2Error error);
  void mark_dirty();
  void end_of_turn();
  bool deliver();  // on_done and on_writable that are due; false when none was
  void flush();    // out_ to the stream

  // The clock.
  enum class Alarm : uint8_t {
    kAgain,  // the kernel takes everything: other connections come first
    kIdle,
    kHead,
    kEnd,
    kStall,
    kLimits,
    kUnended
  };
  static constexpr size_t kAlarms = 7;
  struct Ring {
    H2Connection* connection;
    void operator()(Alarm alarm) const { connection->on_alarm(alarm); }
  };
  void on_alarm(Alarm alarm);
  void on_stall();

  // The end.
  void terminate(H2Error error);  // GOAWAY now, then the end
  void final_goaway();
  void linger();  // our half is ended; wait a little for the peer's
  void finish();  // everybody gets on_done(false), then on_closed

  ConnectionContext& context_;
  std::unique_ptr<async::Stream> stream_;
  H2Work* work_ = nullptr;  // null at rest: nothing is open, half read or on its way
  std::string peer_;
  H2Guard guard_;
  HpackTable decoded_;
  HpackEncoder encoder_;

  uint32_t last_id_ = 0;    // the highest that we have taken
  int32_t stream_window_;   // what it may assume: the default until it has acknowledged ours
  int32_t whole_window_;    // of the connection
  int32_t receive_window_;  // what is left of it
  int32_t credit_ = 0;      // given back, and not yet told
  int32_t send_window_ = kH2Window, initial_window_ = kH2Window;  // as the client says

  bool preface_seen_ = false;
  bool greeted_ = false;       // the client's SETTINGS have come
  bool acknowledged_ = false;  // it has ours
  bool draining_ = false, notice_sent_ = false;
  bool goaway_sent_ = false, goaway_received_ = false;  // ours: the one that names the last stream
  bool ending_ = false;                                 // GOAWAY for good: nothing is read any more
  bool lingering_ = false;
  bool over_ = false;

  async::Alarms<Alarm, kAlarms, Ring> alarms_;
};

}  // namespace colony::http
