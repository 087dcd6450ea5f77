// The proxy's end of the framed link: the connection, from its hello to its death. The calls on it are link_calls.cc.
#include <utility>

#include "base/log.h"
#include "transport/frame/framed_link.h"

namespace colony::frame {
namespace {

constexpr Duration kLookEvery = 10s;
constexpr Duration kSilence = 20s;  // without a byte for this long: ping; as long again without an answer: dead

}  // namespace

FramedLink::FramedLink(async::Loop& loop, async::Endpoint to, Deadline deadline, Events events)
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
    ring_offered_ = offered.has_value();
    if (ring_offered_) return true;
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
    if (!calls_[i]->handler) continue;
    release(*calls_[i]).on_failed(error);
    if (left()) return false;
  }
  if (events_.on_closed) events_.on_closed(error);
  if (left()) return false;
  gone_ = outer;
  return false;
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

std::unique_ptr<Link> Link::connect(async::Loop& loop, async::Endpoint to, Deadline deadline, Events events) {
  return std::make_unique<FramedLink>(loop, std::move(to), deadline, std::move(events));
}

}  // namespace colony::frame
