// What a running call holds, unary or streaming: its exchange, its request head, its deadline, its place in the
// Dispatcher's list. The texts have room for what is usual. Internal to transport/grpc; methods see service.h.
#pragma once

#include <optional>
#include <string>

#include "async/loop.h"
#include "base/text.h"
#include "transport/grpc/framing.h"
#include "transport/grpc/service.h"

namespace colony::grpc {

struct CallSetup {
  Deadline deadline = Deadline::never();
  Messages messages = Messages::kPlain;
  compress::Coding coding = compress::Coding::kIdentity, reply_coding = compress::Coding::kIdentity;
};

// Owns itself: gone when the exchange is done and the method has let go (release()). Destroyed by the Dispatcher at the
// latest. on_done may come from any carrier while a method runs: Enter keeps the object until it has returned.
class CallState : public http::ExchangeHandler {
 public:
  CallState(Dispatcher& dispatcher, http::Exchange& exchange, const http::RequestHead& head, const CallSetup& setup);
  virtual ~CallState();
  // Gives its memory back where it came from.
  virtual void destroy() = 0;

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

  static auto& memory_for_unary(Dispatcher& dispatcher) { return dispatcher.unary_calls_; }
  void arm_deadline();
  void release() { released_ = true; }
  void maybe_delete();

  // The next message for the method, unpacked where the method does not do that itself.
  MessageDecoder::State next_message(std::string_view& message);
  const Error& message_error() const { return unpack_error_ ? *unpack_error_ : decoder_.error(); }
  compress::Coding shown_coding() const {
    return decoder_.packed() == Packed::kYes && setup_.messages == Messages::kAsSent ? setup_.coding
                                                                                     : compress::Coding::kIdentity;
  }
  void send_message(std::string_view message, Packed packed);
  void send_status(const Error* error);  // null: OK
  bool can_send() const { return exchange_ != nullptr && !status_sent_; }
  // May so many bytes more be kept? Asked before they are.
  bool has_room(size_t bytes) const { return dispatcher_.buffered_ + bytes <= dispatcher_.options_.max_buffered; }
  Error no_room() const;
  void account();  // tells the Dispatcher's count what is kept now
  std::optional<std::string_view> header(std::string_view lower_name) const;

  Dispatcher& dispatcher_;
  http::Exchange* exchange_;  // null once it is done
  async::Loop& loop_;
  MessageDecoder decoder_;
  ShortText<640> head_;  // the request's head block
  std::string_view method_;
  std::string peer_;
  const CallSetup setup_;
  bool cancelled_ = false;
  ShortText<160> headers_;  // what is echoed, and what the method adds
  ShortText<32> trailers_;  // what the method adds

 private:
  CallState* next_ = nullptr;
  CallState* previous_ = nullptr;
  std::optional<async::Timer> timer_;
  std::string unpacked_;
  std::optional<Error> unpack_error_;
  size_t accounted_ = 0;
  int depth_ = 0;
  bool head_sent_ = false, status_sent_ = false, released_ = false;
};

http::ExchangeHandler* start_unary(Dispatcher& dispatcher, http::Exchange& exchange, const http::RequestHead& head,
                                   const CallSetup& setup, const UnaryFn& fn);
http::ExchangeHandler* start_stream(Dispatcher& dispatcher, http::Exchange& exchange, const http::RequestHead& head,
                                    const CallSetup& setup, const StreamFactory& factory);

}  // namespace colony::grpc
