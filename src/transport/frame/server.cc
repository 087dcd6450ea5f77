// The connection's side of the replica's end: frames in, their checks, the life of slots, drain and death.
#include "transport/frame/server.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "transport/frame/server_connection.h"

namespace colony::frame {
namespace {

constexpr uint32_t kMaxCalls = 16 * 1024;  // LIMIT: calls at once on one link
constexpr Duration kLeaveTime = 5s;        // LIMIT: from our goaway to the end when the proxy does not answer it

}  // namespace

std::unique_ptr<http::Connection> serve_frames(std::unique_ptr<async::Stream> stream,
                                               http::ConnectionContext& context) {
  return std::make_unique<ServerConnection>(std::move(stream), context);
}

ServerConnection::ServerConnection(std::unique_ptr<async::Stream> stream, http::ConnectionContext& context)
    : context_(context),
      stream_(std::move(stream)),
      shared_(async::link_stream(*stream_)),
      peer_(stream_->peer()),
      settle_(context.loop, [this] { settle(); }),
      timer_(context.loop, [this] { on_timer(); }),
      heard_(context.loop.now()) {
  ++context_.stats.open_links;
  stream_->set_handler(this);
  timer_.arm(heard_ + context_.options.idle_timeout);
}

ServerConnection::~ServerConnection() {
  --context_.stats.open_links;
  closed_ = true;
  for (auto& call : slots_)
    if (call && call->stream_ != 0) {
      call->ok_ = false;
      finish(*call);
    }
}

size_t ServerConnection::on_bytes(std::string_view data) {
  if (closed_) return data.size();
  heard_ = context_.loop.now();
  size_t used = 0;
  if (!greeted_) {
    if (data.size() < kMagic.size()) return 0;
    if (!data.starts_with(kMagic)) {
      dead_link("the connection does not begin with the magic of the framed protocol");
      return data.size();
    }
    used = kMagic.size();
    greeted_ = true;
  }
  in_callback_ = true;
  if (shared_) began_ = shared_->clock();
  answered_ = 0;
  for (;;) {
    Header header;
    std::string_view payload, why;
    const DecodeState state = decode(data.substr(used), header, payload, why);
    if (state == DecodeState::kNeedMore) break;
    if (state == DecodeState::kBad) {
      dead_link(why);
      break;
    }
    used += sizeof(Header) + payload.size();
    if (!take(header, payload)) break;
    if (!settling_.empty()) settle();
  }
  in_callback_ = false;
  if (closed_) return data.size();
  if (answered_ > 0 && tells_busy_) busy_ns_ = busy_so_far(answered_);
  leave_if_drained();
  return used;
}

uint32_t ServerConnection::busy_so_far(uint32_t requests) const {
  const auto spent = static_cast<uint64_t>(std::max((shared_->clock() - began_).count(), int64_t{0}));
  return static_cast<uint32_t>(std::min<uint64_t>(spent / requests, UINT32_MAX));
}

// WHY of the last batch and not of this one: it costs two readings of the clock for all of them.
uint32_t ServerConnection::busy_ns() {
  if (!in_callback_ || !tells_busy_) return 0;
  ++answered_;
  return busy_ns_ != 0 ? busy_ns_ : busy_so_far(answered_);
}

bool ServerConnection::take(const Header& header, std::string_view payload) {
  if (!hello_seen_ && header.type != Type::kHello) return dead_link("the first frame is no hello");
  switch (header.type) {
    case Type::kHello: return take_hello(payload);
    case Type::kRequest: return take_request(header, payload);
    case Type::kBody: return take_body(header, payload);
    case Type::kEnd: return take_end(header, payload);
    case Type::kCredit:
      if (ServerCall* call = find(header.stream)) {
        const bool room = call->out_.grant(*stream_, call->stream_, header.head_len);
        if (call->over())
          list(*call);
        else if (room && !call->reply_ended_)
          call->handler_->on_writable();
      }
      return true;
    case Type::kCancel:
      if (ServerCall* call = find(header.stream)) {
        call->ok_ = false;
        call->cut_ = true;
        finish(*call);
      }
      return true;
    case Type::kPing: {
      Header pong = header;
      pong.type = Type::kPong;
      write_frame(*stream_, pong, payload);
      return true;
    }
    case Type::kPong: return true;
    case Type::kRing: return take_ring_offer();
    case Type::kDrain:
      if (ServerCall* call = find(header.stream); call && call->tunnel_) call->handler_->on_drain();
      return true;
    case Type::kGoaway: proxy_leaves_ = true; return true;
    case Type::kReply: return dead_link("a reply came from the proxy");
  }
  return dead_link("a frame has an unknown type");
}

bool ServerConnection::take_hello(std::string_view payload) {
  if (hello_seen_) return dead_link("a second hello");
  const HelloPayload hello = read_hello(payload);
  if (hello.version != kVersion) return dead_link("the proxy speaks another version of the framed protocol");
  hello_seen_ = true;
  ring_expected_ = (hello.features & kFeatureRing) != 0 && shared_ && shared_->expect_ring();
  tells_busy_ = shared_ && (hello.features & kFeatureBusy) != 0;
  write_hello(*stream_, kMaxCalls, kFeatureBusy | (ring_expected_ ? kFeatureRing : 0));
  if (draining_) say_goaway();
  return true;
}

bool ServerConnection::take_ring_offer() {
  if (!std::exchange(ring_expected_, false) || !slots_.empty())
    return dead_link("a ring was offered when none was expected");
  if (const auto accepted = shared_->accept_ring(ring_frame(true)); !accepted) {
    LOG(info, "a framed link stays on its socket: {}", accepted.error().message);
    stream_->write(ring_frame(false));
  }
  return true;
}

ServerCall* ServerConnection::find(uint32_t stream) {
  const uint32_t slot = slot_of(stream);
  if (slot >= slots_.size() || !slots_[slot] || slots_[slot]->stream_ != stream) return nullptr;
  return slots_[slot].get();
}

bool ServerConnection::take_request(const Header& header, std::string_view payload) {
  const uint32_t slot = slot_of(header.stream);
  if (slot >= kMaxCalls) return dead_link("a request's slot is above the limit that our hello gave");
  if (slot >= slots_.size()) slots_.resize(slot + 1);
  if (!slots_[slot]) slots_[slot] = std::make_unique<ServerCall>(*this, slot);
  ServerCall& call = *slots_[slot];
  if (call.stream_ != 0) return dead_link("a request in a slot that is in use");
  if (proxy_leaves_) return dead_link("a request after the proxy's goaway");

  const std::string_view block = payload.substr(0, header.head_len), body = payload.substr(header.head_len);
  call.stream_ = header.stream;
  call.out_.reset();
  call.in_.reset();
  call.deadline_ = header.time == 0 ? Deadline::never()
                                    : Deadline::after(context_.loop.now(), std::chrono::milliseconds(header.time));
  call.request_ended_ = (header.flags & kFlagEnd) != 0;
  call.replied_ = call.reply_ended_ = call.no_body_ = call.cut_ = call.listed_ = false;
  call.upgrade_ = call.tunnel_ = false;
  call.ok_ = true;
  ++open_;
  ++context_.stats.open_requests;

  http::RequestHead head;
  http::ParseError error;
  const http::ParseState state = http::parse_inner_request_head(block, head, error);
  if (state != http::ParseState::kComplete || head.block.size() != block.size()) {
    // WHY the link lives on: the head is one client's, the link is everybody's.
    ++context_.stats.bad_requests;
    call.head_request_ = call.grpc_ = false;
    const int status = state == http::ParseState::kBad ? error.status : 400;
    const std::string_view why = state == http::ParseState::kBad ? error.message : "the head is not whole";
    http::reply_with(call, status, "application/json",
                     http::error_json({code_from_http(status), "bad request: " + std::string(why), "bad_request"}));
    return true;
  }
  ++context_.stats.requests;
  call.head_request_ = head.method == "HEAD";
  call.grpc_ = head.is_grpc();
  if (!call.in_.take(body.size())) return dead_link("a request's body exceeds its credit");
  // A request that may become a tunnel is whole and not ended: its direction stays open for the tunnel's bytes.
  call.upgrade_ = head.upgrade && !call.request_ended_ && body.empty();
  const bool waits = head.expect_continue && !call.request_ended_ && body.empty();
  call.handler_ = context_.service.on_request(call, head);
  CHECK(call.handler_ != nullptr);
  if (waits && !call.replied_ && !call.cut_) call.reply("HTTP/1.1 100 Continue\r\n\r\n", {}, http::More::kYes);
  if (!body.empty() && call.wants_body()) call.handler_->on_body(body);
  if ((call.request_ended_ || call.upgrade_) && call.wants_body()) call.handler_->on_end({});
  return true;
}

bool ServerConnection::take_body(const Header& header, std::string_view payload) {
  ServerCall* call = find(header.stream);
  if (!call) return true;  // its reply has been given, or it was cancelled
  if (call->request_ended_) return dead_link("a request's body after its end");
  if (!call->in_.take(payload.size())) return dead_link("a request's body exceeds its credit");
  if (call->upgrade_ && !call->tunnel_) return dead_link("a tunnel's bytes before it was granted");
  if (!payload.empty() && call->wants_body()) call->handler_->on_body(payload);
  if ((header.flags & kFlagEnd) != 0) end_request(*call, {});
  return true;
}

void ServerConnection::end_request(ServerCall& call, std::string_view trailers) {
  call.request_ended_ = true;
  if (call.wants_body()) call.handler_->on_end(trailers);
  if (call.over()) list(call);
}

bool ServerConnection::take_end(const Header& header, std::string_view payload) {
  ServerCall* call = find(header.stream);
  if (!call) return true;
  if (call->request_ended_) return dead_link("a request ends twice");
  if (!http::valid_trailers(payload)) return dead_link("a request's trailers are malformed");
  if (call->upgrade_ && !call->tunnel_) return dead_link("a tunnel ends before it was granted");
  end_request(*call, payload);
  return true;
}

bool ServerConnection::dead_link(std::string_view why) {
  ++context_.stats.bad_requests;
  LOG(warn, "the framed link of {} is broken: {}", peer_, why);
  over();
  return false;
}

// on_done is never called from inside an Exchange call: it comes after the frame at hand, or at the end of the turn.
void ServerConnection::list(ServerCall& call) {
  if (std::exchange(call.listed_, true)) return;
  settling_.push_back(&call);
  if (!in_callback_) settle_.schedule();
}

void ServerConnection::settle() {
  for (size_t i = 0; i < settling_.size(); ++i) {
    ServerCall& call = *settling_[i];
    if (std::exchange(call.listed_, false) && call.stream_ != 0 && call.over()) finish(call);
  }
  settling_.clear();
  if (!in_callback_ && !closed_) leave_if_drained();
}

void ServerConnection::finish(ServerCall& call) {
  call.stream_ = 0;
  call.out_.reset();
  --open_;
  --context_.stats.open_requests;
  if (auto* handler = std::exchange(call.handler_, nullptr)) handler->on_done(call.ok_);
}

void ServerConnection::say_goaway() {
  Header h{};
  h.type = Type::kGoaway;
  write_frame(*stream_, h);
}

void ServerConnection::drain() {
  if (std::exchange(draining_, true) || closed_) return;
  if (hello_seen_) say_goaway();
  leave_at_ = context_.loop.now() + kLeaveTime;
  if (leave_at_ < timer_.at()) timer_.arm(leave_at_);
  for (size_t i = 0; i < slots_.size(); ++i)
    if (slots_[i] && slots_[i]->stream_ != 0 && slots_[i]->tunnel_ && !slots_[i]->cut_) slots_[i]->handler_->on_drain();
}

// WHY the proxy's answer is awaited: calls that it started before it saw our goaway are still on their way.
void ServerConnection::leave_if_drained() {
  if (!draining_ || open_ > 0 || ended_) return;
  if (!proxy_leaves_ && context_.loop.now() < leave_at_) return;
  ended_ = true;
  stream_->shutdown_write();
  leave_at_ = context_.loop.now() + kLeaveTime;
  timer_.arm(leave_at_);
}

void ServerConnection::on_timer() {
  const TimePoint now = context_.loop.now();
  if (ended_ && now >= leave_at_) return over();
  leave_if_drained();
  const TimePoint silent = heard_ + context_.options.idle_timeout;  // an honest proxy pings long before
  if (now >= silent) {
    LOG(warn, "the framed link of {} has been silent for too long", peer_);
    return over();
  }
  timer_.arm(draining_ && leave_at_ > now ? std::min(silent, leave_at_) : silent);
}

void ServerConnection::over() {
  if (std::exchange(closed_, true)) return;
  timer_.cancel();
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i] || slots_[i]->stream_ == 0) continue;
    slots_[i]->ok_ = slots_[i]->ok_ && slots_[i]->out_.ended();
    finish(*slots_[i]);
  }
  context_.on_closed(*this);
}

}  // namespace colony::frame
