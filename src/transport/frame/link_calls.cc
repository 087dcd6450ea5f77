// The calls of a framed link: slots, what a call sends, and what comes back to it. One write per turn carries what all calls
// of that turn have to say; replies are shown from the memory that the stream was read into.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "transport/frame/framed_link.h"

namespace colony::frame {
namespace {

uint32_t timeout_ms(Deadline deadline, TimePoint now) {
  if (deadline.is_never()) return 0;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(deadline.left(now)).count();
  return static_cast<uint32_t>(std::clamp<int64_t>(ms, 1, UINT32_MAX));
}

}  // namespace

FramedLink::Call& FramedLink::acquire(CallHandler& handler) {
  uint32_t slot = 0;
  const bool fits = ready() && (!free_.empty() || calls_.size() < max_calls_);
  std::vector<uint32_t>& from = fits || spare_.empty() ? free_ : spare_;
  if (from.empty()) {
    slot = static_cast<uint32_t>(calls_.size());
    calls_.push_back(std::make_unique<Call>(slot));
  } else {
    slot = from.back();
    from.pop_back();
  }
  Call& c = *calls_[slot];
  c.handler = &handler;
  c.doomed = !fits;
  c.replied = c.tunnel = c.reply_ended = false;
  if (++open_ == 2 && shared_) shared_->gather(true);
  return c;
}

CallHandler& FramedLink::release(Call& c) {
  CallHandler& handler = *std::exchange(c.handler, nullptr);
  ++c.generation;
  if ((c.generation & 0xffff) == 0) ++c.generation;  // 0 would make slot 0's stream number that of the connection
  c.out.reset();
  c.in.reset();
  (c.slot < max_calls_ ? free_ : spare_).push_back(c.slot);
  if (--open_ == 1 && shared_) shared_->gather(false);
  return handler;
}

// write_head(header, first): the head's frame with what of the body may travel in it.
template <class WriteHead>
CallId FramedLink::start(std::string_view body, bool end, Deadline deadline, CallHandler& handler,
                         WriteHead write_head) {
  Call& c = acquire(handler);
  if (c.doomed) {
    doom_.schedule();
    return id_of(c);
  }
  const size_t first = c.out.first(body.size());
  const bool whole = end && first == body.size();
  Header h{};
  h.type = Type::kRequest;
  h.stream = wire(c);
  h.time = timeout_ms(deadline, loop_.now());
  h.flags = whole ? kFlagEnd : uint8_t{0};
  write_head(h, body.substr(0, first));
  c.out.sent(first, whole);
  if (!whole) send(c, body.substr(first), end);
  return id_of(c);
}

CallId FramedLink::call(const http::RequestHead& head, std::string_view extra, std::string_view body, bool end,
                        Deadline deadline, CallHandler& handler) {
  return start(body, end, deadline, handler,
               [&](const Header& h, std::string_view first) { write_head_frame(*stream_, h, head, extra, first); });
}

CallId FramedLink::call_block(std::string_view block, std::string_view body, bool end, Deadline deadline,
                              CallHandler& handler) {
  return start(body, end, deadline, handler,
               [&](const Header& h, std::string_view first) { write_block_frame(*stream_, h, block, first); });
}

void FramedLink::send_cancel(uint32_t stream) {
  Header h{};
  h.type = Type::kCancel;
  h.stream = stream;
  write_frame(*stream_, h);
}

int64_t FramedLink::writable(CallId id) const {
  Call* c = find(id);
  return c && !c->doomed ? c->out.writable() : 0;
}

// WHY no more is done without memory than elsewhere: whoever calls keeps to writable(), so that little waits here.
void FramedLink::send(Call& call, std::string_view data, bool end) {
  CHECK(call.out.send(*stream_, wire(call), data, end));
}

void FramedLink::body(CallId id, std::string_view data, bool end) {
  Call* c = find_live(id);
  if (!c) return;
  send(*c, data, end);
  end_tunnel_if_over(*c);
}

void FramedLink::end(CallId id, std::string_view trailers) {
  Call* c = find_live(id);
  if (!c) return;
  const bool good = trailers.size() <= http::kMaxTrailerBytes && http::valid_trailers(trailers);
  c->out.end(*stream_, wire(*c), good ? trailers : std::string_view{});
  end_tunnel_if_over(*c);
}

void FramedLink::consumed(CallId id, size_t reply_bytes) {
  if (Call* c = find_live(id)) c->in.consumed(*stream_, wire(*c), reply_bytes);
}

void FramedLink::cancel(CallId id) {
  Call* c = find(id);
  if (!c) return;
  if (!c->doomed && stream_) send_cancel(wire(*c));
  release(*c);
}

void FramedLink::drain(CallId id) {
  const Call* c = find_live(id);
  if (!c || !c->tunnel) return;
  Header h{};
  h.type = Type::kDrain;
  h.stream = wire(*c);
  write_frame(*stream_, h);
}

bool FramedLink::take_credit(Call& call, uint32_t bytes) {
  const bool* gone = gone_;
  if (call.out.grant(*stream_, wire(call), bytes))
    call.handler->on_writable();
  else
    end_tunnel_if_over(call);
  return !*gone && !closed_;
}

// Both halves have ended and nothing waits for credit any more.
void FramedLink::end_tunnel_if_over(Call& call) {
  if (call.tunnel && call.reply_ended && call.out.ended()) release(call).on_tunnel_over();
}

// The reply cannot be passed on; the call fails and the replica is told to stop. Other calls are not concerned.
bool FramedLink::bad_reply(Call& call, std::string_view why) {
  const bool* gone = gone_;
  send_cancel(wire(call));
  Error error = internal_error("the replica's reply head is malformed: " + std::string(why), "bad_reply");
  error.origin = Origin::kUpstream;
  release(call).on_failed(error);
  return !*gone && !closed_;
}

bool FramedLink::take_reply(Call& call, const Header& header, std::string_view payload) {
  const bool* gone = gone_;
  if (call.replied) return bad_peer("a second reply to one call");
  const std::string_view block = payload.substr(0, header.head_len), body = payload.substr(header.head_len);
  if (!call.in.take(body.size())) return bad_peer("a reply's body exceeds its credit");
  http::ReplyHead head;
  http::ParseError error;
  const http::ParseState state = http::parse_inner_reply_head(block, head, error);
  if (state == http::ParseState::kBad) return bad_reply(call, error.message);
  if (state == http::ParseState::kNeedMore || head.block.size() != block.size())
    return bad_reply(call, "it is not one whole head");
  if (head.status < 200) {
    if ((header.flags & kFlagEnd) != 0) return bad_reply(call, "an interim reply that ends the call");
    if (head.status != 101 && !body.empty()) return bad_reply(call, "an interim reply with a body");
    if (head.status == 101 && call.out.ended()) return bad_reply(call, "a tunnel for a request that has ended");
    call.replied = call.tunnel = head.status == 101;
    call.handler->on_reply(head, body, false);
    return !*gone && !closed_;
  }
  call.replied = true;
  busy_ns_ = header.time;
  if ((header.flags & kFlagEnd) != 0)
    release(call).on_reply(head, body, true);
  else
    call.handler->on_reply(head, body, false);
  return !*gone && !closed_;
}

bool FramedLink::take_body(Call& call, const Header& header, std::string_view payload) {
  const bool* gone = gone_;
  if (!call.replied) return bad_peer("a reply's body without its head");
  if (!call.in.take(payload.size())) return bad_peer("a reply's body exceeds its credit");
  if (call.reply_ended) return bad_peer("a tunnel's bytes after their end");
  const bool end = (header.flags & kFlagEnd) != 0;
  if (call.tunnel) {
    const CallId id = id_of(call);
    if (!payload.empty()) call.handler->on_body(payload, false);
    if (*gone || closed_) return false;
    return end && find(id) == &call ? take_end(call, {}) : true;
  }
  if (end)
    release(call).on_body(payload, true);
  else
    call.handler->on_body(payload, false);
  return !*gone && !closed_;
}

bool FramedLink::take_end(Call& call, std::string_view trailers) {
  const bool* gone = gone_;
  if (!call.replied) return bad_peer("a reply's end without its head");
  if (!http::valid_trailers(trailers)) return bad_peer("a reply's trailers are malformed");
  if (call.tunnel) {
    if (std::exchange(call.reply_ended, true)) return bad_peer("a tunnel ends twice");
    const CallId id = id_of(call);
    call.handler->on_end({});
    if (*gone || closed_) return false;
    if (Call* still = find(id)) end_tunnel_if_over(*still);
    return !*gone && !closed_;
  }
  release(call).on_end(trailers);
  return !*gone && !closed_;
}

bool FramedLink::take_cancel(Call& call, std::string_view payload) {
  const bool* gone = gone_;
  Error error = internal_error("the replica broke the call off", "reply_cut");
  error.origin = Origin::kUpstream;
  if (!payload.empty()) {
    const auto code = static_cast<uint8_t>(payload[0]);
    if (code > 0 && code <= static_cast<uint8_t>(Code::kUnauthenticated)) error.code = Code{code};
    if (payload.size() > 1) error.message += ": " + std::string(payload.substr(1));
  }
  release(call).on_failed(error);
  return !*gone && !closed_;
}

void FramedLink::fail_doomed() {
  bool own = false, *outer = std::exchange(gone_, &own);
  const bool full = ready();
  Error error =
      full ? resource_exhausted("the link to " + to_.text + " already carries all the calls that the replica takes",
                                "link_full")
           : unavailable("the link to " + to_.text + " is not ready", "link_down");
  error.retry = Retry::kYes;
  for (size_t i = 0; i < calls_.size(); ++i) {
    if (!calls_[i]->handler || !calls_[i]->doomed) continue;
    release(*calls_[i]).on_failed(error);
    if (own) return;
  }
  gone_ = outer;
}

}  // namespace colony::frame
