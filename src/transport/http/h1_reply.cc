// The reply side of an HTTP/1.1 connection: Exchange's verbs as bytes. The usual reply (length known, nothing to drop)
// leaves in one call, straight from the memory where the service holds it.
#include <charconv>
#include <cstring>

#include "base/log.h"
#include "transport/http/h1_connection.h"

namespace colony::http {
namespace {

constexpr int64_t kReplyWindow = 256 * 1024;   // LIMIT: reply bytes that wait for the client
constexpr size_t kDirect = 4096;               // from here on a call to the kernel is cheaper than a copy
constexpr uint64_t kWorthReading = 64 * 1024;  // rest of a request body that is read to keep the connection

bool follows(std::string_view a, std::string_view b) { return a.data() + a.size() == b.data(); }

// The lines that a connection adds to a head; they fit, whichever they are.
struct Lines {
  char text[128];
  size_t size = 0;
  void add(std::string_view s) {
    std::memcpy(text + size, s.data(), s.size());
    size += s.size();
  }
  void add_length(uint64_t n) {
    add("content-length: ");
    size = static_cast<size_t>(std::to_chars(text + size, text + sizeof text, n).ptr - text);
    add("\r\n");
  }
  std::string_view view() const { return {text, size}; }
};

}  // namespace

void Http1Connection::send(std::string_view a, std::string_view b) {
  // Pipelined: more answers follow in this turn, and leave together.
  const Leave leave = pipelined_ ? Leave::kLater : Leave::kNow;
  if (b.empty() || follows(a, b))
    put({a.data(), a.size() + b.size()}, leave);
  else
    put(a, b, leave);
}

// All that is written goes through here: what waits for the client is timed from when something begins to wait.
void Http1Connection::put(std::string_view a, std::string_view b, Leave leave) {
  const bool nothing_waited = stream_->pending() == 0;
  written_ += a.size() + b.size();
  if (leave == Leave::kNow) {
    stream_->write_now(a, b);
  } else {
    stream_->write(a);
    if (!b.empty()) stream_->write(b);
  }
  const size_t pending = stream_->pending();
  if (pending == 0 || !nothing_waited) return;
  span_since_ = context_.loop.now();
  left_at_span_ = written_ - pending;
  rearm_by(span_since_ + context_.options.send_timeout);
}

// The reply is complete. The request ends when no call of the service is on the stack any more.
void Http1Connection::reply_whole() {
  out_ = Out::kDone;
  if (!in_callback_) finish_.schedule();
}

// What was sent cannot be completed: the client must see that it is short.
void Http1Connection::give_up() {
  ok_ = false;
  cut_ = true;
  reset_ = out_ == Out::kUntilClose;
  reply_whole();
}

void Http1Connection::reply(std::string_view block, std::string_view body, More more) {
  ReplyHead head;
  ParseError error;
  const ParseState state = parse_reply_head(block, head, error);
  if (state != ParseState::kComplete || head.block.size() != block.size()) {
    const std::string_view why = state == ParseState::kBad        ? error.message
                                 : state == ParseState::kNeedMore ? "it is not whole"
                                                                  : "bytes follow its empty line";
    LOG(error, "a service's reply head is malformed: {}", why);
    abort(internal_error("the reply's head is malformed: " + std::string(why), "bad_reply"));
    return;
  }
  reply(head, body, more);
}

void Http1Connection::reply(const ReplyHead& head, std::string_view body, More more) {
  if (!handler_ && !in_callback_) return;
  if (out_ != Out::kNone) return;
  std::string& scratch = context_.scratch;
  scratch.clear();
  if (head.status < 200) {
    if (head.status == 101) return switch_protocols(head, body);
    if (head.status == 100) return go_on();
    if (http10_) return;  // HTTP/1.0 knows no interim answers
    append_forwardable(scratch, head, {});
    send(scratch, {});
    return;
  }
  const bool no_body = head_request_ || head.bodiless();
  const bool whole = more == More::kNo;
  if (whole && !no_body && head.content_length && *head.content_length != body.size()) {
    LOG(error, "a reply's content-length is {} but its body has {} bytes", *head.content_length, body.size());
    return abort(internal_error("the reply's content-length does not match its body", "bad_reply"));
  }

  Lines lines;
  if (no_body) {
    out_ = Out::kNoBody;
    if (!head.bodiless() && !head.content_length && whole && !body.empty()) lines.add_length(body.size());
  } else if (head.content_length) {
    out_ = Out::kLength;
    out_left_ = *head.content_length;
  } else if (whole) {
    out_ = Out::kLength;
    out_left_ = body.size();
    lines.add_length(body.size());
  } else if (http10_) {
    out_ = Out::kUntilClose;
    close_after_ = true;
  } else {
    out_ = Out::kChunked;
    lines.add("transfer-encoding: chunked\r\n");
  }
  const bool body_due = in_ == In::kChunked || (in_ == In::kLength && in_left_ > kWorthReading);
  if (expecting_ || (whole && body_due)) close_after_ = true;  // the body that was held back may or may not come
  if (close_after_ || draining_) {
    lines.add("connection: close\r\n");
  } else if (http10_) {
    lines.add("connection: keep-alive\r\n");
  }

  std::string_view text = head.block;
  if (lines.size > 0 || head.has_hop_fields() || head.http10) {
    append_forwardable(scratch, head, lines.view());
    if (head.http10) scratch[7] = '1';
    text = scratch;
  }
  switch (out_) {
    case Out::kLength:
      if (body.size() > out_left_) {
        LOG(error, "a reply's body is longer than its content-length");
        send(text, body.substr(0, out_left_));
        return give_up();
      }
      out_left_ -= body.size();
      send(text, body);
      break;
    case Out::kUntilClose: send(text, body); break;
    case Out::kChunked:
      if (body.empty()) {
        send(text, {});
      } else {
        put(text, Leave::kLater);
        send_chunk(body, More::kYes);
      }
      break;
    case Out::kNoBody: send(text, {}); break;
    default: break;
  }
  if (whole) reply_whole();
}

// The connection is the service's from here on. Bytes that the client sent on before it had this answer are still with the
// stream.
void Http1Connection::switch_protocols(const ReplyHead& head, std::string_view first) {
  const auto protocol = head.find("upgrade");
  if (!upgrade_ || !protocol) {
    LOG(error, "a service switches protocols {}", protocol ? "unasked" : "without saying to which");
    return abort(internal_error("a reply of status 101 does not fit the request", "bad_reply"));
  }
  const std::string lines = "connection: upgrade\r\nupgrade: " + std::string(*protocol) + "\r\n";
  append_forwardable(context_.scratch, head, lines);
  in_ = In::kTunnel;
  out_ = Out::kTunnel;
  close_after_ = true;
  pipelined_ = false;
  since_ = context_.loop.now();
  send(context_.scratch, first);
  rearm_by(since_ + context_.options.tunnel_idle);
  read_on();
}

void Http1Connection::send_chunk(std::string_view data, More more) {
  if (!data.empty()) {
    char size[kChunkHeadBytes];
    put({size, write_chunk_head(size, data.size())}, Leave::kLater);
    put(data, Leave::kLater);
    put("\r\n", Leave::kLater);
  }
  if (more == More::kNo) put("0\r\n\r\n", Leave::kLater);
}

void Http1Connection::body(std::string_view data, More more) {
  switch (out_) {
    case Out::kNone: return abort(internal_error("the service gave a body before a head", "bad_reply"));
    case Out::kTunnelEnded:
    case Out::kDone: return;
    case Out::kTunnel:
      since_ = context_.loop.now();
      if (!data.empty()) put(data, Leave::kNow);
      if (more == More::kNo) end({});
      return;
    case Out::kNoBody: break;
    case Out::kChunked: send_chunk(data, more); break;
    case Out::kLength:
      if (data.size() > out_left_ || (more == More::kNo && data.size() < out_left_)) {
        LOG(error, "a reply's body does not have the length that its head gave");
        put(data.substr(0, out_left_), Leave::kLater);
        return give_up();
      }
      out_left_ -= data.size();
      [[fallthrough]];
    case Out::kUntilClose: put(data, data.size() >= kDirect ? Leave::kNow : Leave::kLater);
  }
  if (more == More::kNo) reply_whole();
}

void Http1Connection::end(std::string_view trailers) {
  switch (out_) {
    case Out::kNone: return abort(internal_error("the service ended a reply without a head", "bad_reply"));
    case Out::kTunnelEnded:
    case Out::kDone: return;
    case Out::kTunnel:
      stream_->shutdown_write();
      out_ = Out::kTunnelEnded;
      if (in_ == In::kTunnel) {
        linger_since_ = context_.loop.now();
        return rearm_by(linger_since_ + kTunnelRest);
      }
      break;
    case Out::kChunked:
      put("0\r\n", Leave::kLater);
      if (valid_trailers(trailers))
        put(trailers, Leave::kLater);
      else
        LOG(error, "a service's reply trailers are malformed and were left out");
      put("\r\n", Leave::kLater);
      break;
    case Out::kLength:
      if (out_left_ > 0) {
        LOG(error, "a reply's body is shorter than its content-length");
        return give_up();
      }
      break;
    case Out::kNoBody:
    case Out::kUntilClose: break;
  }
  reply_whole();
}

void Http1Connection::abort(const Error& error) {
  if (out_ == Out::kDone || (!handler_ && !in_callback_)) return;
  ok_ = false;
  if (out_ != Out::kNone) return give_up();
  reply_error(*this, false, error);
}

int64_t Http1Connection::writable() const {
  const int64_t room = kReplyWindow - static_cast<int64_t>(stream_->pending());
  if (room <= 0) wants_room_ = true;
  return room;
}

void Http1Connection::consumed(size_t bytes) {
  unconsumed_ -= std::min(bytes, unconsumed_);
  const bool reading = in_ == In::kLength || in_ == In::kChunked || in_ == In::kTunnel;
  if (!paused_ || !reading || unconsumed_ > context_.options.body_window / 2) return;
  paused_ = false;
  body_since_ += context_.loop.now() - held_since_;
  rearm_by(body_due());
  stream_->resume();
}

}  // namespace colony::http
