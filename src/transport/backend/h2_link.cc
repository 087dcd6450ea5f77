// The connections to one h2c backend and the calls on them. Failures are told at the end of the turn, when neither nghttp2
// nor a callback is on the stack.
#include "transport/backend/h2_link.h"

#include <algorithm>

#include "base/check.h"
#include "transport/http/chunked.h"

namespace colony::backend {
namespace {
constexpr Duration kLookEvery = 10s;
constexpr size_t kKeepCapacity = 16 * 1024;  // a slot's buffer above this is given back
}  // namespace

std::unique_ptr<frame::Link> connect_h2(async::Loop& loop, async::Endpoint to, Deadline deadline,
                                        frame::Link::Events events) {
  return std::make_unique<H2Link>(loop, std::move(to), deadline, std::move(events));
}

H2Link::H2Link(async::Loop& loop, async::Endpoint to, Deadline deadline, Events events)
    : LinkBase(loop, std::move(to), std::move(events)), look_(loop, [this] {
        for (size_t i = wires_.size(); i-- > 0;) wires_[i]->look(loop_.now());
        look_.arm_after(kLookEvery);
      }) {
  look_.arm_after(kLookEvery);
  dial(deadline);
}

void H2Call::clear() {
  stream = -1;
  deadline = Deadline::never();
  if (body.capacity() > kKeepCapacity) std::string().swap(body);
  sent = unconsumed = interim = 0;
  ended = deferred = wants_room = replied = reset = false;
  for (std::string* s : {&block, &body, &trailers, &head, &reply_trailers}) s->clear();
}

// ---- connections ----

// One connection at a time: it brings many streams.
void H2Link::dial_as_needed() {
  if (waiting_.empty() || connecting_ > 0 || tries_again_later() || wires_.size() >= kMaxConnections) return;
  dial();
}

void H2Link::on_connected(Result<std::unique_ptr<async::Stream>> stream) {
  if (!stream) {
    --connecting_;
    return refused(no_connection(stream.error()));
  }
  add(std::make_unique<H2Wire>(*this, loop_, std::move(*stream)));
  mark_dirty();
}

// A connection counts as made once the backend's SETTINGS have come: so it does speak HTTP/2.
void H2Link::greeted() {
  --connecting_;
  const bool news = opened();
  serve_waiting();
  if (news && events_.on_ready) events_.on_ready();
}

void H2Link::refused(Error why) {
  down_ = std::move(why);
  ready_ = std::any_of(wires_.begin(), wires_.end(), [](const auto& w) { return w->greeted() && !w->leaving(); });
  if (!ready_)
    while (!waiting_.empty()) doom(*waiting_.back(), *down_);
  else if (!waiting_.empty())  // for a stream of those connections, or for another try
    try_again_later();
  mark_dirty();
}

void H2Link::drop_wire(H2Wire& wire, const Error& why) {
  const bool was_greeted = wire.greeted();
  wire.close();
  for (H2Call& c : calls_)
    if (c.handler && c.wire == &wire) doom(c, why);
  bury(wire);
  if (!was_greeted) {
    --connecting_;
    return refused(why);
  }
  if (wires_.empty() && connecting_ == 0) return refused(why);
  dial_as_needed();
}

// ---- calls ----

frame::CallId H2Link::call(const http::RequestHead& head, std::string_view extra, std::string_view body, bool end,
                           Deadline deadline, frame::CallHandler& handler) {
  std::string block;
  http::append_forwardable(block, head, extra);
  return call_block(block, body, end, deadline, handler);
}

void H2Link::start(H2Call& c, const http::RequestHead& head, std::string_view, std::string_view body, bool end,
                   Deadline deadline) {
  c.deadline = deadline;
  c.body.assign(body);
  c.ended = end || head.upgrade;  // no tunnels here: it is asked without, and nothing follows
  if (!ready_) return doom(c, not_ready());
  for (const auto& w : wires_)
    if (w->takes_calls() && w->submit(c, head)) return mark_dirty();
  c.block.assign(head.block);
  waiting_.push_back(&c);
  dial_as_needed();
}

void H2Link::serve_waiting() {
  for (size_t i = 0; i < wires_.size() && !waiting_.empty(); ++i)
    while (!waiting_.empty() && wires_[i]->takes_calls()) {
      H2Call& c = *waiting_.front();
      http::RequestHead head;
      http::ParseError problem;
      CHECK(http::parse_inner_request_head(c.block, head, problem) == http::ParseState::kComplete);
      if (!wires_[i]->submit(c, head)) break;
      waiting_.pop_front();
      mark_dirty();
    }
  dial_as_needed();
}

int64_t H2Link::writable(frame::CallId id) const {
  const H2Call* c = find(id);
  if (c == nullptr || c->doom) return 0;
  const int64_t room = kRequestWindow - static_cast<int64_t>(c->buffered());
  c->wants_room |= room <= 0;
  return room;
}

void H2Link::body(frame::CallId id, std::string_view data, bool end) {
  H2Call* c = find(id);
  if (c == nullptr || c->doom || c->ended) return;
  if (c->sent > 0 && c->sent >= c->body.size() / 2) {
    c->body.erase(0, c->sent);
    c->sent = 0;
  }
  c->body += data;
  c->ended = end;
  if (c->wire != nullptr) c->wire->resume(*c);
}

void H2Link::end(frame::CallId id, std::string_view trailers) {
  H2Call* c = find(id);
  if (c == nullptr || c->doom || c->ended) return;
  c->ended = true;
  if (trailers.size() <= http::kMaxTrailerBytes) c->trailers.assign(trailers);
  if (c->wire != nullptr) c->wire->resume(*c);
}

void H2Link::consumed(frame::CallId id, size_t reply_bytes) {
  if (H2Call* c = find(id); c != nullptr && c->wire != nullptr) c->wire->consumed(*c, reply_bytes);
}

void H2Link::before_failures() {
  for (size_t i = wires_.size(); i-- > 0;)
    if (i < wires_.size()) wires_[i]->end_of_turn();
}

}  // namespace colony::backend
