// Unary and streaming calls: how the bytes of a request become messages for a method, and its answers bytes.
#include <fmt/core.h>

#include <utility>

#include "base/check.h"
#include "transport/grpc/call.h"

namespace colony::grpc {
namespace {

// The part of Call that both kinds answer alike.
template <class Face>
class CallOf : public CallState, public Face {
 public:
  using CallState::arm_deadline;
  using CallState::CallState;
  std::string_view method() const override { return method_; }
  std::optional<std::string_view> metadata(std::string_view name) const override { return header(name); }
  Deadline deadline() const override { return setup_.deadline; }
  compress::Coding message_coding() const override { return shown_coding(); }
  compress::Coding reply_coding() const override { return setup_.reply_coding; }
  std::string take_message(std::string_view& message) override { return decoder_.take(message); }
  std::string_view peer() const override { return peer_; }
  async::Loop& loop() override { return loop_; }
  bool cancelled() const override { return cancelled_; }
  void add_header(std::string_view name, std::string_view value) override { add(headers_, name, value); }
  void add_trailer(std::string_view name, std::string_view value) override { add(trailers_, name, value); }

 private:
  static void add(Text& lines, std::string_view name, std::string_view value) {
    CHECK(http::is_token(name) && http::is_field_value(value));
    lines.append(name, ": ", value, "\r\n");
  }
};

class Unary final : public CallOf<UnaryCall> {
 public:
  Unary(Dispatcher& d, http::Exchange& e, const http::RequestHead& h, const CallSetup& setup, const UnaryFn& fn)
      : CallOf(d, e, h, setup), fn_(fn) {}
  static Unary* make(Dispatcher& d, http::Exchange& e, const http::RequestHead& h, const CallSetup& setup,
                     const UnaryFn& fn) {
    return memory_for_unary(d).make<Unary>(d, e, h, setup, fn);
  }
  void destroy() override { memory_for_unary(dispatcher_).destroy(this); }

  void on_body(std::string_view data) override {
    Enter enter(*this);
    exchange_->consumed(data.size());
    if (failed_) return;
    if (!has_room(data.size())) return give_up(no_room());
    decoder_.feed(data);
    for (std::string_view message;;) {
      const auto state = next_message(message);
      if (state == MessageDecoder::State::kNeedMore) break;
      if (state == MessageDecoder::State::kBad) return give_up(message_error());
      if (started_ || !decoder_.at_boundary()) return give_up(wrong_count("more than one message"));
      started_ = true;
      fn_(message, *this);
      if (exchange_ == nullptr) return;
    }
    account();
  }

  void on_end(std::string_view) override {
    Enter enter(*this);
    if (failed_) return;
    if (!decoder_.at_boundary()) return give_up(invalid_argument("the request ends inside a message"));
    if (!started_) give_up(wrong_count("no message"));
  }

  void finish(std::string_view message, Packed packed) override {
    Enter enter(*this);
    CHECK(!std::exchange(finished_, true));
    send_message(message, packed);
    send_status(nullptr);
    release();
  }
  void finish(const Error& error) override {
    Enter enter(*this);
    CHECK(!std::exchange(finished_, true));
    send_status(&error);
    release();
  }
  void on_cancel(std::function<void()> fn) override { on_cancel_ = std::move(fn); }

 private:
  // gRPC's own servers answer so when a call has too many or too few messages for its method.
  static Error wrong_count(std::string_view given) {
    return unimplemented(fmt::format("{} in the request of a unary method, which has exactly one", given),
                         "message_count");
  }
  // The method has not been asked: nobody else will let go.
  void give_up(const Error& error) {
    failed_ = true;
    send_status(&error);
    if (!started_) {
      release();
    } else if (!finished_) {
      cancelled_ = true;
      if (on_cancel_) std::exchange(on_cancel_, nullptr)();
    }
  }
  void cancel() override {
    if (!started_) release();
    failed_ = true;
    if (!finished_ && on_cancel_) std::exchange(on_cancel_, nullptr)();
  }
  void over() override {
    if (!started_) release();
  }

  const UnaryFn& fn_;
  std::function<void()> on_cancel_;
  bool started_ = false, finished_ = false, failed_ = false;
};

class Streaming final : public CallOf<StreamCall> {
 public:
  using CallOf::CallOf;
  void destroy() override { delete this; }

  void make_handler(const StreamFactory& factory) {
    Enter enter(*this);
    handler_ = factory(*this);
    CHECK(handler_ != nullptr || done_);
  }

  void on_body(std::string_view data) override {
    Enter enter(*this);
    unconsumed_ += data.size();
    if (!done_ && !has_room(data.size())) {
      const Error full = no_room();
      finish_with(&full);
    } else if (!done_) {
      decoder_.feed(data);
      pump();
    }
    give_credit();
  }
  void on_end(std::string_view) override {
    Enter enter(*this);
    half_closed_ = true;
    pump();
  }
  void on_writable() override {
    Enter enter(*this);
    if (handler_ && !done_) handler_->on_writable();
  }

  void send(std::string_view message, Packed packed) override {
    Enter enter(*this);
    if (!done_) send_message(message, packed);
  }
  int64_t writable() const override { return can_send() ? exchange_->writable() : 0; }
  void pause() override { paused_ = true; }
  void resume() override {
    Enter enter(*this);
    paused_ = false;
    pump();
    give_credit();
  }
  void finish() override { finish_with(nullptr); }
  void finish(const Error& error) override { finish_with(&error); }

 private:
  void finish_with(const Error* error) {
    Enter enter(*this);
    if (std::exchange(done_, true)) return;
    send_status(error);
  }

  void pump() {
    if (pumping_ || !handler_) return;
    pumping_ = true;
    auto state = MessageDecoder::State::kNeedMore;
    std::string_view message;
    while (!paused_ && !done_) {
      state = next_message(message);
      if (state != MessageDecoder::State::kMessage) break;
      handler_->on_message(message);
    }
    decoder_.keep();
    pumping_ = false;
    if (done_) return;
    if (state == MessageDecoder::State::kBad || decoder_.bad()) return finish_with(&message_error());
    account();
    if (!half_closed_ || half_close_told_ || paused_) return;
    if (!decoder_.at_boundary()) {
      const Error error = invalid_argument("the request ends inside a message");
      return finish_with(&error);
    }
    half_close_told_ = true;
    handler_->on_half_close();
  }

  // The client may send more once everything it sent was taken. While paused its window closes.
  void give_credit() {
    if (exchange_ == nullptr || (paused_ && !done_) || unconsumed_ == 0) return;
    exchange_->consumed(std::exchange(unconsumed_, 0));
  }

  void cancel() override {
    done_ = true;
    if (handler_) handler_->on_cancel();
  }
  void over() override {
    done_ = true;
    release();
  }

  std::unique_ptr<StreamHandler> handler_;
  size_t unconsumed_ = 0;
  bool paused_ = false, pumping_ = false, half_closed_ = false, half_close_told_ = false, done_ = false;
};

}  // namespace

http::ExchangeHandler* start_unary(Dispatcher& dispatcher, http::Exchange& exchange, const http::RequestHead& head,
                                   const CallSetup& setup, const UnaryFn& fn) {
  auto* call = Unary::make(dispatcher, exchange, head, setup, fn);
  call->arm_deadline();
  return call;
}

http::ExchangeHandler* start_stream(Dispatcher& dispatcher, http::Exchange& exchange, const http::RequestHead& head,
                                    const CallSetup& setup, const StreamFactory& factory) {
  auto* call = new Streaming(dispatcher, exchange, head, setup);
  call->arm_deadline();
  call->make_handler(factory);
  return call;
}

}  // namespace colony::grpc
