// The input side of an HTTP/1.1 connection: heads, bodies, the order of requests, time limits, and the ways to end.
#include "transport/http/h1_connection.h"

#include <algorithm>

#include "base/check.h"

namespace colony::http {
namespace {

constexpr size_t kDiscardMax = 256 * 1024;  // LIMIT: unwanted input read to keep or to end a connection in order
constexpr size_t kAheadMost = 16 * 1024;    // LIMIT: input behind a request in service; more is not read

}  // namespace

std::unique_ptr<Connection> serve_http1(std::unique_ptr<async::Stream> stream, ConnectionContext& context) {
  return std::make_unique<Http1Connection>(std::move(stream), context);
}

Http1Connection::Http1Connection(std::unique_ptr<async::Stream> stream, ConnectionContext& context)
    : context_(context),
      stream_(std::move(stream)),
      peer_(stream_->peer()),
      timer_(context.loop, [this] { on_timer(); }),
      finish_(context.loop,
              [this] {
                if (handler_ && out_ == Out::kDone) finish_request();
              }),
      since_(context.loop.now()) {
  stream_->set_handler(this);
  timer_.arm(since_ + context_.options.idle_timeout);
}

Http1Connection::~Http1Connection() { cut_all(); }

size_t Http1Connection::on_bytes(std::string_view data) {
  since_ = context_.loop.now();
  in_callback_ = true;
  size_t used = 0;
  for (bool more = true; more;) {
    size_t n = 0;
    more = step(data.substr(used), n);
    used += n;
  }
  in_callback_ = false;
  return used;
}

bool Http1Connection::step(std::string_view rest, size_t& used) {
  if (handler_ && out_ == Out::kDone) {
    finish_request();
    return true;
  }
  switch (in_) {
    case In::kHead: return take_head(rest, used);
    case In::kLength: return take_length(rest, used);
    case In::kChunked: return take_chunk(rest, used);
    case In::kTunnel: return take_tunnel(rest, used);
    case In::kWhole:
      // WHY not paused at the first byte: the client's end, behind it, would not be seen.
      ahead_ = !rest.empty();
      if (rest.size() >= kAheadMost && !paused_) {
        paused_ = true;
        stream_->pause();
      }
      return false;
    case In::kLinger:
      used = rest.size();
      if (!discard(rest.size())) over();
      return false;
    case In::kOver: used = rest.size(); return false;
  }
  return false;
}

bool Http1Connection::take_head(std::string_view rest, size_t& used) {
  // A head that dribbles in is parsed again only when a line has come to its end.
  const size_t max_head = context_.options.max_head_bytes;
  if (seen_ > 0 && rest.size() < max_head && rest.find('\n', seen_) == rest.npos) {
    seen_ = rest.size();
    return false;
  }
  if (rest.empty()) return false;
  if (rest[0] == '\r' && !skipped_empty_line_) {  // some clients send one after a body (RFC 9112, 2.2)
    if (rest.size() > 1 && rest[1] == '\n') {
      skipped_empty_line_ = true;
      used = 2;
      return true;
    }
    if (rest.size() == 1) {
      seen_ = 0;
      return false;
    }
  }
  RequestHead head;
  ParseError error;
  switch (parse_request_head(rest, head, error)) {
    case ParseState::kComplete: break;
    case ParseState::kBad:
      if (error.status == 431)
        refuse_large_head(rest, error.message);
      else
        refuse(error.status, error.message);
      return true;
    case ParseState::kNeedMore:
      if (rest.size() >= max_head) {
        refuse_large_head(rest, "the head is larger than the limit");
        return true;
      }
      if (seen_ == 0) {
        head_since_ = since_;
        rearm_by(since_ + context_.options.head_timeout);
      }
      seen_ = rest.size();
      return false;
  }
  seen_ = 0;
  skipped_empty_line_ = false;
  head_since_ = TimePoint::max();
  head_request_ = head.method == "HEAD";
  if (over_limit(head)) return true;
  used = head.block.size();
  begin(head, rest);
  return true;
}

void Http1Connection::begin(const RequestHead& head, std::string_view rest) {
  ++context_.stats.requests;
  ++context_.stats.open_requests;
  http10_ = head.http10;
  upgrade_ = head.upgrade;
  close_after_ = head.close || draining_ || context_.draining;
  ok_ = true;
  unconsumed_ = 0;
  wants_room_ = false;
  expecting_ = head.expect_continue && head.has_body();
  out_ = Out::kNone;
  if (head.chunked) {
    in_ = In::kChunked;
    decoder_.reset();
  } else if (head.has_body()) {
    in_ = In::kLength;
    in_left_ = *head.content_length;
  } else {
    in_ = In::kWhole;
  }
  if (in_ != In::kWhole) {
    body_got_ = 0;
    body_since_ = since_;
    rearm_by(since_ + context_.options.body_timeout);
  }
  const bool nothing_behind = rest.size() == head.block.size();
  pipelined_ = in_ == In::kWhole && !nothing_behind;
  handler_ = context_.service.on_request(*this, head);
  CHECK(handler_ != nullptr);
  if (out_ == Out::kDone) return;
  if (!nothing_behind || out_ != Out::kNone) expecting_ = false;
  if (!context_.options.relay_continue) go_on();
  if (in_ == In::kWhole || in_ == In::kTunnel) handler_->on_end({});
}

// Tells a client that holds its body back to send it.
void Http1Connection::go_on() {
  if (!std::exchange(expecting_, false)) return;
  body_since_ = context_.loop.now();
  rearm_by(body_due());
  put("HTTP/1.1 100 Continue\r\n\r\n", Leave::kNow);
}

// False: the handler has not taken what it was shown; no more until it has.
bool Http1Connection::wait_for_room() {
  if (unconsumed_ < context_.options.body_window) return true;
  if (!paused_) {
    paused_ = true;
    held_since_ = context_.loop.now();
    stream_->pause();
  }
  return false;
}

// For bytes that nobody wants. False: too many.
bool Http1Connection::discard(size_t bytes) {
  if (bytes > spare_) return false;
  spare_ -= bytes;
  return true;
}

void Http1Connection::give_body(std::string_view data) {
  expecting_ = false;
  if (!handler_) {
    if (!discard(data.size())) linger();
    return;
  }
  body_got_ += data.size();
  if (in_ == In::kChunked && over_body_limit(body_got_)) return;
  unconsumed_ += data.size();
  handler_->on_body(data);
}

void Http1Connection::give_end(std::string_view trailers) {
  if (handler_) {
    in_ = In::kWhole;
    if (out_ != Out::kDone) handler_->on_end(trailers);
  } else if (in_ != In::kLinger) {
    in_ = In::kHead;
    if (draining_) linger();
  }
}

bool Http1Connection::take_length(std::string_view rest, size_t& used) {
  if (rest.empty()) return false;
  if (handler_ && !wait_for_room()) return false;
  const uint64_t room = handler_ ? context_.options.body_window - unconsumed_ : rest.size();
  used = std::min<uint64_t>({in_left_, rest.size(), room});
  in_left_ -= used;
  const bool whole = in_left_ == 0;
  if (whole) pipelined_ = rest.size() > used;
  give_body(rest.substr(0, used));
  if (whole) give_end({});
  return true;
}

bool Http1Connection::take_chunk(std::string_view rest, size_t& used) {
  if (rest.empty()) return false;
  if (handler_ && !wait_for_room()) return false;
  std::string_view piece;
  const size_t room = handler_ ? context_.options.body_window - unconsumed_ : rest.size();
  switch (decoder_.next(rest, used, piece, room)) {
    case ChunkedDecoder::Event::kNeedMore:
      if (!handler_ && !discard(used)) linger();
      return false;
    case ChunkedDecoder::Event::kData: give_body(piece); return true;
    case ChunkedDecoder::Event::kEnd:
      pipelined_ = rest.size() > used;
      give_end(piece);
      return true;
    case ChunkedDecoder::Event::kBad: refuse(400, piece); return true;
  }
  return false;
}

bool Http1Connection::take_tunnel(std::string_view rest, size_t& used) {
  if (rest.empty() || !wait_for_room()) return false;
  used = std::min(rest.size(), context_.options.body_window - unconsumed_);
  unconsumed_ += used;
  handler_->on_body(rest.substr(0, used));
  return true;
}

// Answers a request that cannot be understood, and ends the connection. The request in service, if any, is cancelled.
void Http1Connection::refuse(int status, std::string_view message, Limit limit) {
  context_.stats.hit(limit);
  refuse(status, message, limit_name(limit));
}

void Http1Connection::refuse(int status, std::string_view message, std::string_view reason) {
  ++context_.stats.bad_requests;
  // Nothing is said when a reply has begun, nor in the rest of a body whose request was answered already.
  if (handler_ ? out_ == Out::kNone : in_ == In::kHead) {
    Error error{code_from_http(status), "bad request: " + std::string(message), std::string(reason), Origin::kClient};
    const std::string body = error_json(error);
    const std::string head = HeadWriter::reply(status)
                                 .field("content-type", "application/json")
                                 .field("content-length", body.size())
                                 .field("connection", "close")
                                 .field("x-colony-reason", reason)
                                 .finish();
    put(head, Leave::kLater);
    if (!head_request_) put(body, Leave::kLater);
  }
  linger();
}

void Http1Connection::finish_request() {
  out_ = Out::kNone;
  head_request_ = false;  // what comes next and cannot be understood is no HEAD
  since_ = context_.loop.now();
  spare_ = kDiscardMax;
  --context_.stats.open_requests;
  std::exchange(handler_, nullptr)->on_done(ok_);
  if (reset_) return over();
  if (cut_ || close_after_ || draining_ || peer_ended_) {
    linger();
    return;
  }
  if (in_ == In::kWhole) {
    in_ = In::kHead;
  } else {
    head_since_ = since_;
    rearm_by(since_ + context_.options.head_timeout);
  }
  read_on();
}

// Shows what was left with the stream, and what comes.
void Http1Connection::read_on() {
  if (!paused_ && !ahead_) return;
  paused_ = ahead_ = false;
  stream_->resume();
}

// The request in service ends before its reply is whole.
void Http1Connection::cut_request() {
  if (!handler_) return;
  reset_ |= out_ == Out::kUntilClose;
  --context_.stats.open_requests;
  std::exchange(handler_, nullptr)->on_done(false);
}

// The connection ends with what it holds.
void Http1Connection::cut_all() {
  cut_request();
  if (reset_ || stream_->pending() > 0) stream_->reset_when_closed();
}

// Ends our half; what the client still sends is read for a while, since closing with unread bytes would reset the
// connection and could take the reply with it.
void Http1Connection::linger() {
  if (in_ == In::kLinger || in_ == In::kOver) return;
  in_ = In::kLinger;
  close_after_ = true;
  spare_ = kDiscardMax;
  since_ = linger_since_ = context_.loop.now();
  cut_request();
  out_ = Out::kDone;
  if (reset_ || (peer_ended_ && stream_->pending() == 0)) return over();
  stream_->shutdown_write();
  rearm_by(since_ + kLingerTime);
  read_on();
}

void Http1Connection::over() {
  if (in_ == In::kOver) return;
  in_ = In::kOver;
  timer_.cancel();
  cut_all();
  context_.on_closed(*this);
}

void Http1Connection::on_drained() {
  since_ = context_.loop.now();
  span_since_ = TimePoint::max();
  if (out_ == Out::kTunnelEnded) {
    linger_since_ = since_;
    rearm_by(since_ + kTunnelRest);
  }
  if (in_ == In::kLinger && peer_ended_) {
    over();
  } else if (handler_ && out_ != Out::kDone && wants_room_) {
    wants_room_ = false;
    handler_->on_writable();
  }
}

void Http1Connection::on_end() {
  peer_ended_ = true;
  if (in_ == In::kTunnel) {
    in_ = In::kWhole;
    in_callback_ = true;
    if (out_ != Out::kDone) handler_->on_end({});
    in_callback_ = false;
    if (out_ == Out::kTunnelEnded) out_ = Out::kDone;
    if (handler_ && out_ == Out::kDone) finish_request();
    return;
  }
  const bool unanswered = handler_ && out_ != Out::kDone;  // whoever hangs up does not wait for the answer
  if (unanswered || (!handler_ && stream_->pending() == 0)) {
    over();
  } else if (!handler_) {
    linger();
  }
}

// A body that is held back, or what lies behind the request, need not be read for this.
void Http1Connection::on_end_follows() {
  if (handler_ && out_ != Out::kDone && in_ != In::kTunnel) over();
}

void Http1Connection::on_closed(const Error&) { over(); }

void Http1Connection::drain() {
  draining_ = true;
  if (handler_) {
    close_after_ = true;
    if (out_ == Out::kTunnel) handler_->on_drain();
  } else if (idle()) {
    if (stream_->pending() == 0)
      over();
    else
      linger();
  }
}

}  // namespace colony::http
