// One HTTP/1.1 (or 1.0) connection of a server: requests in order, one in service at a time, keep-alive and pipelining.
// The input side (h1_connection.cc) is a walk over what the stream shows; the reply side (h1_reply.cc) is the Exchange;
// the clock and the other bounds are in h1_limits.cc.
// Internal to transport/http; made by serve_http1().
#pragma once

#include <memory>
#include <string>

#include "async/deferred.h"
#include "transport/http/chunked.h"
#include "transport/http/connection.h"

namespace colony::http {

// Owned by the server, lives on its loop. Owns the stream and no buffer while idle: unconsumed bytes stay with the
// stream, which is paused whenever they may not be taken yet (pipelined requests, body credit). A protocol error is
// answered and the connection ended; whatever ends the connection ends the running request with on_done(false).
class Http1Connection final : public Connection, public Exchange {
 public:
  Http1Connection(std::unique_ptr<async::Stream> stream, ConnectionContext& context);
  ~Http1Connection() override;

  size_t on_bytes(std::string_view data) override;
  void on_drained() override;
  void on_end() override;
  void on_end_follows() override;
  void on_closed(const Error& error) override;

  void drain() override;
  void drain_gently() override { close_after_ |= handler_ != nullptr && out_ == Out::kNone; }
  size_t open_requests() const override { return handler_ ? 1 : 0; }
  bool idle() const override { return handler_ == nullptr && in_ == In::kHead && seen_ == 0; }
  bool closing() const override { return in_ == In::kOver || in_ == In::kLinger || close_after_; }

  void reply(std::string_view block, std::string_view body, More more) override;
  void reply(const ReplyHead& head, std::string_view body, More more) override;
  void body(std::string_view data, More more) override;
  void end(std::string_view trailers) override;
  void abort(const Error& error) override;
  int64_t writable() const override;
  void consumed(size_t bytes) override;
  Carrier carrier() const override { return Carrier::kHttp1; }
  Deadline deadline() const override { return Deadline::never(); }
  std::string_view peer() const override { return peer_; }
  bool secure() const override { return context_.options.certificates != nullptr; }
  async::Loop& loop() override { return context_.loop; }

 private:
  static constexpr Duration kLingerTime = 2s;   // LIMIT: silence of the client from our end to its own
  static constexpr Duration kLingerMost = 10s;  // LIMIT: and whatever it still sends
  static constexpr Duration kTunnelRest = 2s;   // LIMIT: the client's half of a tunnel after our end has left

  // What the next byte of input is. kLength and kChunked without a handler: a body that nobody wants any more.
  // kTunnel: raw bytes; kWhole after it: the client has ended its half.
  enum class In : uint8_t { kHead, kLength, kChunked, kWhole, kTunnel, kLinger, kOver };
  // How the body of the reply is framed; kNone: no reply yet, kDone: the reply is whole (or given up).
  // kTunnel: raw bytes; kTunnelEnded: our half has ended, the client's has not.
  enum class Out : uint8_t { kNone, kLength, kChunked, kUntilClose, kNoBody, kTunnel, kTunnelEnded, kDone };

  // Input. Each step looks at `rest`, says how much it used, and returns whether to go on.
  bool step(std::string_view rest, size_t& used);
  bool take_head(std::string_view rest, size_t& used);
  bool take_length(std::string_view rest, size_t& used);
  bool take_chunk(std::string_view rest, size_t& used);
  bool take_tunnel(std::string_view rest, size_t& used);
  void begin(const RequestHead& head, std::string_view rest);
  void give_body(std::string_view data);
  void give_end(std::string_view trailers);
  void go_on();
  bool wait_for_room();
  bool discard(size_t bytes);
  void refuse(int status, std::string_view message, std::string_view reason = "bad_request");
  void refuse(int status, std::string_view message, Limit limit);
  void refuse_large_head(std::string_view rest, std::string_view message);
  bool over_limit(const RequestHead& head);
  bool over_body_limit(uint64_t size);

  // The end of a request and of the connection; never called from inside an Exchange call.
  void finish_request();
  void cut_request();
  void cut_all();
  void read_on();
  void linger();
  void over();
  void on_timer();
  void rearm_by(TimePoint at);
  TimePoint body_due() const;
  bool client_takes_too_little(TimePoint now);
  enum class Leave : uint8_t { kNow, kLater };  // at once, or with what else this turn writes
  void put(std::string_view data, Leave leave) { put(data, {}, leave); }
  void put(std::string_view a, std::string_view b, Leave leave);

  // Reply.
  void send(std::string_view a, std::string_view b);
  void send_chunk(std::string_view data, More more);
  void switch_protocols(const ReplyHead& head, std::string_view first);
  void reply_whole();
  void give_up();

  ConnectionContext& context_;
  std::unique_ptr<async::Stream> stream_;
  std::string peer_;
  ExchangeHandler* handler_ = nullptr;
  async::Timer timer_;
  async::Deferred finish_;

  In in_ = In::kHead;
  Out out_ = Out::kNone;
  bool in_callback_ = false;  // on_bytes is on the stack: it finishes what was answered
  bool paused_ = false;
  bool ahead_ = false;        // input behind the request in service is with the stream
  bool ok_ = true;            // what on_done will say
  bool cut_ = false;          // the reply was broken off after its head: the connection cannot go on
  bool close_after_ = false;  // no further request on this connection
  bool reset_ = false;        // ... and by its orderly end it would look whole
  bool draining_ = false;
  bool peer_ended_ = false;
  bool http10_ = false, head_request_ = false, upgrade_ = false;
  bool expecting_ = false;  // the client waits for 100 Continue or a final answer
  bool pipelined_ = false;  // more input was there when this request became whole
  bool skipped_empty_line_ = false;
  mutable bool wants_room_ = false;

  size_t seen_ = 0;        // bytes of a partial head that were parsed in vain
  uint64_t in_left_ = 0;   // kLength: of the request's body
  uint64_t out_left_ = 0;  // kLength: of the reply's body
  uint64_t body_got_ = 0;  // of the request's body
  size_t unconsumed_ = 0;  // body bytes shown to the handler and not consumed
  size_t spare_ = 0;       // bytes that may still be discarded before the connection is ended
  ChunkedDecoder decoder_;
  TimePoint since_;                          // when the client last moved: sent, or took bytes
  TimePoint head_since_ = TimePoint::max();  // when a partial head began
  size_t stalled_at_ = 0;                    // pending() at the last look of the timer
  TimePoint linger_since_;                   // since when our half has ended
  TimePoint body_since_;                     // when the body began, moved on by what it was held back
  TimePoint held_since_;                     // since when it is held back (paused_)
  // The span in which bytes wait for the client: when it began, and how many had left then of those that were written.
  TimePoint span_since_ = TimePoint::max();
  uint64_t written_ = 0, left_at_span_ = 0;
};

}  // namespace colony::http
