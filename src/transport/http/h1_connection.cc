// The input side of an HTTP/1.1 connection: heads, bodies, the order of requests, time limits, and the ways to end.
#include "transport/http/h1_connection.h"

#include <algorithm>

#include "base/check.h"

namespace colony::http {
namespace {

constexpr size_t kDiscardMax = 256 * 1024;  // LIMIT: unwanted input read to keep or to end a connection in order
constexpr Duration kLingerTime = 2s;        // LIMIT: from our end of writing to the client's

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

Http1Connection::~Http1Connection() {
  if (!handler_) return;
  --context_.stats.open_requests;
  std::exchange(handler_, nullptr)->on_done(false);
}

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
    case In::kWhole:
      if (!rest.empty() && !paused_) {
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
  if (seen_ > 0 && rest.size() < kMaxHeadBytes && rest.find('\n', seen_) == rest.npos) {
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
    case ParseState::kBad: refuse(error.status, error.message); return true;
    case ParseState::kNeedMore:
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
  if (head.upgrade && !iequals(head.find("upgrade").value_or(""), "h2c")) {
    refuse(501, "no upgrade of an HTTP/1.1 connection is offered");
    return true;
  }
  used = head.block.size();
  begin(head, rest);
  return true;
}

void Http1Connection::begin(const RequestHead& head, std::string_view rest) {
  ++context_.stats.requests;
  ++context_.stats.open_requests;
  head_request_ = head.method == "HEAD";
  http10_ = head.http10;
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
  const bool nothing_behind = rest.size() == head.block.size();
  pipelined_ = in_ == In::kWhole && !nothing_behind;
  handler_ = context_.service.on_request(*this, head);
  CHECK(handler_ != nullptr);
  if (out_ == Out::kDone) return;
  if (expecting_ && nothing_behind && out_ == Out::kNone) stream_->write("HTTP/1.1 100 Continue\r\n\r\n");
  if (nothing_behind || out_ != Out::kNone) expecting_ = false;
  if (in_ == In::kWhole) handler_->on_end({});
}

// False: the handler has not taken what it was shown; no more until it has.
bool Http1Connection::wait_for_room() {
  if (unconsumed_ < context_.options.body_window) return true;
  if (!paused_) {
    paused_ = true;
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

// Answers a request that cannot be understood, and ends the connection. The request in service, if any, is cancelled.
void Http1Connection::refuse(int status, std::string_view message) {
  ++context_.stats.bad_requests;
  // Nothing is said when a reply has begun, nor in the rest of a body whose request was answered already.
  if (handler_ ? out_ == Out::kNone : in_ == In::kHead) {
    Error error{code_from_http(status), "bad request: " + std::string(message), "bad_request", Origin::kClient};
    const std::string body = error_json(error);
    const std::string head = HeadWriter::reply(status)
                                 .field("content-type", "application/json")
                                 .field("content-length", body.size())
                                 .field("connection", "close")
                                 .finish();
    stream_->write(head);
    stream_->write(body);
  }
  linger();
}

void Http1Connection::finish_request() {
  out_ = Out::kNone;
  since_ = context_.loop.now();
  spare_ = kDiscardMax;
  --context_.stats.open_requests;
  std::exchange(handler_, nullptr)->on_done(ok_);
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
  if (paused_) {
    paused_ = false;
    stream_->resume();
  }
}

// Ends our half; what the client still sends is read for a while, since closing with unread bytes would reset the
// connection and could take the reply with it.
void Http1Connection::linger() {
  if (in_ == In::kLinger || in_ == In::kOver) return;
  in_ = In::kLinger;
  close_after_ = true;
  out_ = Out::kDone;
  spare_ = kDiscardMax;
  since_ = context_.loop.now();
  if (handler_) {
    --context_.stats.open_requests;
    std::exchange(handler_, nullptr)->on_done(false);
  }
  if (peer_ended_ && stream_->pending() == 0) {
    over();
    return;
  }
  stream_->shutdown_write();
  rearm_by(since_ + kLingerTime);
  if (paused_) {
    paused_ = false;
    stream_->resume();
  }
}

void Http1Connection::over() {
  if (in_ == In::kOver) return;
  in_ = In::kOver;
  timer_.cancel();
  if (handler_) {
    --context_.stats.open_requests;
    std::exchange(handler_, nullptr)->on_done(false);
  }
  context_.on_closed(*this);
}

void Http1Connection::on_drained() {
  since_ = context_.loop.now();
  if (in_ == In::kLinger && peer_ended_) {
    over();
  } else if (handler_ && out_ != Out::kDone && wants_room_) {
    wants_room_ = false;
    handler_->on_writable();
  }
}

void Http1Connection::on_end() {
  peer_ended_ = true;
  const bool unanswered = handler_ && out_ != Out::kDone;  // whoever hangs up does not wait for the answer
  if (unanswered || (!handler_ && stream_->pending() == 0)) {
    over();
  } else if (!handler_) {
    linger();
  }
}

void Http1Connection::on_closed(const Error&) { over(); }

void Http1Connection::drain() {
  draining_ = true;
  if (handler_) {
    close_after_ = true;
  } else if (idle()) {
    if (stream_->pending() == 0)
      over();
    else
      linger();
  }
}

void Http1Connection::rearm_by(TimePoint at) {
  if (at < timer_.at()) timer_.arm(at);
}

// One timer for all limits: it comes at the latest when the earliest of them may be due, and looks.
void Http1Connection::on_timer() {
  const TimePoint now = context_.loop.now();
  const ServerOptions& options = context_.options;
  const size_t pending = stream_->pending();
  if (pending != stalled_at_) {
    stalled_at_ = pending;
    if (pending > 0) since_ = now;
  }
  TimePoint due = since_ + options.idle_timeout;
  bool waits_for_client = true;
  switch (in_) {
    case In::kHead: due = std::min(due, seen_ > 0 ? head_since_ + options.head_timeout : due); break;
    case In::kLength:
    case In::kChunked:
      if (!handler_)
        due = head_since_ + options.head_timeout;
      else
        waits_for_client = !paused_ || pending > 0;
      break;
    case In::kWhole: waits_for_client = pending > 0; break;
    case In::kLinger: due = since_ + (pending > 0 ? options.idle_timeout : kLingerTime); break;
    case In::kOver: return;
  }
  if (!waits_for_client) since_ = now, due = now + options.idle_timeout;
  if (now < due) {
    timer_.arm(due);
  } else if (in_ == In::kHead && seen_ > 0) {
    refuse(408, "the head did not become whole in time");
  } else if (handler_ && in_ != In::kWhole && out_ == Out::kNone) {
    refuse(408, "the body did not become whole in time");
  } else {
    over();
  }
}

}  // namespace colony::http
