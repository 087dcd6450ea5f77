// The server side of HTTP/2 on nghttp2: one H2Connection per stream of bytes, one H2Stream per request, which is the
// Exchange that a Service sees. Internal to transport/http; connection.h has the face that the server uses.
//   h2_connection.cc  bytes in, gathered bytes out, timers, drain, the end
//   h2_callbacks.cc   what nghttp2 reports
//   h2_stream.cc      the Exchange
//   h2_head.cc        header lists to and from head text
// WHY no nghttp2 header here: it is kept out of what others include.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/deferred.h"
#include "transport/http/connection.h"
#include "transport/http/h2_guard.h"
#include "transport/http/h2_head.h"

struct nghttp2_session;

namespace colony::http {

class H2Connection;

// One request. Owned by its connection, which recycles it; lives on the connection's loop. `handler` is null for a
// request that no Service has seen (refused by us, or its head has not come whole).
// On failure: the stream's end reaches the handler as on_done(false), never inside one of the Exchange's own functions.
class H2Stream final : public Exchange {
 public:
  explicit H2Stream(H2Connection& connection) : connection_(connection) {}

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
  friend struct H2Callbacks;

  void reset(int32_t id);
  size_t buffered() const { return pending_.size() - sent_ + view_.size(); }
  // Appends n bytes of the body to `out`: what was kept first, then what the caller is showing.
  void take(std::string& out, size_t n);
  // Queues `data`; outside of the session it leaves at once as far as windows allow, and only the rest is copied.
  void give(std::string_view data, bool last);
  void keep_rest();
  void submit_head(const ReplyHead& head, std::string_view body, More more);

  H2Connection& connection_;
  H2Stream* next_ = nullptr;  // the connection's list
  H2Stream* previous_ = nullptr;
  int32_t id_ = 0;

  // The request.
  H2HeadBuilder head_;
  std::string trailers_;
  ExchangeHandler* handler_ = nullptr;
  size_t unconsumed_ = 0;    // body bytes shown to the handler and not given back
  bool end_stream_ = false;  // HEADERS said that nothing follows
  bool request_ended_ = false;
  bool counted_ = false;  // in stats.open_requests
  bool refused_ = false;  // answered or reset by us; what still comes is dropped
  bool is_head_ = false, is_grpc_ = false;

  // The reply.
  std::string pending_;  // body bytes not yet in frames, from sent_ on
  size_t sent_ = 0;
  std::string_view view_;  // the caller's own bytes, during a call only
  std::string reply_trailers_;
  bool replied_ = false;          // the head was given
  bool reply_ended_ = false;      // nothing more will be given
  bool reply_sent_ = false;       // END_STREAM has left for the outbox
  bool waiting_ = false;          // nghttp2 was told that there are no bytes now
  bool moved_ = false;            // bytes of its body have left since give_up_on_stuck() looked
  mutable bool blocked_ = false;  // the handler was told that there is no room

  bool aborted_ = false;  // by the Service
  bool closed_ = false;   // nghttp2 has forgotten it; on_done is due
};

// Owned by the server. Owns its stream and its requests.
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
  size_t open_requests() const override { return open_requests_; }
  bool idle() const override { return stream_count_ == 0; }
  bool closing() const override { return draining_ || ending_ || over_; }

 private:
  friend class H2Stream;
  friend struct H2Callbacks;

  static constexpr size_t kOutbox = 256 * 1024;          // LIMIT: bytes under way to the kernel
  static constexpr int64_t kStreamBuffer = 256 * 1024;   // reply bytes that one stream may hold
  static constexpr size_t kConnectionBuffer = 8u << 20;  // above this every stream gets only kStreamMinimum
  static constexpr int64_t kStreamMinimum = 16 * 1024;   // so that no stream can starve the others for good
  static constexpr size_t kRecycled = 16;
  static constexpr Duration kLinger = 1s;
  static constexpr Duration kDrainNotice = 1s;

  H2Stream* open_stream(int32_t id);
  void close_stream(H2Stream& stream);  // nghttp2 has forgotten it
  void start_request(H2Stream& stream);
  void refuse(H2Stream& stream, int status, std::string_view why);
  void finish_request(H2Stream& stream, bool ok);  // on_done, and the object is free again
  void terminate(uint32_t h2_error);               // GOAWAY now, then the end
  void charge_reset();                             // rapid reset

  void mark_dirty();
  void pull();  // frames from the session into out_
  void end_of_turn();
  bool deliver();  // on_done and on_writable that are due; false when none was
  void flush();    // out_ to the stream
  void final_goaway();
  void give_up_on_stuck();  // streams whose client gives them no window
  void linger();            // our half is ended; wait a little for the peer's
  void finish();            // everybody gets on_done(false), then on_closed

  ConnectionContext& context_;
  std::unique_ptr<async::Stream> stream_;
  nghttp2_session* session_ = nullptr;
  std::string peer_;
  H2Guard guard_;

  H2Stream* streams_ = nullptr;
  size_t stream_count_ = 0, open_requests_ = 0;
  size_t blocked_count_ = 0;       // streams with blocked_
  size_t buffered_ = 0;            // over all streams
  std::vector<H2Stream*> closed_;  // on_done is due
  std::vector<std::unique_ptr<H2Stream>> recycled_;

  std::string out_;          // frames of this turn
  bool in_session_ = false;  // inside nghttp2: nothing may be pulled
  bool delivering_ = false;
  bool greeted_ = false;       // the client's SETTINGS have come
  bool pull_stopped_ = false;  // because out_ was full
  bool broken_ = false;        // nghttp2 gave up: nothing can be sent any more
  bool draining_ = false, notice_sent_ = false;
  bool ending_ = false;  // GOAWAY for good: nothing is read any more
  bool lingering_ = false;
  bool over_ = false;
  size_t stalled_at_ = 0;  // bytes pending when stall_timer_ was armed

  async::Deferred turn_end_;
  async::Timer again_timer_;  // the kernel takes everything: other connections come first
  async::Timer idle_timer_, head_timer_, end_timer_, stall_timer_, stuck_timer_;
};

}  // namespace colony::http
