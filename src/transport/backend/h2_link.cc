// The connections to one h2c backend and the calls on them. Failures are told at the end of the turn, when neither nghttp2
// nor a callback is on the stack.
#include "transport/backend/h2_link.h"

#include <algorithm>

#include "base/check.h"
#include "transport/http/chunked.h"

namespace colony::backend {
namespace {
constexpr Duration kConnectTimeout = 2s;
constexpr Duration kFirstBackoff = 20ms, kLastBackoff = 1s;
constexpr Duration kLookEvery = 10s;
constexpr size_t kKeepCapacity = 16 * 1024;  // a slot's buffer above this is given back
}  // namespace

std::unique_ptr<frame::Link> connect_h2(async::Loop& loop, async::Endpoint to, Deadline deadline,
                                        frame::Link::Events events) {
  return std::make_unique<H2Link>(loop, std::move(to), deadline, std::move(events));
}

H2Link::H2Link(async::Loop& loop, async::Endpoint to, Deadline deadline, Events events)
    : loop_(loop),
      to_(std::move(to)),
      events_(std::move(events)),
      backoff_(kFirstBackoff),
      turn_end_(loop, [this] { end_of_turn(); }),
      redial_(loop,
              [this] {
                if (!ready_ || !waiting_.empty()) dial(Deadline::after(loop_.now(), kConnectTimeout));
              }),
      look_(loop,
            [this] {
              for (size_t i = wires_.size(); i-- > 0;) wires_[i]->look(loop_.now());
              look_.arm_after(kLookEvery);
            }),
      alive_(std::make_shared<bool>(true)) {
  look_.arm_after(kLookEvery);
  dial(deadline);
}

Error H2Link::error(std::string message, std::string reason, Retry retry) const {
  Error e = unavailable("the backend at " + to_.text + " " + std::move(message), std::move(reason));
  e.origin = Origin::kUpstream;
  e.retry = retry;
  return e;
}

// ---- connections ----

void H2Link::dial(Deadline deadline) {
  ++connecting_;
  loop_.connect(to_, deadline, [this, alive = std::weak_ptr<bool>(alive_)](Result<std::unique_ptr<async::Stream>> s) {
    if (!alive.expired()) on_connected(std::move(s));
  });
}

// One connection at a time: it brings many streams.
void H2Link::dial_as_needed() {
  if (waiting_.empty() || connecting_ > 0 || redial_.armed() || wires_.size() >= kMaxConnections) return;
  dial(Deadline::after(loop_.now(), kConnectTimeout));
}

void H2Link::on_connected(Result<std::unique_ptr<async::Stream>> stream) {
  if (!stream) {
    --connecting_;
    Error why = error("takes no connection: " + stream.error().message, "connect_failed", Retry::kYes);
    if (stream.error().code == Code::kDeadlineExceeded) why.code = Code::kDeadlineExceeded;
    return refused(std::move(why));
  }
  auto wire = std::make_unique<H2Wire>(*this, loop_, std::move(*stream));
  wire->index = wires_.size();
  wires_.push_back(std::move(wire));
  mark_dirty();
}

// A connection counts as made once the backend's SETTINGS have come: so it does speak HTTP/2.
void H2Link::greeted() {
  --connecting_;
  backoff_ = kFirstBackoff;
  down_.reset();
  redial_.cancel();
  const bool news = !std::exchange(ready_, true);
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
  auto& slot = wires_[wire.index];
  dead_.push_back(std::move(slot));
  if (slot = std::move(wires_.back()); slot) slot->index = wire.index;
  wires_.pop_back();
  mark_dirty();
  if (!was_greeted) {
    --connecting_;
    return refused(why);
  }
  if (wires_.empty() && connecting_ == 0) return refused(why);
  dial_as_needed();
}

// ---- calls ----

H2Call* H2Link::find(frame::CallId id) const {
  const auto slot = static_cast<uint32_t>(id);
  if (slot >= calls_.size()) return nullptr;
  H2Call& c = calls_[slot];
  return c.handler && c.generation == id >> 32 ? &c : nullptr;
}

H2Call& H2Link::acquire(std::string_view body, bool end, Deadline deadline, frame::CallHandler& handler) {
  uint32_t slot = static_cast<uint32_t>(calls_.size());
  if (free_.empty()) {
    calls_.emplace_back(slot);
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  H2Call& c = calls_[slot];
  c.handler = &handler;
  c.stream = -1;
  c.deadline = deadline;
  c.body.assign(body);
  c.sent = c.unconsumed = c.interim = 0;
  c.ended = end;
  c.deferred = c.wants_room = c.replied = false;
  for (std::string* s : {&c.block, &c.trailers, &c.head, &c.reply_trailers}) s->clear();
  ++open_;
  return c;
}

frame::CallHandler& H2Link::release(H2Call& c) {
  ++c.generation;
  c.wire = nullptr;
  if (c.doom) {
    c.doom.reset();
    --doomed_;
  }
  if (c.body.capacity() > kKeepCapacity) std::string().swap(c.body);
  free_.push_back(c.slot);
  --open_;
  return *std::exchange(c.handler, nullptr);
}

void H2Link::doom(H2Call& c, Error why) {
  if (c.doom) return;
  if (c.wire != nullptr)
    std::exchange(c.wire, nullptr)->forget(c, true);
  else
    std::erase(waiting_, &c);
  c.doom = std::move(why);
  ++doomed_;
  mark_dirty();
}

frame::CallId H2Link::call_block(std::string_view block, std::string_view body, bool end, Deadline deadline,
                                 frame::CallHandler& handler) {
  H2Call& c = acquire(body, end, deadline, handler);
  http::RequestHead head;
  http::ParseError problem;
  if (http::parse_request_head(block, head, problem) == http::ParseState::kComplete) {
    c.ended |= head.upgrade;  // no tunnels here: it is asked without, and nothing follows
    start(c, head);
  } else {
    doom(c, error("cannot be sent this head: " + std::string(problem.message), "bad_head", Retry::kNo));
  }
  return uint64_t{c.generation} << 32 | c.slot;
}

frame::CallId H2Link::call(const http::RequestHead& head, std::string_view extra, std::string_view body, bool end,
                           Deadline deadline, frame::CallHandler& handler) {
  std::string block;
  http::append_forwardable(block, head, extra);
  return call_block(block, body, end, deadline, handler);
}

void H2Link::start(H2Call& c, const http::RequestHead& head) {
  if (!ready_) return doom(c, down_ ? *down_ : error("has no connection yet", "link_down", Retry::kYes));
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
      CHECK(http::parse_request_head(c.block, head, problem) == http::ParseState::kComplete);
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

void H2Link::cancel(frame::CallId id) {
  H2Call* c = find(id);
  if (c == nullptr) return;
  if (c->wire != nullptr)
    std::exchange(c->wire, nullptr)->forget(*c, true);
  else if (!c->doom)
    std::erase(waiting_, c);
  release(*c);
}

void H2Link::end_of_turn() {
  for (size_t i = wires_.size(); i-- > 0;)
    if (i < wires_.size()) wires_[i]->end_of_turn();
  dead_.clear();
  for (size_t i = 0; doomed_ > 0 && i < calls_.size(); ++i) {
    if (!calls_[i].handler || !calls_[i].doom) continue;
    const Error why = *calls_[i].doom;
    release(calls_[i]).on_failed(why);
  }
  // They may be sent to this backend again, on a new one.
  if (std::exchange(stale_, false) && ready_ && events_.on_ready) events_.on_ready();
  if (!down_ || ready_ || connecting_ > 0) return;
  if (wires_.empty() && open_ == 0) {
    const Error why = *down_;
    if (events_.on_closed) events_.on_closed(why);  // this may be gone now
    return;
  }
  try_again_later();
}

void H2Link::try_again_later() {
  if (redial_.armed()) return;
  redial_.arm_after(backoff_);
  backoff_ = std::min<Duration>(backoff_ * 2, kLastBackoff);
}

}  // namespace colony::backend
