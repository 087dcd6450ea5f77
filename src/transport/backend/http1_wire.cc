// Replies of one connection, read strictly: what a server means by its bytes must be beyond doubt, because they are
// framed anew for the client. Bodies are shown from the memory that the stream was read into.
#include <algorithm>
#include <cctype>
#include <charconv>

#include "transport/backend/http1_link.h"
#include "transport/http/head_grammar.h"

namespace colony::backend {
namespace {

// Keep-Alive: timeout=N of a server that says how long it waits; a second is left for the way.
Duration patience_of(const http::ReplyHead& head) {
  if (!head.has_hop_fields()) return Http1Link::kIdle;
  const auto value = head.find("keep-alive");
  if (!value) return Http1Link::kIdle;
  constexpr std::string_view kName = "timeout=";
  const size_t at = value->find(kName);
  if (at == std::string_view::npos) return Http1Link::kIdle;
  uint32_t seconds = 0;
  std::from_chars(value->data() + at + kName.size(), value->data() + value->size(), seconds);
  return seconds == 0 ? Duration::zero() : std::min<Duration>(Http1Link::kIdle, seconds * 1s - 1s);
}

// Whether every protocol of a 101's Upgrade is among those that were asked for (RFC 9110, 7.8).
bool offered(std::string_view asked, std::string_view granted) {
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  return http::grammar::for_each_option(granted, [&](std::string_view protocol) {
    return !http::grammar::for_each_option(
        asked, [&](std::string_view one) { return !std::ranges::equal(protocol, one, same); });
  });
}

}  // namespace

Http1Wire::Http1Wire(Http1Link& link, std::unique_ptr<async::Stream> stream)
    : idle_limit(Http1Link::kIdle), link_(link), stream_(std::move(stream)) {
  stream_->set_handler(this);
}

void Http1Wire::begin(Http1Call& call) {
  call_ = &call;
  call.wire = this;
  phase_ = Phase::kHead;
  heard_ = false;
  interim_ = 0;
}

void Http1Wire::consumed(size_t bytes) {
  unconsumed_ -= std::min(bytes, unconsumed_);
  if (!paused_ || unconsumed_ > kReplyWindow / 2) return;
  paused_ = false;
  stream_->resume();
}

size_t Http1Wire::on_bytes(std::string_view data) {
  if (closed_) return data.size();
  if (call_ == nullptr) {  // nobody asked
    link_.drop_wire(*this);
    return data.size();
  }
  heard_ = true;
  size_t used = 0;
  const Http1Call* const call = call_;
  const uint32_t generation = call->generation;
  const auto same = [&] { return !closed_ && call_ == call && call->generation == generation; };
  while (same() && used < data.size()) {
    const std::string_view rest = data.substr(used);
    if (phase_ == Phase::kHead ? !read_head(rest, used) : !read_body(rest, used)) break;
  }
  return closed_ ? data.size() : used;
}

bool Http1Wire::read_head(std::string_view data, size_t& used) {
  http::ReplyHead head;
  http::ParseError error;
  switch (http::parse_reply_head(data, head, error)) {
    case http::ParseState::kNeedMore: return false;
    case http::ParseState::kBad: bad(error.message); return false;
    case http::ParseState::kComplete: break;
  }
  const size_t size = head.block.size();
  const std::string_view rest = data.substr(size);
  if (head.status == 101) {
    if (!call_->upgrade || !head.upgrade || !offered(call_->asked, head.find("upgrade").value_or(""))) {
      bad("it changes to another protocol, which was not asked for");
      return false;
    }
    used = used + size + rest.size();
    phase_ = Phase::kTunnel;
    call_->tunnel = true;
    unconsumed_ += rest.size();
    Http1Call& call = *call_;
    const uint32_t generation = call.generation;
    call.handler->on_reply(head, rest, false);
    if (!closed_ && call.generation == generation) link_.granted(call);
    return true;
  }
  if (head.status < 200) {
    used += size;
    return read_interim(head, rest);
  }
  keep_ = !head.close;
  idle_limit = patience_of(head);
  if (call_->head_request || head.bodiless()) {
    used += size;
    finish(rest.size()).on_reply(head, rest.substr(0, 0), true);
    return false;
  }
  if (head.chunked) {
    phase_ = Phase::kChunked;
    decoder_.reset();
  } else if (head.content_length) {
    phase_ = Phase::kLength;
    left_ = *head.content_length;
  } else {
    phase_ = Phase::kUntilClose;
    keep_ = false;
  }
  if (phase_ == Phase::kChunked) {
    used += size;
    call_->handler->on_reply(head, rest.substr(0, 0), false);
    return true;
  }
  const std::string_view body =
      phase_ == Phase::kLength ? rest.substr(0, std::min<uint64_t>(left_, rest.size())) : rest;
  used += size + body.size();
  left_ -= phase_ == Phase::kLength ? body.size() : 0;
  if (phase_ == Phase::kLength && left_ == 0) {
    finish(rest.size() - body.size()).on_reply(head, body, true);
    return false;
  }
  unconsumed_ += body.size();
  call_->handler->on_reply(head, body, false);
  return true;
}

bool Http1Wire::read_interim(const http::ReplyHead& head, std::string_view rest) {
  interim_ += head.block.size();
  if (interim_ > Http1Link::kMaxInterim) {
    bad("its interim replies are larger than 64 KiB together");
    return false;
  }
  if (head.content_length || head.chunked) {
    bad("an interim reply that speaks of a body");
    return false;
  }
  call_->handler->on_reply(head, rest.substr(0, 0), false);
  return true;
}

bool Http1Wire::read_body(std::string_view data, size_t& used) {
  switch (phase_) {
    case Phase::kHead: return false;
    case Phase::kTunnel:
      used += data.size();
      if (!call_->reply_ended) show(data);
      return false;
    case Phase::kUntilClose:
      used += data.size();
      show(data);
      return false;
    case Phase::kLength: {
      const std::string_view piece = data.substr(0, std::min<uint64_t>(left_, data.size()));
      used += piece.size();
      left_ -= piece.size();
      if (left_ > 0) {
        show(piece);
        return false;
      }
      finish(data.size() - piece.size()).on_body(piece, true);
      return false;
    }
    case Phase::kChunked: break;
  }
  size_t n = 0;
  std::string_view piece;
  const auto event = decoder_.next(data, n, piece);
  used += n;
  switch (event) {
    case http::ChunkedDecoder::Event::kNeedMore: return false;
    case http::ChunkedDecoder::Event::kData: show(piece); return true;
    case http::ChunkedDecoder::Event::kEnd: finish(data.size() - n).on_end(piece); return false;
    case http::ChunkedDecoder::Event::kBad: bad(piece); return false;
  }
  return false;
}

void Http1Wire::show(std::string_view piece) {
  if (piece.empty()) return;
  unconsumed_ += piece.size();
  call_->handler->on_body(piece, false);
  if (closed_ || paused_ || unconsumed_ <= kReplyWindow) return;
  paused_ = true;
  stream_->pause();
}

frame::CallHandler& Http1Wire::finish(size_t rest) {
  const bool reuse = keep_ && rest == 0 && (call_->ended || call_->upgrade);
  frame::CallHandler& handler = link_.release(*call_);
  call_ = nullptr;
  unconsumed_ = 0;
  if (paused_) {
    paused_ = false;
    stream_->resume();
  }
  used_before_ = true;
  if (reuse)
    link_.free_wire(*this);
  else
    link_.drop_wire(*this);
  return handler;
}

void Http1Wire::on_drained() {
  if (closed_ || call_ == nullptr) return;
  link_.end_tunnel_if_over(*call_);
  if (!call_->wants_room) return;
  call_->wants_room = false;
  call_->handler->on_writable();
}

void Http1Wire::on_end() { lost(nullptr); }
void Http1Wire::on_closed(const Error& error) { lost(&error); }

// The server ended the connection (`why` null) or it broke.
void Http1Wire::lost(const Error* why) {
  if (closed_) return;
  if (call_ == nullptr) return link_.drop_wire(*this);
  if (phase_ == Phase::kTunnel) return tunnel_lost(why);
  if (why == nullptr && phase_ == Phase::kUntilClose) {
    finish(0).on_end({});
    return;
  }
  const std::string text = why ? ": " + why->message : std::string();
  if (heard_) {
    link_.doom(*call_, link_.error("ended the connection inside its reply" + text, "reply_cut", Retry::kNo));
  } else {
    // A connection that had rested may have been ended before the request came: the server has seen nothing of it.
    const Retry retry = used_before_ && call_->safe ? Retry::kYes : Retry::kIfFresh;
    link_.stale_ |= retry == Retry::kYes;
    link_.doom(*call_, link_.error("ended the connection before it answered" + text, "link_broken", retry));
  }
}

// A tunnel whose backend has ended its half and is gone then, as servers do that close both at once, is over when the
// client's half ends as well.
void Http1Wire::tunnel_lost(const Error* why) {
  Http1Call& call = *call_;
  if (why != nullptr && !call.reply_ended)
    return link_.doom(call, link_.error("broke the tunnel: " + why->message, "reply_cut", Retry::kNo));
  gone_ |= why != nullptr;
  const uint32_t generation = call.generation;
  if (!std::exchange(call.reply_ended, true)) call.handler->on_end({});
  if (!closed_ && call.generation == generation) link_.end_tunnel_if_over(call);
}

void Http1Wire::bad(std::string_view why) {
  link_.doom(*call_, link_.error("sent a malformed reply: " + std::string(why), "bad_reply", Retry::kNo));
}

}  // namespace colony::backend
