// One request on its way through the proxy, from its head to the last byte of the reply. Two faces: the client's exchange
// on one side, the call on a replica's link on the other; bytes pass through under credit and are never parsed.
//
//   kIdle -> kPeek (gRPC: waiting for the model's name) -> kFresh (to be sent at the end of the turn, or when its body is
//   whole, so that a slow client takes no slot) ->
//   kQueued (waits for a slot) -> kRunning (on a link) -> kAnswered (only the client's side is left) -> kIdle
//
// Pooled and owned by its ProxyLoop, lives on that loop; between requests it keeps its buffers, so that a request in
// steady state allocates nothing. When its replica fails, a request that may be sent twice (policy/retry.h) goes to another
// replica; everything else is answered with an error, or broken off when a part of the reply has left.
#pragma once

#include <memory>
#include <string>

#include "request/proxy/admit/deployment_queue.h"
#include "request/proxy/forward/request_fields.h"
#include "transport/compress/coding.h"
#include "transport/http/exchange.h"

namespace colony::proxy {

class Forward;

// What the Forwards of one loop share.
struct ForwardShared {
  async::Loop& loop;
  const TrustedSources& trusted;
  RouteStats& unrouted;   // counts what belongs to no deployment
  size_t kept_bytes = 0;  // of all requests that wait, bounded by Forward::kMaxKept
  // Of answers that are made and wait in replicas for their clients, without a slot; bounded by Forward::kMaxUnread.
  size_t unread_bytes = 0;
};

// What a Forward asks of the loop that owns it.
class ForwardHost {
 public:
  virtual DeploymentQueue* find_model(std::string_view model) = 0;  // null: no such model
  virtual std::string what_exists() = 0;                            // for the person who asked for something else
  // gRPC's ModelStatistics for all models: the answer is the proxy's own.
  virtual std::string all_model_statistics() = 0;
  virtual void end_of_turn(Forward& forward) = 0;  // call forward.flush() before this turn's writes leave
  virtual void recycle(Forward& forward) = 0;

 protected:
  ~ForwardHost() = default;
};

class Forward final : public http::ExchangeHandler, public Waiter {
 public:
  static constexpr size_t kReplayLimit = 64 * 1024;              // LIMIT: a larger request is not sent twice
  static constexpr size_t kPeekLimit = 64 * 1024;                // LIMIT: the model's name must come before this
  static constexpr size_t kMaxKept = size_t{256} * 1024 * 1024;  // LIMIT: bytes of waiting requests per loop

  static constexpr size_t kMaxUnread = size_t{256} * 1024 * 1024;  // LIMIT: bytes per loop; beyond it slots are held

  Forward(ForwardHost& host, ForwardShared& shared);
  ~Forward() = default;
  Forward(const Forward&) = delete;
  Forward& operator=(const Forward&) = delete;

  struct Plan {
    DeploymentQueue* deployment = nullptr;  // null: the model's name is to be read from the body first
    bool inference = false;
    bool grpc = false;
  };
  void begin(http::Exchange& exchange, const http::RequestHead& head, const Plan& plan);
  // The reply, of this status, is made by the caller; what comes of the body is dropped.
  void begin_answered(http::Exchange& exchange, const http::RequestHead& head, int status);
  void flush();  // end of the turn: send what is still kFresh

  // http::ExchangeHandler
  void on_body(std::string_view data) override;
  void on_end(std::string_view trailers) override;
  void on_writable() override;
  void on_drain() override;
  void on_done(bool ok) override;

  // Waiter
  void on_slot(ReplicaLink& link) override;
  void on_removed() override;

  Forward* next_fresh = nullptr;

 private:
  enum class State : uint8_t { kIdle, kPeek, kFresh, kQueued, kRunning, kAnswered };
  // The link's side; an object of its own because both faces have an on_end and an on_writable.
  struct ReplySide final : frame::CallHandler {
    explicit ReplySide(Forward& f) : forward(f) {}
    Forward& forward;
    void on_reply(const http::ReplyHead& head, std::string_view body, bool end) override {
      forward.reply_head(head, body, end);
    }
    void on_body(std::string_view data, bool end) override { forward.reply_body(data, end); }
    void on_end(std::string_view trailers) override { forward.reply_end(trailers); }
    void on_tunnel_over() override { forward.end_call(Outcome::kGood); }
    void on_writable() override { forward.give_credit(); }
    void on_failed(const Error& error) override { forward.call_failed(error); }
  };

  void peek();
  void route_to(DeploymentQueue& deployment);
  void send();
  void keep(std::string_view data);
  std::string_view head() const { return {message_.data(), head_size_}; }
  std::string_view body() const { return {message_.data() + head_size_, message_.size() - head_size_}; }
  void drop_kept();
  void give_credit();
  void reply_head(const http::ReplyHead& head, std::string_view body, bool end);
  void reply_with_id(const http::ReplyHead& head, std::string_view body, http::More more);
  void interim_reply(const http::ReplyHead& head);
  void note_grpc_status(std::string_view text);
  void reply_body(std::string_view data, bool end);
  void reply_end(std::string_view trailers);
  void end_reply_half();
  void call_failed(const Error& error);
  bool try_again(policy::Failure failure);
  void end_call(Outcome outcome);
  void free_slot_early(const http::ReplyHead& head, std::string_view body);
  Outcome outcome() const;
  void answer(const Error& error, int retry_after = 0);
  std::string_view traceparent() const;
  void log(std::string_view text) const;
  void answer_message(std::string_view framed);
  void take_reply_credit(size_t bytes);
  void on_deadline();
  Error deadline_error() const;

  ForwardHost& host_;
  ForwardShared& shared_;
  ReplySide reply_side_;
  async::Timer timer_;
  State state_ = State::kIdle;
  bool grpc_ = false, inference_ = false, idempotent_ = false, statistics_ = false, readiness_ = false;
  bool at_once_ = false;  // its answer is whole before a byte of it leaves the replica
  bool gather_ = false;   // it is sent when its body is whole
  bool holds_slot_ = false;
  bool refused_ = false;      // the replica answers that it did not begin
  bool upgrade_ = false;      // the client asks for a tunnel: its direction stays open
  bool tunnel_ = false;       // ... and has it
  bool ended_ = false;        // the client has sent everything
  bool kept_whole_ = false;   // body() is every body byte so far
  bool reply_begun_ = false;  // a byte of the reply may have left
  bool fresh_ = false;        // in the host's list for the end of the turn
  Method method_ = Method::kOther;
  uint8_t grpc_status_ = 0;
  compress::Coding coding_ = compress::Coding::kIdentity;  // of gRPC messages, for the peek
  int status_ = 0;
  http::Exchange* exchange_ = nullptr;
  DeploymentQueue* deployment_ = nullptr;
  ReplicaLink* link_ = nullptr;
  frame::CallId call_ = 0;
  Deadline deadline_ = Deadline::never();
  Duration client_timeout_ = Duration::max();
  TimePoint began_, asked_at_, slot_at_;
  size_t uncredited_ = 0;        // request bytes that were not said consumed yet
  size_t reply_uncredited_ = 0;  // reply bytes that the client has not taken yet
  size_t counted_kept_ = 0;      // of shared_.kept_bytes
  size_t counted_unread_ = 0;    // of shared_.unread_bytes
  // The head as it travels and what of the body is kept, side by side as they leave; then the head of the reply.
  std::string message_;
  size_t head_size_ = 0;
  std::string trailers_, request_id_;
};

}  // namespace colony::proxy
