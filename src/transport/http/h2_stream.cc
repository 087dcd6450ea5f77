// H2Stream: the Exchange of one HTTP/2 request. Bytes of a reply go from the caller's memory into this turn's output in one
// copy; only what windows hold back is kept.
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/log.h"
#include "transport/http/h2_connection.h"

namespace colony::http {
namespace {

// Eight bytes a step; `name` is a token, so all of them are below 0x80.
bool has_upper(std::string_view name) {
  constexpr uint64_t kOnes = 0x0101010101010101u, kHigh = 0x8080808080808080u;
  const auto hit = [](uint64_t x) { return ((x + kOnes * (0x80 - 'A')) & ~(x + kOnes * (0x7f - 'Z')) & kHigh) != 0; };
  const char* p = name.data();
  size_t left = name.size();
  uint64_t x = 0;
  for (; left >= 8; p += 8, left -= 8) {
    std::memcpy(&x, p, 8);
    if (hit(x)) return true;
  }
  for (; left > 0; --left, ++p)
    if (*p >= 'A' && *p <= 'Z') return true;
  return false;
}

std::string lower_case(std::string_view name) {
  std::string out(name);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return out;
}

H2Error reset_error(const Error& error) {
  switch (error.code) {
    case Code::kCancelled:
    case Code::kDeadlineExceeded: return H2Error::kCancel;
    case Code::kResourceExhausted: return H2Error::kEnhanceYourCalm;
    default: return H2Error::kInternal;
  }
}

// A header block straight into the output. What it takes is known at most, so it is written without a look at the room; a
// block that is longer than a frame (rare) is split afterwards.
class BlockWriter {
 public:
  // `room`: names and values of `fields` fields.
  BlockWriter(std::string& out, HpackEncoder& encoder, size_t fields, size_t room)
      : out_(out), encoder_(encoder), start_(out.size()) {
    const size_t most = kH2FrameHead + HpackEncoder::kBegin + room + fields * HpackEncoder::kPerField;
    out_.resize_and_overwrite(start_ + most, [](char*, size_t n) { return n; });
    to_ = encoder_.begin(out_.data() + start_ + kH2FrameHead);
  }
  void status(int status) { to_ = encoder_.status(to_, status); }
  void field(std::string_view name, std::string_view value) {
    to_ = has_upper(name) ? encoder_.field(to_, lower_case(name), value) : encoder_.field(to_, name, value);
  }
  void finish(uint32_t stream, bool end_stream) {
    char* const head = out_.data() + start_;
    const auto size = static_cast<size_t>(to_ - head) - kH2FrameHead;
    const uint8_t end = end_stream ? h2_flag::kEndStream : 0;
    if (size <= kH2MaxFrame) {
      h2_put_head(head, size, H2Type::kHeaders, h2_flag::kEndHeaders | end, stream);
      out_.resize(start_ + kH2FrameHead + size);
      return;
    }
    const std::string block(head + kH2FrameHead, size);
    out_.resize(start_);
    for (size_t at = 0; at < size; at += kH2MaxFrame) {
      const std::string_view piece = std::string_view(block).substr(at, kH2MaxFrame);
      const uint8_t last = at + piece.size() == size ? h2_flag::kEndHeaders : 0;
      const bool first = at == 0;
      h2_append_head(out_, piece.size(), first ? H2Type::kHeaders : H2Type::kContinuation, first ? last | end : last,
                     stream);
      out_.append(piece);
    }
  }

 private:
  std::string& out_;
  HpackEncoder& encoder_;
  const size_t start_;
  char* to_;
};

}  // namespace

void H2Stream::reset(H2Connection& connection, uint32_t id) {
  connection_ = &connection;
  next_ = previous_ = next_ready_ = previous_ready_ = nullptr;
  id_ = id;
  handler_ = nullptr;
  unconsumed_ = credit_ = sent_ = 0;
  received_ = left_in_span_ = 0;
  length_.reset();
  held_since_ = span_since_ = TimePoint::max();
  request_ended_ = counted_ = expecting_ = is_head_ = is_grpc_ = false;
  replied_ = reply_ended_ = reply_sent_ = ready_ = blocked_ = aborted_ = closed_ = false;
}

// Before it waits to be used again.
void H2Stream::trim() {
  for (std::string* s : {&pending_, &reply_trailers_}) {
    if (s->capacity() > 2048) {
      *s = std::string();
    } else {
      s->clear();
    }
  }
}

std::string_view H2Stream::peer() const { return connection_->peer_; }
bool H2Stream::secure() const { return connection_->context_.options.certificates != nullptr; }
async::Loop& H2Stream::loop() { return connection_->context_.loop; }

void H2Stream::reply(std::string_view block, std::string_view body, More more) {
  ReplyHead head;
  ParseError error;
  if (parse_reply_head(block, head, error) != ParseState::kComplete) {
    LOG(error, "a service gave a reply head that cannot be sent: {}", error.message);
    abort(internal_error(fmt::format("the reply's head is broken: {}", error.message), "bad_reply_head"));
    return;
  }
  reply(head, body, more);
}

void H2Stream::reply(const ReplyHead& head, std::string_view body, More more) {
  H2Connection& c = *connection_;
  if (replied_ || closed_ || c.over_ || c.lingering_) return;
  if (head.status < 200) return interim(head);
  replied_ = true;
  BlockWriter block(c.out(), c.encoder_, head.count + 1, head.block.size() + 40);
  block.status(head.status);
  bool grpc_status = false;
  for (const Field& f : head.fields()) {
    if (f.hop_by_hop) continue;
    grpc_status |= f.name.size() == 11 && iequals(f.name, "grpc-status");
    block.field(f.name, f.value);
  }
  const bool bodiless = is_head_ || head.bodiless();
  const bool whole = more == More::kNo;
  // A gRPC reply of trailers only has no body to measure.
  if (whole && !head.content_length && !head.bodiless() && !(body.empty() && (grpc_status || is_head_))) {
    char digits[24];
    const auto digits_end = std::to_chars(std::begin(digits), std::end(digits), body.size()).ptr;
    block.field("content-length", {std::begin(digits), digits_end});
  }
  const bool headers_only = bodiless || (whole && body.empty());
  // WHY not while the outbox is full: the stream would be over, and its client could begin one more that is answered.
  const bool ends_here = headers_only && !c.outbox_full();
  block.finish(id_, ends_here);
  c.guard_.control.earn(1);
  c.mark_dirty();
  if (ends_here) {
    reply_ended_ = true;
    finish_sending();
  } else {
    give(headers_only ? std::string_view() : body, whole || headers_only);
  }
}

// Several may come before the reply. A client that reads nothing gets none.
void H2Stream::interim(const ReplyHead& head) {
  H2Connection& c = *connection_;
  if (head.status == 101) {
    LOG(error, "a service gave status 101 as its reply; HTTP/2 has no such status");
    return abort(internal_error("status 101 cannot be a reply", "bad_reply_head"));
  }
  if (head.status == 100) return go_on();
  if (c.outbox_full()) return;
  BlockWriter block(c.out(), c.encoder_, head.count + 1, head.block.size());
  block.status(head.status);
  for (const Field& f : head.fields())
    if (!f.hop_by_hop) block.field(f.name, f.value);
  block.finish(id_, false);
  c.mark_dirty();
}

void H2Stream::go_on() {
  if (!std::exchange(expecting_, false)) return;
  H2Connection& c = *connection_;
  body_since_ = c.context_.loop.now();
  BlockWriter block(c.out(), c.encoder_, 1, 0);
  block.status(100);
  block.finish(id_, false);
  c.mark_dirty();
}

void H2Stream::give(std::string_view data, bool last) {
  H2Connection& c = *connection_;
  reply_ended_ |= last;
  if (buffered() == 0) {
    while (!c.outbox_full()) {
      const int64_t room = std::min<int64_t>({window_, c.send_window_, int64_t{kH2MaxFrame}});
      const size_t n = std::min(data.size(), static_cast<size_t>(std::max<int64_t>(room, 0)));
      const bool end = n == data.size() && reply_ended_;
      if (n == 0 && !end) break;
      send_data(data.substr(0, n), end);
      if (end) return;
      data.remove_prefix(n);
    }
  }
  if (!data.empty()) {
    if (buffered() == 0) {
      span_since_ = c.context_.loop.now();
      left_in_span_ = 0;
    }
    if (sent_ > 0 && sent_ >= pending_.size() / 2) {
      pending_.erase(0, sent_);
      sent_ = 0;
    }
    pending_.append(data);
    c.work_->buffered += data.size();
  }
  if (sendable()) c.queue(*this);
  if (!reply_ended_) writable();
  c.mark_dirty();
}

bool H2Stream::send_kept() {
  H2Connection& c = *connection_;
  const size_t have = buffered();
  const int64_t room = std::min<int64_t>({window_, c.send_window_, int64_t{kH2MaxFrame}});
  const size_t n = std::min(have, static_cast<size_t>(std::max<int64_t>(room, 0)));
  if (n == 0 && have > 0) return false;
  const std::string_view piece = std::string_view(pending_).substr(sent_, n);
  sent_ += n;
  c.work_->buffered -= n;
  if (n == have) span_since_ = TimePoint::max();
  // What is sent last closes the stream, which clears pending_; its bytes have been copied by then.
  send_data(piece, n == have && reply_ended_);
  if (n == have && !closed_) {
    sent_ = 0;
    if (pending_.capacity() > 64 * 1024) {
      pending_ = std::string();
    } else {
      pending_.clear();
    }
  }
  return true;
}

// One DATA frame, and with `last` what ends the reply.
void H2Stream::send_data(std::string_view data, bool last) {
  H2Connection& c = *connection_;
  const bool trailers = last && !reply_trailers_.empty();
  std::string& out = c.out();
  if (!data.empty() || (last && !trailers)) {
    h2_append_head(out, data.size(), H2Type::kData, last && !trailers ? h2_flag::kEndStream : 0, id_);
    out.append(data);
    const auto n = static_cast<int64_t>(data.size());
    window_ -= n;
    c.send_window_ -= static_cast<int32_t>(n);
    left_in_span_ += data.size();
    c.guard_.control.earn(1);
    c.guard_.windows.earn(H2Guard::kWindowsPerData);
  }
  if (trailers) {
    BlockWriter block(out, c.encoder_, kMaxFields, reply_trailers_.size());
    std::string_view lines = reply_trailers_, name, value;
    for (size_t n = 0; n < kMaxFields && next_line(lines, name, value); ++n) block.field(name, value);
    block.finish(id_, true);
    c.guard_.control.earn(1);
  }
  c.mark_dirty();
  if (last) finish_sending();
}

void H2Stream::finish_sending() {
  H2Connection& c = *connection_;
  reply_sent_ = true;
  c.guard_.resets.earn(1);
  if (!request_ended_ && !c.work_->is_last_of(id_)) c.await_end(id_);
  c.close_stream(*this);
}

void H2Stream::body(std::string_view data, More more) {
  if (!replied_ || reply_ended_ || closed_ || aborted_ || connection_->over_) return;
  if (data.empty() && more == More::kYes) return;
  give(data, more == More::kNo);
}

void H2Stream::end(std::string_view trailers) {
  if (!replied_ || reply_ended_ || closed_ || aborted_ || connection_->over_) return;
  std::string_view lines = trailers, name, value;
  while (next_line(lines, name, value)) append_trailer(reply_trailers_, name, value);
  give({}, true);
}

void H2Stream::abort(const Error& error) {
  if (closed_ || aborted_ || reply_sent_ || connection_->over_) return;
  if (!replied_) {
    reply_error(*this, is_grpc_, error);
    aborted_ = true;
    return;
  }
  aborted_ = true;
  connection_->reset_stream(*this, reset_error(error));
}

int64_t H2Stream::writable() const {
  H2Connection& c = *connection_;
  if (closed_ || aborted_ || c.over_) return 0;
  const bool crowded = c.work_->buffered > H2Connection::kConnectionBuffer;
  const int64_t room =
      (crowded ? H2Connection::kStreamMinimum : H2Connection::kStreamBuffer) - static_cast<int64_t>(buffered());
  if (room <= 0 && !blocked_) {
    blocked_ = true;
    ++c.work_->blocked_count;
  }
  return room;
}

void H2Stream::consumed(size_t bytes) {
  if (closed_ || connection_->over_) return;
  const size_t n = std::min(bytes, unconsumed_);
  if (n == 0) return;
  unconsumed_ -= n;
  connection_->give_back(this, n);
}

}  // namespace colony::http
