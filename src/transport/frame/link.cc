// The proxy's end of the framed link: slots of calls, frames in, death and goaway. One write per turn carries what all
// calls of that turn have to say; replies are shown from the memory that the stream was read into.
#include "transport/frame/link.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "async/deferred.h"
#include "async/link_stream.h"
#include "base/check.h"
#include "base/log.h"
#include "transport/frame/flow.h"
#include "transport/http/chunked.h"

namespace colony::frame {
namespace {

constexpr Duration kLookEvery = 10s;
constexpr Duration kSilence = 20s;  // without a byte for this long: ping; as long again without an answer: dead

uint32_t timeout_ms(Deadline deadline, TimePoint now) {
  if (deadline.is_never()) return 0;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(deadline.left(now)).count();
  return static_cast<uint32_t>(std::clamp<int64_t>(ms, 1, UINT32_MAX));
}

class FramedLink final : public Link, public async::StreamHandler {
 public:
  FramedLink(async::Loop& loop, async::Endpoint to, Deadline deadline, Events events)
      : loop_(loop),
        to_(std::move(to)),
        events_(std::move(events)),
        timer_(loop, [this] { on_timer(); }),
        doom_(loop, [this] { fail_doomed(); }),
        ready_by_(deadline),
        alive_(std::make_shared<bool>(true)) {
    if (!deadline.is_never()) timer_.arm(deadline.time());
    loop_.connect(to_, deadline, [this, alive = std::weak_ptr<bool>(alive_)](Result<std::unique_ptr<async::Stream>> s) {
      if (!alive.expired()) on_connected(std::move(s));
    });
  }
  ~FramedLink() override {
    if (gone_) *gone_ = true;
  }

  bool ready() const override { return opened_ && !goaway_ && !closed_; }
  CallId call(const http::RequestHead& head, std::string_view extra, std::string_view body, bool end, Deadline deadline,
              CallHandler& handler) override;
  CallId call_block(std::string_view block, std::string_view body, bool end, Deadline deadline,
                    CallHandler& handler) override;
  int64_t writable(CallId id) const override {
    Call* c = find(id);
    return c && !c->doomed ? c->out.writable() : 0;
  }
  void body(CallId id, std::string_view data, bool end) override {
    Call* c = find_live(id);
    if (!c) return;
    c->out.send(*stream_, wire(*c), data, end);
    end_tunnel_if_over(*c);
  }
  void end(CallId id, std::string_view trailers) override {
    Call* c = find_live(id);
    if (!c) return;
    const bool good = trailers.size() <= http::kMaxTrailerBytes && http::valid_trailers(trailers);
    c->out.end(*stream_, wire(*c), good ? trailers : std::string_view{});
    end_tunnel_if_over(*c);
  }
  void consumed(CallId id, size_t reply_bytes) override {
    if (Call* c = find_live(id)) c->in.consumed(*stream_, wire(*c), reply_bytes);
  }
  void cancel(CallId id) override {
    Call* c = find(id);
    if (!c) return;
    if (!c->doomed && stream_) send_cancel(wire(*c));
    release(*c);
  }
  void drain(CallId id) override {
    const Call* c = find_live(id);
    if (!c || !c->tunnel) return;
    Header h{};
    h.type = Type::kDrain;
    h.stream = wire(*c);
    write_frame(*stream_, h);
  }
  size_t outstanding() const override { return open_; }
  uint32_t busy_ns() const override { return busy_ns_; }
  size_t pending() const override { return stream_ ? stream_->pending() : 0; }

  size_t on_bytes(std::string_view data) override;
  void on_end() override { die(broken("the replica ended it")); }
  void on_closed(const Error& error) override { die(broken(error.message)); }

 private:
  struct Call {
    explicit Call(uint32_t s) : slot(s) {}
    const uint32_t slot;
    uint32_t generation = 1;
    CallHandler* handler = nullptr;  // null: the slot is free
    mutable Outflow out;
    Inflow in;
    bool replied = false, doomed = false;
    bool tunnel = false, reply_ended = false;  // reply_ended: of a tunnel, which goes on in the other direction
  };

  static uint32_t wire(const Call& c) { return (c.generation & 0xffff) << 16 | c.slot; }
  static CallId id_of(const Call& c) { return uint64_t{c.generation} << 32 | c.slot; }
  Call* find(CallId id) const {
    const auto slot = static_cast<uint32_t>(id);
    if (slot >= calls_.size()) return nullptr;
    Call& c = calls_[slot];
    return c.handler && id_of(c) == id ? &c : nullptr;
  }
  Call* find_live(CallId id) const {
    Call* c = find(id);
    return c && !c->doomed && stream_ ? c : nullptr;
  }
  // kStale: that call is over. kNever: no such call was ever made.
  enum class Known : uint8_t { kOpen, kStale, kNever };
  Known look_up(uint32_t stream, Call*& out) {
    const uint32_t slot = slot_of(stream);
    if (slot >= calls_.size()) return Known::kNever;
    Call& c = calls_[slot];
    if (!c.handler || c.doomed || wire(c) != stream) return Known::kStale;
    out = &c;
    return Known::kOpen;
  }

  Call& acquire(CallHandler& handler);
  template <class WriteHead>
  CallId start(std::string_view body, bool end, Deadline deadline, CallHandler& handler, WriteHead write_head);
  CallHandler& release(Call& call);
  void send_cancel(uint32_t stream);
  Error broken(const std::string& why) const {
    return unavailable("the link to " + to_.text + " broke: " + why, "link_broken");
  }

  void on_connected(Result<std::unique_ptr<async::Stream>> stream);
  // Each returns false when this is gone or dead.
  bool take(const Header& header, std::string_view payload);
  bool take_hello(std::string_view payload);
  bool take_ring_answer(bool yes);
  bool open();
  bool take_reply(Call& call, const Header& header, std::string_view payload);
  bool take_body(Call& call, const Header& header, std::string_view payload);
  bool take_end(Call& call, std::string_view trailers);
  bool take_cancel(Call& call, std::string_view payload);
  bool take_credit(Call& call, uint32_t bytes);
  void end_tunnel_if_over(Call& call);
  bool bad_reply(Call& call, std::string_view why);
  bool bad_peer(std::string_view why) {
    return die(broken("the replica does not keep to the protocol: " + std::string(why)));
  }
  bool die(Error error);
  void fail_doomed();
  void on_timer();

  async::Loop& loop_;
  const async::Endpoint to_;
  Events events_;
  std::unique_ptr<async::Stream> stream_;
  async::LinkStream* shared_ = nullptr;  // stream_'s, where it has one
  async::Timer timer_;
  async::Deferred doom_;
  mutable std::deque<Call> calls_;      // by slot; a call in it never moves
  std::vector<uint32_t> free_, spare_;  // slots below and above what the replica takes
  uint32_t max_calls_ = kMaxSlots;
  size_t open_ = 0;
  uint32_t busy_ns_ = 0;
  Deadline ready_by_;
  TimePoint heard_, pinged_ = TimePoint::max();
  bool hello_seen_ = false, ring_offered_ = false, opened_ = false, goaway_ = false, closed_ = false;
  bool* gone_ = nullptr;  // set by the destructor while a callback runs
  std::shared_ptr<bool> alive_;
};

void FramedLink::on_connected(Result<std::unique_ptr<async::Stream>> stream) {
  if (closed_) return;
  if (!stream) {
    Error e = std::move(stream).error();
    if (e.code != Code::kDeadlineExceeded) e.code = Code::kUnavailable;
    e.origin = Origin::kUpstream;
    e.retry = Retry::kYes;
    die(std::move(e).within("connecting the link to " + to_.text));
    return;
  }
  stream_ = std::move(*stream);
  shared_ = async::link_stream(*stream_);
  stream_->set_handler(this);
  heard_ = loop_.now();
  stream_->write(kMagic);
  write_hello(*stream_, kMaxSlots, kFeatureBusy | (shared_ && to_.is_unix() ? kFeatureRing : 0));
}

FramedLink::Call& FramedLink::acquire(CallHandler& handler) {
  uint32_t slot = 0;
  const bool fits = ready() && (!free_.empty() || calls_.size() < max_calls_);
  std::vector<uint32_t>& from = fits || spare_.empty() ? free_ : spare_;
  if (from.empty()) {
    slot = static_cast<uint32_t>(calls_.size());
    calls_.emplace_back(slot);
  } else {
    slot = from.back();
    from.pop_back();
  }
  Call& c = calls_[slot];
  c.handler = &handler;
  c.doomed = !fits;
  c.replied = c.tunnel = c.reply_ended = false;
  c.out.reset();
  c.in.reset();
  if (++open_ == 2 && shared_) shared_->gather(true);
  return c;
}

CallHandler& FramedLink::release(Call& c) {
  CallHandler& handler = *std::exchange(c.handler, nullptr);
  ++c.generation;
  if ((c.generation & 0xffff) == 0) ++c.generation;  // 0 would make slot 0's stream number that of the connection
  c.out.reset();
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
  if (!whole) c.out.send(*stream_, h.stream, body.substr(first), end);
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

size_t FramedLink::on_bytes(std::string_view data) {
  heard_ = loop_.now();
  pinged_ = TimePoint::max();
  bool gone = false;
  gone_ = &gone;
  size_t used = 0;
  for (;;) {
    Header header;
    std::string_view payload, why;
    const DecodeState state = decode(data.substr(used), header, payload, why);
    if (state == DecodeState::kNeedMore) break;
    if (state == DecodeState::kBad) {
      bad_peer(why);
      used = data.size();
      break;
    }
    used += sizeof(Header) + payload.size();
    if (!take(header, payload)) {
      used = data.size();
      break;
    }
  }
  if (!gone) gone_ = nullptr;
  return used;
}

bool FramedLink::take(const Header& header, std::string_view payload) {
  const bool* gone = gone_;
  if (!hello_seen_ && header.type != Type::kHello) return bad_peer("its first frame is no hello");
  switch (header.type) {
    case Type::kHello: return take_hello(payload);
    case Type::kPing: {
      Header pong = header;
      pong.type = Type::kPong;
      write_frame(*stream_, pong, payload);
      return true;
    }
    case Type::kPong: return true;
    case Type::kGoaway: {
      if (std::exchange(goaway_, true)) return true;
      if (!ring_offered_ || opened_) write_frame(*stream_, header);
      if (events_.on_goaway) events_.on_goaway();
      return !*gone && !closed_;
    }
    case Type::kRing: return take_ring_answer(header.head_len == 1);
    case Type::kRequest: return bad_peer("it sent a request");
    case Type::kDrain: return bad_peer("it sent a drain");
    default: break;
  }
  Call* call = nullptr;
  switch (look_up(header.stream, call)) {
    case Known::kNever: return bad_peer("a frame for a call that was never made");
    case Known::kStale: return true;
    case Known::kOpen: break;
  }
  switch (header.type) {
    case Type::kReply: return take_reply(*call, header, payload);
    case Type::kBody: return take_body(*call, header, payload);
    case Type::kEnd: return take_end(*call, payload);
    case Type::kCancel: return take_cancel(*call, payload);
    default: break;
  }
  return take_credit(*call, header.head_len);
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

bool FramedLink::take_hello(std::string_view payload) {
  if (hello_seen_) return bad_peer("a second hello");
  const HelloPayload hello = read_hello(payload);
  if (hello.version != kVersion)
    return die(failed_precondition("the replica at " + to_.text + " speaks version " + std::to_string(hello.version) +
                                       " of the framed protocol, this proxy " + std::to_string(kVersion),
                                   "frame_version"));
  if (hello.max_streams == 0) return bad_peer("it takes no calls at all");
  max_calls_ = std::min(hello.max_streams, kMaxSlots);
  hello_seen_ = true;
  if (shared_ && to_.is_unix() && (hello.features & kFeatureRing) != 0) {
    const auto offered = shared_->offer_ring(ring_frame(false));
    if ((ring_offered_ = offered.has_value())) return true;
    LOG(debug, "the link to {} stays on its socket: {}", to_.text, offered.error().message);
  }
  return open();
}

// The socket serves as well when the replica cannot map the memory.
bool FramedLink::take_ring_answer(bool yes) {
  if (!ring_offered_ || opened_) return bad_peer("an answer about a ring that was not offered");
  if (yes) shared_->use_ring();
  return open();
}

bool FramedLink::open() {
  opened_ = true;
  timer_.arm_after(kLookEvery);
  if (goaway_) {  // its answer had to wait for the ring's
    Header h{};
    h.type = Type::kGoaway;
    write_frame(*stream_, h);
    return true;
  }
  const bool* gone = gone_;
  if (events_.on_ready) events_.on_ready();
  return !*gone && !closed_;
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
  const http::ParseState state = http::parse_reply_head(block, head, error);
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

// Fails every call, then tells the owner, who may destroy this in there. Always false.
// By value: what it refers to may go with the stream.
bool FramedLink::die(Error error) {
  if (std::exchange(closed_, true)) return false;
  timer_.cancel();
  shared_ = nullptr;
  stream_.reset();
  bool own = false, *outer = std::exchange(gone_, &own);
  const auto left = [&] {
    if (own && outer) *outer = true;
    return own;
  };
  for (size_t i = 0; i < calls_.size(); ++i) {
    if (!calls_[i].handler) continue;
    release(calls_[i]).on_failed(error);
    if (left()) return false;
  }
  if (events_.on_closed) events_.on_closed(error);
  if (left()) return false;
  gone_ = outer;
  return false;
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
    if (!calls_[i].handler || !calls_[i].doomed) continue;
    release(calls_[i]).on_failed(error);
    if (own) return;
  }
  gone_ = outer;
}

void FramedLink::on_timer() {
  const TimePoint now = loop_.now();
  if (!opened_) {
    if (!ready_by_.passed(now)) return timer_.arm(ready_by_.time());
    Error e = deadline_exceeded("the replica at " + to_.text + " did not open the framed link in time");
    e.origin = Origin::kUpstream;
    e.retry = Retry::kYes;
    die(std::move(e));
    return;
  }
  if (pinged_ != TimePoint::max() && now - pinged_ >= kSilence) {
    die(broken("no answer to a ping"));
    return;
  }
  if (pinged_ == TimePoint::max() && now - heard_ >= kSilence) {
    pinged_ = now;
    Header ping{};
    ping.type = Type::kPing;
    ping.length = 8;
    write_frame(*stream_, ping, "colony\r\n");
  }
  timer_.arm_after(kLookEvery);
}

}  // namespace

std::unique_ptr<Link> Link::connect(async::Loop& loop, async::Endpoint to, Deadline deadline, Events events) {
  return std::make_unique<FramedLink>(loop, std::move(to), deadline, std::move(events));
}

}  // namespace colony::frame
