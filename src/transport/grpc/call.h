// What a running call holds, unary or streaming: its exchange, its request head, its deadline, its place in the
// Dispatcher's list. Internal to transport/grpc; methods see service.h.
#pragma once

#include <optional>
#include <string>

#include "async/loop.h"
#include "transport/grpc/framing.h"
#include "transport/grpc/service.h"

namespace colony::grpc {

// Owns itself: gone when the exchange is done and the method has let go (release()). Destroyed by the Dispatcher at the
// latest. on_done may come from any carrier while a method runs: Enter keeps the object until it has returned.
class CallState : public http::ExchangeHandler {
 public:
  CallState(Dispatcher& dispatcher, http::Exchange& exchange, const http::RequestHead& head);
  virtual ~CallState();

  void on_done(bool ok) final;

 protected:
  friend class Dispatcher;

  class Enter {
   public:
    explicit Enter(CallState& call) : call_(call) { ++call_.depth_; }
    ~Enter() {
      if (--call_.depth_ == 0) call_.maybe_delete();
    }
    Enter(const Enter&) = delete;
    Enter& operator=(const Enter&) = delete;

   private:
    CallState& call_;
  };

  // The client has gone or the deadline has passed: tell the method, once.
  virtual void cancel() = 0;
  // The exchange is gone: what belongs to it may go too.
  virtual void over() = 0;

  void arm_deadline();
  void release() { released_ = true; }
  void maybe_delete();

  void send_message(std::string_view message);
  void send_status(const Error* error);  // null: OK
  bool can_send() const { return exchange_ != nullptr && !status_sent_; }
  // Keeps the Dispatcher's count of buffered bytes; the error is RESOURCE_EXHAUSTED.
  Result<void> account();
  std::optional<std::string_view> header(std::string_view lower_name) const;

  Dispatcher& dispatcher_;
  http::Exchange* exchange_;  // null once it is done
  async::Loop& loop_;
  MessageDecoder decoder_;
  std::string head_;  // the request's head block
  std::string_view method_;
  std::string peer_;
  Deadline deadline_;
  bool cancelled_ = false;
  std::string headers_, trailers_;  // what the method adds

 private:
  CallState* next_ = nullptr;
  CallState* previous_ = nullptr;
  std::optional<async::Timer> timer_;
  size_t accounted_ = 0;
  int depth_ = 0;
  bool head_sent_ = false, status_sent_ = false, released_ = false;
};

http::ExchangeHandler* start_unary(Dispatcher& dispatcher, http::Exchange& exchange, const http::RequestHead& head,
                                   Deadline deadline, const UnaryFn& fn);
http::ExchangeHandler* start_stream(Dispatcher& dispatcher, http::Exchange& exchange, const http::RequestHead& head,
                                    Deadline deadline, const StreamFactory& factory);

}  // namespace colony::grpc
