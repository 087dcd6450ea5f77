// H2Stream: the Exchange of one HTTP/2 request. Reply bytes that are given outside of nghttp2 go from the caller's
// memory into this turn's output in one copy; only what windows hold back is kept.
#include <fmt/core.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "transport/http/h2_connection.h"

namespace colony::http {
namespace {

nghttp2_nv pair(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view s) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(s.data()));  // NOLINT: nghttp2 copies and does not write
  };
  // What is different in every reply would only push out of the table what is not.
  const bool once = name == "x-request-id" || name == "traceparent";
  return {bytes(name), bytes(value), name.size(), value.size(),
          static_cast<uint8_t>(once ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)};
}

// Names in lower case; upper-case ones are rewritten into a buffer that must not move.
class Names {
 public:
  std::string_view lower(std::string_view name, size_t reserve) {
    const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
    if (std::none_of(name.begin(), name.end(), upper)) return name;
    if (buffer_.empty()) buffer_.reserve(reserve);
    const size_t at = buffer_.size();
    CHECK(at + name.size() <= buffer_.capacity());
    for (const char c : name) buffer_.push_back(upper(c) ? static_cast<char>(c | 0x20) : c);
    return std::string_view(buffer_).substr(at);
  }

 private:
  std::string buffer_;
};

uint32_t reset_code(const Error& error) {
  switch (error.code) {
    case Code::kCancelled:
    case Code::kDeadlineExceeded: return NGHTTP2_CANCEL;
    case Code::kResourceExhausted: return NGHTTP2_ENHANCE_YOUR_CALM;
    default: return NGHTTP2_INTERNAL_ERROR;
  }
}

}  // namespace

void H2Stream::reset(int32_t id) {
  next_ = previous_ = nullptr;
  id_ = id;
  head_.reset();
  handler_ = nullptr;
  unconsumed_ = sent_ = 0;
  end_stream_ = request_ended_ = counted_ = refused_ = is_head_ = is_grpc_ = false;
  replied_ = reply_ended_ = reply_sent_ = waiting_ = moved_ = blocked_ = aborted_ = closed_ = false;
  view_ = {};
  for (std::string* s : {&trailers_, &pending_, &reply_trailers_}) {
    if (s->capacity() > 2048) {
      *s = std::string();
    } else {
      s->clear();
    }
  }
}

std::string_view H2Stream::peer() const { return connection_.peer_; }
bool H2Stream::secure() const { return connection_.context_.options.certificates != nullptr; }
async::Loop& H2Stream::loop() { return connection_.context_.loop; }

void H2Stream::reply(std::string_view block, std::string_view body, More more) {
  ReplyHead head;
  ParseError error;
  if (parse_reply_head(block, head, error) != ParseState::kComplete) {
    LOG(error, "a service gave a reply head that cannot be sent: {}", error.message);
    abort(internal_error(fmt::format("the reply's head is broken: {}", error.message), "bad_reply_head"));
    return;
  }
  submit_head(head, body, more);
}

void H2Stream::reply(const ReplyHead& head, std::string_view body, More more) { submit_head(head, body, more); }

void H2Stream::submit_head(const ReplyHead& head, std::string_view body, More more) {
  if (replied_ || closed_ || connection_.over_) return;
  if (head.status < 200) {
    LOG(error, "a service gave status {} as its reply; HTTP/2 has no such final status", head.status);
    abort(internal_error(fmt::format("status {} cannot be a final reply", head.status), "bad_reply_head"));
    return;
  }
  replied_ = true;
  nghttp2_nv list[kMaxFields + 2];
  size_t n = 0;
  Names names;
  const char status[3] = {static_cast<char>('0' + head.status / 100 % 10),
                          static_cast<char>('0' + head.status / 10 % 10), static_cast<char>('0' + head.status % 10)};
  list[n++] = pair(":status", {status, 3});
  bool grpc_status = false;
  for (const Field& f : head.fields()) {
    if (f.hop_by_hop) continue;
    const std::string_view name = names.lower(f.name, head.block.size());
    if (name == "content-length" && head.status == 204) continue;
    grpc_status |= name == "grpc-status";
    list[n++] = pair(name, f.value);
  }
  const bool bodiless = is_head_ || head.bodiless();
  const bool whole = more == More::kNo;
  const std::string length = std::to_string(body.size());
  // A gRPC reply of trailers only has no body to measure.
  if (whole && !head.content_length && !head.bodiless() && !(body.empty() && (grpc_status || is_head_))) {
    list[n++] = pair("content-length", length);
  }
  const bool headers_only = bodiless || (whole && body.empty());
  reply_ended_ = headers_only;
  nghttp2_data_provider provider{.source = {.ptr = this},
                                 .read_callback = [](nghttp2_session* session, int32_t id, uint8_t*, size_t room,
                                                     uint32_t* flags, nghttp2_data_source* source, void*) -> ssize_t {
                                   auto& s = *static_cast<H2Stream*>(source->ptr);
                                   const size_t have = s.buffered();
                                   if (have == 0 && !s.reply_ended_) {
                                     s.waiting_ = true;
                                     return NGHTTP2_ERR_DEFERRED;
                                   }
                                   const size_t take = std::min(have, room);
                                   *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
                                   if (take < have || !s.reply_ended_) return static_cast<ssize_t>(take);
                                   *flags |= NGHTTP2_DATA_FLAG_EOF;
                                   if (s.reply_trailers_.empty()) return static_cast<ssize_t>(take);
                                   *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
                                   nghttp2_nv trailers[kMaxFields];
                                   size_t count = 0;
                                   Names lower;
                                   std::string_view lines = s.reply_trailers_, name, value;
                                   while (count < kMaxFields && next_line(lines, name, value)) {
                                     trailers[count++] = pair(lower.lower(name, s.reply_trailers_.size()), value);
                                   }
                                   nghttp2_submit_trailer(session, id, trailers, count);
                                   return static_cast<ssize_t>(take);
                                 }};
  const int rc = nghttp2_submit_response(connection_.session_, id_, list, n, headers_only ? nullptr : &provider);
  if (rc != 0) {  // the stream is going away; its close comes by itself
    LOG(debug, "reply on stream {}: {}", id_, nghttp2_strerror(rc));
    return;
  }
  give(headers_only ? std::string_view() : body, whole);
}

void H2Stream::give(std::string_view data, bool last) {
  if (buffered() == 0) moved_ = true;  // what is new has not been stuck yet
  view_ = data;
  connection_.buffered_ += data.size();
  reply_ended_ |= last;
  if (waiting_ && (!data.empty() || last)) {
    waiting_ = false;
    nghttp2_session_resume_data(connection_.session_, id_);
  }
  if (!connection_.in_session_) connection_.pull();
  keep_rest();
  connection_.mark_dirty();
}

void H2Stream::keep_rest() {
  if (!view_.empty()) {
    if (sent_ > 0 && sent_ >= pending_.size() / 2) {
      pending_.erase(0, sent_);
      sent_ = 0;
    }
    pending_.append(view_);
    view_ = {};
  }
  if (!reply_ended_) writable();
}

void H2Stream::take(std::string& out, size_t n) {
  connection_.buffered_ -= n;
  moved_ = true;
  const size_t kept = std::min(n, pending_.size() - sent_);
  out.append(pending_, sent_, kept);
  sent_ += kept;
  if (sent_ == pending_.size() && sent_ > 0) {
    sent_ = 0;
    if (pending_.capacity() > 64 * 1024) {
      pending_ = std::string();
    } else {
      pending_.clear();
    }
  }
  if (n > kept) {
    out.append(view_.substr(0, n - kept));
    view_.remove_prefix(n - kept);
  }
}

void H2Stream::body(std::string_view data, More more) {
  if (!replied_ || reply_ended_ || closed_ || aborted_ || connection_.over_) return;
  if (data.empty() && more == More::kYes) return;
  give(data, more == More::kNo);
}

void H2Stream::end(std::string_view trailers) {
  if (!replied_ || reply_ended_ || closed_ || aborted_ || connection_.over_) return;
  std::string_view lines = trailers, name, value;
  while (next_line(lines, name, value)) append_trailer(reply_trailers_, name, value);
  give({}, true);
}

void H2Stream::abort(const Error& error) {
  if (closed_ || aborted_ || reply_sent_ || connection_.over_) return;
  if (!replied_) {
    reply_error(*this, is_grpc_, error);
    aborted_ = true;
    return;
  }
  aborted_ = true;
  nghttp2_submit_rst_stream(connection_.session_, NGHTTP2_FLAG_NONE, id_, reset_code(error));
  connection_.mark_dirty();
}

int64_t H2Stream::writable() const {
  if (closed_ || aborted_ || connection_.over_) return 0;
  const auto held = static_cast<int64_t>(buffered());
  const bool crowded = connection_.buffered_ > H2Connection::kConnectionBuffer;
  const int64_t room = (crowded ? H2Connection::kStreamMinimum : H2Connection::kStreamBuffer) - held;
  if (room <= 0 && !blocked_) {
    blocked_ = true;
    ++connection_.blocked_count_;
  }
  return room;
}

void H2Stream::consumed(size_t bytes) {
  if (closed_ || connection_.over_) return;
  const size_t n = std::min(bytes, unconsumed_);
  if (n == 0) return;
  unconsumed_ -= n;
  nghttp2_session_consume(connection_.session_, id_, n);
  if (!connection_.in_session_) connection_.mark_dirty();
}

}  // namespace colony::http
