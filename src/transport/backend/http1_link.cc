// The pool of connections to one HTTP/1.1 backend. A request leaves in one write, straight from the memory where the
// proxy holds it; failures are told at the end of the turn, when no callback is on the stack.
#include "transport/backend/http1_link.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/check.h"
#include "base/log.h"

namespace colony::backend {
namespace {

constexpr Duration kLookEvery = 1s;   // at idle connections
constexpr size_t kMostDialling = 64;  // LIMIT: connections that are being made at once
// WHY it is looked at here too: what a server takes for the next request is what follows the length that it was told.
constexpr std::string_view kWrongLength = "its body does not have the length that its head says";
constexpr size_t kSmallChunk = 4096;  // up to here a copy is cheaper than another call to the kernel

bool is_safe(std::string_view m) { return m == "GET" || m == "HEAD" || m == "OPTIONS" || m == "PUT" || m == "DELETE"; }

}  // namespace

std::unique_ptr<frame::Link> connect_http1(async::Loop& loop, async::Endpoint to, Deadline deadline,
                                           frame::Link::Events events) {
  return std::make_unique<Http1Link>(loop, std::move(to), deadline, std::move(events));
}

Http1Link::Http1Link(async::Loop& loop, async::Endpoint to, Deadline deadline, Events events)
    : LinkBase(loop, std::move(to), std::move(events)), idle_timer_(loop, [this] { expire_idle(); }) {
  dial(deadline);
}

void Http1Call::clear() {
  if (kept.capacity() > kSmallChunk)
    std::string().swap(kept);
  else
    kept.clear();
  left = 0;
  chunked = ended = head_request = safe = upgrade = tunnel = reply_ended = wants_room = false;
}

// ---- connections ----

void Http1Link::dial_as_needed() {
  while (ready_ && connecting_ < waiting_.size() && connecting_ < kMostDialling &&
         wires_.size() + connecting_ < kMaxConnections)
    dial();
}

void Http1Link::on_connected(Result<std::unique_ptr<async::Stream>> stream) {
  --connecting_;
  if (!stream) {
    down_ = no_connection(stream.error());
    ready_ = false;
    while (waiting_.size() > connecting_) doom(*waiting_.back(), *down_);
    return mark_dirty();
  }
  free_wire(add(std::make_unique<Http1Wire>(*this, std::move(*stream))));
  if (opened() && events_.on_ready) events_.on_ready();
}

void Http1Link::free_wire(Http1Wire& wire) {
  if (!waiting_.empty()) return serve_waiting(wire);
  if (idle_.size() >= kMaxIdle || wire.idle_limit <= Duration::zero()) return drop_wire(wire);
  wire.idle_since = loop_.now();
  idle_.push_back(&wire);
  if (!idle_timer_.armed()) idle_timer_.arm_after(kLookEvery);
}

void Http1Link::serve_waiting(Http1Wire& wire) {
  Http1Call& call = *waiting_.front();
  waiting_.pop_front();
  wire.begin(call);
  wire.write(call.kept, {});
  call.kept.clear();
  if (call.kept.capacity() > kSmallChunk) std::string().swap(call.kept);
  dial_as_needed();
  if (!call.wants_room || wire.room() <= 0) return;
  call.wants_room = false;
  call.handler->on_writable();
}

void Http1Link::drop_wire(Http1Wire& wire) {
  std::erase(idle_, &wire);
  bury(wire);
  dial_as_needed();
}

void Http1Link::expire_idle() {
  const TimePoint now = loop_.now();
  const std::vector<Http1Wire*> resting = idle_;
  for (Http1Wire* w : resting)
    if (now - w->idle_since >= w->idle_limit) drop_wire(*w);
  if (!idle_.empty()) idle_timer_.arm_after(kLookEvery);
}

bool Http1Link::take_idle(Http1Call& call) {
  if (idle_.empty()) return false;
  Http1Wire& wire = *idle_.back();
  const Duration rested = loop_.now() - wire.idle_since;
  if (rested >= (call.safe ? wire.idle_limit : std::min(wire.idle_limit, kIdleUnsafe))) return false;
  idle_.pop_back();
  wire.begin(call);
  return true;
}

// ---- calls ----

frame::CallId Http1Link::call(const http::RequestHead& head, std::string_view extra, std::string_view body, bool end,
                              Deadline deadline, frame::CallHandler& handler) {
  Http1Call& c = acquire(handler);
  start(c, head, extra, body, end, deadline);
  return c.id();
}

void Http1Link::start(Http1Call& c, const http::RequestHead& head, std::string_view extra, std::string_view body,
                      bool end, Deadline) {
  if (!ready_) return doom(c, not_ready());
  c.left = head.content_length.value_or(body.size());
  if (end ? body.size() != c.left : body.size() > c.left) return doom(c, not_sendable(kWrongLength));
  c.left -= body.size();
  c.safe = is_safe(head.method);
  c.head_request = head.method == "HEAD";
  c.ended = end;
  c.upgrade = head.upgrade;
  c.chunked = !end && !head.content_length && !c.upgrade;
  if (!take_idle(c)) {
    waiting_.push_back(&c);
    dial_as_needed();
  }
  // A body that is here already waits for no 100 Continue.
  const bool drop_expect = head.expect_continue && (end || !body.empty());
  char length[64];
  std::string_view framing;
  if (c.chunked) {
    framing = "transfer-encoding: chunked\r\n";
  } else if (!head.content_length &&
             (!body.empty() || head.method == "POST" || head.method == "PUT" || head.method == "PATCH")) {
    constexpr std::string_view kName = "content-length: ";
    char* at = std::copy(kName.begin(), kName.end(), length);
    at = std::to_chars(at, at + 20, body.size()).ptr;
    at = std::copy_n("\r\n", 2, at);
    framing = {length, static_cast<size_t>(at - length)};
  }
  const bool origin_form = head.target.starts_with('/') || head.target == "*";
  const bool as_it_is = origin_form && !head.http10 && !drop_expect && !head.has_hop_fields() && extra.empty();
  if (as_it_is && framing.empty()) return emit(c, head.block, body);
  scratch_.clear();
  if (origin_form && !head.http10) {
    scratch_ += head.start_line;
  } else {
    scratch_.append(head.method).append(1, ' ').append(head.path);
    if (!head.query.empty()) scratch_.append(1, '?').append(head.query);
    scratch_ += " HTTP/1.1\r\n";
    if (!head.find("host")) scratch_.append("host: ").append(head.authority).append("\r\n");
  }
  if (as_it_is) {
    const char* fields = head.start_line.data() + head.start_line.size();
    scratch_.append(fields, head.block.data() + head.block.size() - 2);
  } else {
    for (const http::Field& f : head.fields())
      if (!f.hop_by_hop && !(drop_expect && http::iequals(f.name, "expect"))) scratch_ += f.line;
  }
  if (c.upgrade) {
    c.asked = head.find("upgrade").value_or("");
    scratch_.append("connection: upgrade\r\nupgrade: ").append(c.asked).append("\r\n");
    for (char& x : c.asked) x = static_cast<char>(std::tolower(static_cast<unsigned char>(x)));
  }
  scratch_.append(extra).append(framing).append("\r\n");
  if (!c.chunked) return emit(c, scratch_, body);
  emit(c, scratch_, {});
  if (!body.empty()) this->body(c.id(), body, false);
}

void Http1Link::emit(Http1Call& c, std::string_view a, std::string_view b) {
  if (c.wire != nullptr) return c.wire->write(a, b);
  c.kept.append(a).append(b);
}

int64_t Http1Link::writable(frame::CallId id) const {
  const Http1Call* c = find(id);
  if (c == nullptr || c->doom) return 0;
  const int64_t room = c->wire != nullptr ? c->wire->room() : kRequestWindow - static_cast<int64_t>(c->kept.size());
  c->wants_room |= room <= 0;
  return room;
}

void Http1Link::body(frame::CallId id, std::string_view data, bool end) {
  Http1Call* c = find(id);
  if (c == nullptr || c->doom || c->ended) return;
  if (c->upgrade) {
    send_tunnel(*c, data);
    if (end) this->end(id, {});
    return;
  }
  if (!c->chunked) {
    if (end ? data.size() != c->left : data.size() > c->left) return doom(*c, not_sendable(kWrongLength));
    c->left -= data.size();
    c->ended = end;
    return emit(*c, data, {});
  }
  if (!data.empty()) {
    char head[http::kChunkHeadBytes];
    const std::string_view size(head, http::write_chunk_head(head, data.size()));
    if (data.size() <= kSmallChunk) {
      scratch_.assign(size).append(data).append("\r\n");
      if (end) scratch_ += "0\r\n\r\n";
      c->ended = end;
      return emit(*c, scratch_, {});
    }
    emit(*c, size, data);
    emit(*c, "\r\n", {});
  }
  if (end) this->end(id, {});
}

void Http1Link::end(frame::CallId id, std::string_view trailers) {
  Http1Call* c = find(id);
  if (c == nullptr || c->doom || c->ended || (c->upgrade && !c->tunnel)) return;
  if (c->left > 0) return doom(*c, not_sendable(kWrongLength));
  c->ended = true;
  if (c->tunnel) {
    c->wire->end_half();
    return end_tunnel_if_over(*c);
  }
  if (!c->chunked) return;
  const bool good = trailers.size() <= http::kMaxTrailerBytes && http::valid_trailers(trailers);
  scratch_.assign("0\r\n").append(good ? trailers : std::string_view{}).append("\r\n");
  emit(*c, scratch_, {});
}

void Http1Link::send_tunnel(Http1Call& c, std::string_view data) {
  if (!c.tunnel || data.empty()) return;
  if (c.wire->gone())
    return doom(c, error("has closed the tunnel and takes nothing any more", "reply_cut", Retry::kNo));
  c.wire->write(data, {});
}

void Http1Link::end_tunnel_if_over(Http1Call& c) {
  if (!c.tunnel || c.doom || !c.ended || !c.reply_ended || !c.wire->all_left()) return;
  tunnels_over_.push_back(c.id());
  mark_dirty();
}

void Http1Link::granted(Http1Call& c) {
  if (leaving_) drain(c.id());
}

void Http1Link::drain_tunnels() {
  leaving_ = true;
  for (Http1Call& c : calls_)
    if (c.handler && c.tunnel) drain(c.id());
}

void Http1Link::consumed(frame::CallId id, size_t reply_bytes) {
  if (Http1Call* c = find(id); c != nullptr && c->wire != nullptr) c->wire->consumed(reply_bytes);
}

void Http1Link::before_failures() {
  while (stale_ && !idle_.empty()) drop_wire(*idle_.back());  // so may be those that rest
  for (const frame::CallId id : std::exchange(tunnels_over_, {})) {
    Http1Call* c = find(id);
    if (c == nullptr || c->wire == nullptr) continue;
    drop_wire(*c->wire);
    release(*c).on_tunnel_over();
  }
}

}  // namespace colony::backend
