// H2Connection: one turn is one nghttp2 read of what has come, then one gathered write of everything that was submitted
// meanwhile, by requests of this connection or by whoever replied to them in the same turn.
#include "transport/http/h2_connection.h"

#include <fmt/core.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "transport/http/h2_callbacks.h"

namespace colony::http {

std::unique_ptr<Connection> serve_http2(std::unique_ptr<async::Stream> stream, ConnectionContext& context) {
  return std::make_unique<H2Connection>(std::move(stream), context);
}

H2Connection::H2Connection(std::unique_ptr<async::Stream> stream, ConnectionContext& context)
    : context_(context),
      stream_(std::move(stream)),
      peer_(stream_->peer()),
      turn_end_(context.loop, [this] { end_of_turn(); }),
      again_timer_(context.loop, [this] { mark_dirty(); }),
      idle_timer_(context.loop, [this] { drain(); }),
      head_timer_(context.loop,
                  [this] {
                    ++context_.stats.bad_requests;
                    terminate(NGHTTP2_ENHANCE_YOUR_CALM);
                  }),
      end_timer_(context.loop,
                 [this] {
                   if (ending_ || lingering_) {
                     finish();
                   } else {
                     final_goaway();
                   }
                 }),
      stall_timer_(context.loop,
                   [this] {
                     const size_t pending = stream_->pending();
                     if (pending == 0) return;
                     if (pending >= stalled_at_) return finish();
                     stalled_at_ = pending;
                     stall_timer_.arm_after(context_.options.idle_timeout);
                   }),
      stuck_timer_(context.loop, [this] { give_up_on_stuck(); }) {
  session_ = new_h2_session(*this, context.options);
  stream_->set_handler(this);
  head_timer_.arm_after(context.options.head_timeout);
  mark_dirty();
}

H2Connection::~H2Connection() {
  if (!over_) {
    over_ = true;
    while (streams_ != nullptr) finish_request(*streams_, false);
  }
  nghttp2_session_del(session_);
}

size_t H2Connection::on_bytes(std::string_view data) {
  if (ending_ || lingering_ || over_) return data.size();
  in_session_ = true;
  const auto rc = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(data.data()), data.size());
  in_session_ = false;
  if (rc < 0 && !ending_) {
    ++context_.stats.bad_requests;
    LOG(debug, "{}: HTTP/2 input refused: {}", peer_, nghttp2_strerror(static_cast<int>(rc)));
    terminate(rc == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
  }
  deliver();
  mark_dirty();
  return data.size();
}

void H2Connection::on_drained() {
  stall_timer_.cancel();
  if (lingering_) end_timer_.arm_after(kLinger);
  mark_dirty();
}

// Nobody speaks HTTP/2 on half a connection: a client that is gone looks like this, and its requests must stop.
void H2Connection::on_end() { finish(); }

void H2Connection::on_closed(const Error&) { finish(); }

void H2Connection::drain() {
  if (draining_ || ending_ || over_) return;
  if (idle())
    final_goaway();
  else
    drain_gently();
}

void H2Connection::drain_gently() {
  if (draining_ || ending_ || over_) return;
  draining_ = true;
  // First "no more, please", and the last id only when the client has surely read that: what it sent meanwhile is served.
  notice_sent_ = true;
  nghttp2_submit_shutdown_notice(session_);
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  end_timer_.arm_after(kDrainNotice);
  mark_dirty();
}

void H2Connection::final_goaway() {
  notice_sent_ = false;
  draining_ = true;
  end_timer_.cancel();
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
  mark_dirty();
}

void H2Connection::terminate(uint32_t h2_error) {
  if (ending_ || over_) return;
  ending_ = true;
  nghttp2_session_terminate_session2(session_, nghttp2_session_get_last_proc_stream_id(session_), h2_error);
  end_timer_.arm_after(kLinger);
  mark_dirty();
}

void H2Connection::charge_reset() {
  if (!guard_.resets.take(context_.loop.now())) terminate(NGHTTP2_ENHANCE_YOUR_CALM);
}

// ---- requests ----

H2Stream* H2Connection::open_stream(int32_t id) {
  std::unique_ptr<H2Stream> fresh;
  if (recycled_.empty()) {
    fresh = std::make_unique<H2Stream>(*this);
  } else {
    fresh = std::move(recycled_.back());
    recycled_.pop_back();
  }
  H2Stream* s = fresh.release();  // owned by the list
  s->reset(id);
  s->next_ = streams_;
  if (streams_ != nullptr) streams_->previous_ = s;
  streams_ = s;
  if (stream_count_++ == 0) idle_timer_.cancel();
  return s;
}

void H2Connection::start_request(H2Stream& s) {
  if (s.refused_) return;
  if (s.head_.too_large()) return refuse(s, 431, "the header list is larger than 64 KiB");
  if (!s.head_.problem().empty()) return refuse(s, 400, s.head_.problem());
  if (s.head_.is_connect()) return refuse(s, 501, "CONNECT is not served");
  RequestHead head;
  ParseError error;
  switch (parse_request_head(s.head_.finish(!s.end_stream_), head, error)) {
    case ParseState::kComplete: break;
    case ParseState::kNeedMore: return refuse(s, 400, "the request's head is broken");
    case ParseState::kBad: return refuse(s, error.status, error.message);
  }
  s.is_head_ = head.method == "HEAD";
  s.is_grpc_ = head.is_grpc();
  s.counted_ = true;
  ++open_requests_;
  ++context_.stats.requests;
  ++context_.stats.open_requests;
  s.handler_ = context_.service.on_request(s, head);
  if (head.expect_continue && !s.end_stream_ && !s.replied_) {
    std::string name = ":status", value = "100";
    const nghttp2_nv status{reinterpret_cast<uint8_t*>(name.data()), reinterpret_cast<uint8_t*>(value.data()),
                            name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
    nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, s.id_, nullptr, &status, 1, nullptr);
  }
  if (s.end_stream_) {
    s.request_ended_ = true;
    s.handler_->on_end({});
  }
}

void H2Connection::refuse(H2Stream& s, int status, std::string_view why) {
  ++context_.stats.bad_requests;
  s.refused_ = true;
  s.request_ended_ = s.end_stream_;
  s.is_head_ = s.head_.method() == "HEAD";
  const std::string_view reason = status == 431 ? limit_name(Limit::kHeadBytes) : "bad_request";
  const std::string body =  // static texts of ours
      fmt::format(R"({{"error":"{}","code":"INVALID_ARGUMENT","reason":"{}"}})", why, reason);
  HeadWriter head = HeadWriter::reply(status);
  head.field("content-type", "application/json").field("x-colony-reason", reason);
  s.reply(head.finish(), body, More::kNo);
}

void H2Connection::close_stream(H2Stream& s) {
  if (s.closed_) return;
  s.closed_ = true;
  if (s.unconsumed_ > 0) nghttp2_session_consume_connection(session_, std::exchange(s.unconsumed_, 0));
  buffered_ -= s.buffered();
  s.pending_.clear();
  s.sent_ = 0;
  s.view_ = {};
  if (s.blocked_) {
    s.blocked_ = false;
    --blocked_count_;
  }
  closed_.push_back(&s);
  if (!s.reply_sent_ && !s.aborted_) charge_reset();
}

void H2Connection::finish_request(H2Stream& s, bool ok) {
  (s.previous_ != nullptr ? s.previous_->next_ : streams_) = s.next_;
  if (s.next_ != nullptr) s.next_->previous_ = s.previous_;
  --stream_count_;
  if (s.counted_) {
    --open_requests_;
    --context_.stats.open_requests;
  }
  s.closed_ = true;
  std::unique_ptr<H2Stream> done(&s);
  if (s.handler_ != nullptr) std::exchange(s.handler_, nullptr)->on_done(ok);
  if (!over_ && recycled_.size() < kRecycled) recycled_.push_back(std::move(done));
}

// ---- output ----

void H2Connection::mark_dirty() {
  if (!over_) turn_end_.schedule();
}

void H2Connection::pull() {
  if (in_session_ || broken_ || over_) return;
  in_session_ = true;
  pull_stopped_ = false;
  const size_t pending = stream_->pending();
  for (;;) {
    if (out_.size() + pending >= kOutbox) {
      pull_stopped_ = true;
      break;
    }
    const uint8_t* bytes = nullptr;
    if (out_.capacity() < 2048) out_.reserve(2048);
    const auto n = nghttp2_session_mem_send(session_, &bytes);
    if (n <= 0) {
      broken_ = n < 0;
      break;
    }
    out_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(n));
  }
  in_session_ = false;
}

bool H2Connection::deliver() {
  if (delivering_) return false;
  delivering_ = true;
  bool any = false;
  while (!closed_.empty()) {
    any = true;
    H2Stream* s = closed_.back();
    closed_.pop_back();
    finish_request(*s, s->reply_sent_ && !s->aborted_);
  }
  if (blocked_count_ > 0) {
    for (H2Stream* s = streams_; s != nullptr; s = s->next_) {
      if (!s->blocked_ || s->closed_ || s->aborted_) continue;
      const int64_t limit = buffered_ > kConnectionBuffer ? kStreamMinimum : kStreamBuffer;
      if (static_cast<int64_t>(s->buffered()) > limit / 2) continue;
      s->blocked_ = false;
      --blocked_count_;
      any = true;
      if (s->handler_ != nullptr) s->handler_->on_writable();
    }
  }
  delivering_ = false;
  return any;
}

void H2Connection::flush() {
  if (out_.empty()) return;
  stream_->write_now(out_);
  if (out_.capacity() > (stream_count_ == 0 ? 2048 : 64 * 1024)) {
    out_ = std::string();
  } else {
    out_.clear();
  }
}

void H2Connection::end_of_turn() {
  if (over_) return;
  for (int round = 0; round < 4; ++round) {
    pull();
    const bool more = deliver();
    if (pull_stopped_ && stream_->pending() == 0) {
      flush();
    } else if (!more) {
      break;
    }
  }
  flush();
  const size_t pending = stream_->pending();
  if (pending > 0) {
    if (!stall_timer_.armed()) {
      stalled_at_ = pending;
      stall_timer_.arm_after(context_.options.idle_timeout);
    }
  } else if (pull_stopped_) {
    again_timer_.arm_after(Duration::zero());
  }
  if (broken_) return finish();
  if (buffered_ > 0 && !stuck_timer_.armed()) stuck_timer_.arm_after(context_.options.idle_timeout);
  if (!lingering_ && nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0) {
    return linger();
  }
  if (stream_count_ == 0 && !idle_timer_.armed() && !closing()) {
    idle_timer_.arm_after(context_.options.idle_timeout);
  }
}

// A client that takes nothing at all is the stall timer's; here the connection moves and a stream does not, because its
// own window is never opened. What it holds of our memory is given back.
void H2Connection::give_up_on_stuck() {
  if (over_ || lingering_) return;
  const bool others_first = pull_stopped_ || stream_->pending() > 0;
  for (H2Stream* s = streams_; s != nullptr; s = s->next_) {
    const bool moved = std::exchange(s->moved_, false);
    if (s->buffered() == 0 || moved || others_first) continue;
    s->abort(deadline_exceeded("the client has not taken any of the reply for too long", "reply_not_taken"));
  }
  if (buffered_ > 0) stuck_timer_.arm_after(context_.options.idle_timeout);
}

// WHY not closed at once: unread bytes in the socket would turn the close into a reset, which can destroy the GOAWAY on
// its way.
void H2Connection::linger() {
  lingering_ = true;
  while (streams_ != nullptr) finish_request(*streams_, streams_->reply_sent_ && !streams_->aborted_);
  closed_.clear();
  stream_->shutdown_write();
  for (async::Timer* t : {&idle_timer_, &head_timer_, &stuck_timer_}) t->cancel();
  // Replies that are still on their way have the time that any reply has; on_drained shortens it.
  end_timer_.arm_after(ending_ || stream_->pending() == 0 ? kLinger : context_.options.idle_timeout);
}

void H2Connection::finish() {
  if (over_) return;
  over_ = true;
  for (async::Timer* t : {&idle_timer_, &head_timer_, &stall_timer_, &stuck_timer_, &end_timer_}) t->cancel();
  while (streams_ != nullptr) finish_request(*streams_, streams_->reply_sent_ && !streams_->aborted_);
  closed_.clear();
  context_.on_closed(*this);
}

}  // namespace colony::http
