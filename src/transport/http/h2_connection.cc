// H2Connection: its streams, frames out, drain and the end.
#include "transport/http/h2_connection.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace colony::http {
namespace {

// What connections of one thread share, so that an idle one holds neither: objects of requests, and buffers for the
// frames of a turn.
struct Spares {
  static constexpr size_t kMostStreams = 1024, kMostBuffers = 64, kMostOfBuffer = 64 * 1024;  // LIMIT
  std::vector<std::unique_ptr<H2Stream>> streams;
  std::vector<std::string> buffers;

  static Spares& of_this_thread() {
    static thread_local Spares spares;
    return spares;
  }
};

}  // namespace

std::unique_ptr<Connection> serve_http2(std::unique_ptr<async::Stream> stream, ConnectionContext& context) {
  return std::make_unique<H2Connection>(std::move(stream), context);
}

H2Connection::H2Connection(std::unique_ptr<async::Stream> stream, ConnectionContext& context)
    : context_(context),
      stream_(std::move(stream)),
      peer_(stream_->peer()),
      stream_window_(kH2Window),
      alarms_(context.loop, Ring{this}) {
  wake();
  stream_->set_handler(this);
  alarms_.arm_after(Alarm::kHead, context.options.head_timeout);
  const auto streams = static_cast<uint32_t>(std::clamp<size_t>(context.options.max_streams, 1, 1 << 20));
  const std::pair<H2Setting, uint32_t> settings[] = {{H2Setting::kMaxStreams, streams},
                                                     {H2Setting::kInitialWindow, static_cast<uint32_t>(window_size())},
                                                     {H2Setting::kMaxHeaderList, H2HeadReader::kMaxListBytes}};
  h2_append_head(out(), std::size(settings) * 6, H2Type::kSettings, 0, 0);
  for (const auto& [name, value] : settings) {
    char entry[6] = {0, static_cast<char>(name)};
    h2_put32(entry + 2, value);
    work_->out.append(entry, sizeof entry);
  }
  // Room for every stream's whole window: streams that nobody reads cannot take the others' share.
  whole_window_ = static_cast<int32_t>(
      std::clamp<int64_t>(int64_t{window_size()} * (int64_t{streams} + 1), kH2Window, kH2MaxWindow));
  receive_window_ = whole_window_;
  if (const auto more = static_cast<uint32_t>(whole_window_) - kH2Window; more > 0)
    h2_append_number(work_->out, H2Type::kWindowUpdate, 0, more);
  mark_dirty();
}

H2Connection::~H2Connection() {
  if (!over_) {
    over_ = true;
    while (!idle()) finish_request(*work_->streams, false);
  }
  if (work_ != nullptr) H2Work::drop(*work_);
}

void H2Connection::on_drained() {
  wake();
  alarms_.cancel(Alarm::kStall);
  work_->span_since = TimePoint::max();
  if (lingering_) alarms_.arm_after(Alarm::kEnd, kLinger);
  mark_dirty();
}

// Nobody speaks HTTP/2 on half a connection: a client that is gone looks like this, and its requests must stop.
void H2Connection::on_end() { finish(); }

void H2Connection::on_closed(const Error&) { finish(); }

// ---- drain and the end ----

void H2Connection::drain() {
  if (draining_ || ending_ || over_) return;
  wake();
  if (idle())
    final_goaway();
  else
    drain_gently();
}

void H2Connection::drain_gently() {
  if (draining_ || ending_ || over_) return;
  wake();
  draining_ = true;
  // First "no more, please", and the last id only when the client has surely read that: what it sent meanwhile is served.
  notice_sent_ = true;
  goaway(kH2MaxWindow, H2Error::kNoError);
  h2_append_head(work_->out, 8, H2Type::kPing, 0, 0);
  work_->out.append(8, '\0');
  alarms_.arm_after(Alarm::kEnd, kDrainNotice);
  mark_dirty();
}

void H2Connection::final_goaway() {
  notice_sent_ = false;
  draining_ = goaway_sent_ = true;
  alarms_.cancel(Alarm::kEnd);
  goaway(last_id_, H2Error::kNoError);
  mark_dirty();
}

void H2Connection::terminate(H2Error error) {
  if (ending_ || over_) return;
  ending_ = goaway_sent_ = true;
  goaway(last_id_, error);
  alarms_.arm_after(Alarm::kEnd, kLinger);
  mark_dirty();
}

// WHY not closed at once: unread bytes in the socket would turn the close into a reset, which can destroy the GOAWAY on
// its way.
void H2Connection::linger() {
  lingering_ = true;
  finish_requests();
  stream_->shutdown_write();
  for (Alarm alarm : {Alarm::kIdle, Alarm::kHead, Alarm::kLimits, Alarm::kUnended}) alarms_.cancel(alarm);
  // Replies that are still on their way have the time that any reply has; on_drained shortens it.
  alarms_.arm_after(Alarm::kEnd, ending_ || stream_->pending() == 0 ? kLinger : context_.options.idle_timeout);
}

void H2Connection::on_alarm(Alarm alarm) {
  wake();
  switch (alarm) {
    case Alarm::kAgain: return mark_dirty();
    case Alarm::kIdle: context_.stats.hit(Limit::kIdle); return drain();
    case Alarm::kHead: context_.stats.hit(Limit::kHeadTime); return fail(H2Error::kEnhanceYourCalm);
    case Alarm::kEnd: return ending_ || lingering_ ? finish() : final_goaway();
    case Alarm::kStall: return on_stall();
    case Alarm::kLimits: return on_limits();
    case Alarm::kUnended: return on_unended();
  }
}

void H2Connection::finish() {
  if (over_) return;
  over_ = true;
  alarms_.cancel_all();
  finish_requests();
  context_.on_closed(*this);
}

void H2Connection::finish_requests() {
  if (work_ == nullptr) return;
  while (H2Stream* s = work_->streams) finish_request(*s, s->reply_sent_ && !s->aborted_);
  work_->closed.clear();
}

// ---- streams ----

H2Stream& H2Connection::open_stream(uint32_t id) {
  auto& spare = Spares::of_this_thread().streams;
  std::unique_ptr<H2Stream> fresh;
  if (spare.empty()) {
    fresh = std::make_unique<H2Stream>();
  } else {
    fresh = std::move(spare.back());
    spare.pop_back();
  }
  H2Stream* s = fresh.release();  // owned by the list
  s->reset(*this, id);
  s->receive_window_ = stream_window_;
  s->window_ = initial_window_;
  s->next_ = work_->streams;
  if (work_->streams != nullptr) work_->streams->previous_ = s;
  work_->streams = s;
  work_->open.add(id, s);
  if (work_->stream_count++ == 0) alarms_.cancel(Alarm::kIdle);
  ++work_->bodies;
  return *s;
}

// Takes it out of everything but the list.
void H2Connection::detach(H2Stream& s) {
  s.closed_ = true;
  work_->open.remove(s.id_);
  if (s.request_ended_)
    guard_.ids.ended(s.id_);
  else
    --work_->bodies;
  if (s.unconsumed_ > 0) give_back(nullptr, std::exchange(s.unconsumed_, 0));
  unqueue(s);
  work_->buffered -= s.buffered();
  s.pending_.clear();
  s.sent_ = 0;
  if (s.blocked_) {
    s.blocked_ = false;
    --work_->blocked_count;
  }
}

void H2Connection::close_stream(H2Stream& s) {
  if (s.closed_) return;
  detach(s);
  work_->closed.push_back(&s);
  if (!s.reply_sent_ && !s.aborted_) charge_reset();
}

void H2Connection::reset_stream(H2Stream& s, H2Error error) {
  h2_append_number(out(), H2Type::kRstStream, s.id_, static_cast<uint32_t>(error));
  close_stream(s);
  mark_dirty();
}

void H2Connection::charge_reset() {
  if (!guard_.resets.take(context_.loop.now())) terminate(H2Error::kEnhanceYourCalm);
}

void H2Connection::start_request(H2Stream& s, const RequestHead& head, bool end_stream) {
  s.is_grpc_ = head.is_grpc();
  s.counted_ = true;
  ++work_->open_requests;
  ++context_.stats.requests;
  ++context_.stats.open_requests;
  s.expecting_ = head.expect_continue && !end_stream;
  s.body_since_ = context_.loop.now();
  if (end_stream) {
    s.request_ended_ = true;
    --work_->bodies;
  }
  s.handler_ = context_.service.on_request(s, head);
  if (!context_.options.relay_continue && !s.replied_) s.go_on();
  if (end_stream && s.handler_ != nullptr) s.handler_->on_end({});
}

void H2Connection::request_ended(H2Stream& s, std::string_view trailers) {
  if (s.closed_ || s.request_ended_) return;
  s.request_ended_ = true;
  --work_->bodies;
  if (s.handler_ != nullptr) s.handler_->on_end(trailers);
}

void H2Connection::finish_request(H2Stream& s, bool ok) {
  (s.previous_ != nullptr ? s.previous_->next_ : work_->streams) = s.next_;
  if (s.next_ != nullptr) s.next_->previous_ = s.previous_;
  --work_->stream_count;
  if (s.counted_) {
    --work_->open_requests;
    --context_.stats.open_requests;
  }
  if (!s.closed_) detach(s);
  std::unique_ptr<H2Stream> done(&s);
  if (s.handler_ != nullptr) std::exchange(s.handler_, nullptr)->on_done(ok);
  done->trim();
  auto& spare = Spares::of_this_thread().streams;
  if (spare.size() < Spares::kMostStreams) spare.push_back(std::move(done));
}

// The client is told when half of a window is free again: few frames, and it never waits while there is room.
void H2Connection::give_back(H2Stream* s, size_t bytes) {
  if (ending_ || lingering_ || over_) return;
  credit_ += static_cast<int32_t>(bytes);
  if (credit_ >= whole_window_ - credit_) {
    receive_window_ += credit_;
    h2_append_number(out(), H2Type::kWindowUpdate, 0, static_cast<uint32_t>(std::exchange(credit_, 0)));
    mark_dirty();
  }
  if (s == nullptr || s->closed_ || s->request_ended_) return;
  s->credit_ += bytes;
  if (static_cast<int64_t>(s->credit_) * 2 < stream_window_) return;
  s->receive_window_ += static_cast<int64_t>(s->credit_);
  h2_append_number(out(), H2Type::kWindowUpdate, s->id_, static_cast<uint32_t>(std::exchange(s->credit_, 0)));
  mark_dirty();
  const TimePoint held = std::exchange(s->held_since_, TimePoint::max());
  if (held != TimePoint::max()) s->body_since_ += context_.loop.now() - held;
}

// ---- output ----

std::string& H2Connection::out() {
  auto& spare = Spares::of_this_thread().buffers;
  if (work_->out.capacity() >= kH2FrameHead + 8 || spare.empty()) return work_->out;
  work_->out = std::move(spare.back());
  spare.pop_back();
  return work_->out;
}

void H2Connection::goaway(uint32_t last, H2Error error) {
  h2_append_head(out(), 8, H2Type::kGoaway, 0, 0);
  char payload[8];
  h2_put32(h2_put32(payload, last), static_cast<uint32_t>(error));
  work_->out.append(payload, sizeof payload);
}

void H2Connection::queue(H2Stream& s) {
  if (s.ready_) return;
  s.ready_ = true;
  ++work_->ready_count;
  s.next_ready_ = nullptr;
  s.previous_ready_ = work_->last_ready;
  (work_->last_ready != nullptr ? work_->last_ready->next_ready_ : work_->first_ready) = &s;
  work_->last_ready = &s;
}

void H2Connection::unqueue(H2Stream& s) {
  if (!s.ready_) return;
  s.ready_ = false;
  --work_->ready_count;
  (s.previous_ready_ != nullptr ? s.previous_ready_->next_ready_ : work_->first_ready) = s.next_ready_;
  (s.next_ready_ != nullptr ? s.next_ready_->previous_ready_ : work_->last_ready) = s.previous_ready_;
}

// One frame of each in turn, so that a large reply holds no small one up.
void H2Connection::pump() {
  work_->pump_stopped = false;
  size_t in_vain = 0;
  while (work_->first_ready != nullptr && in_vain <= work_->ready_count) {
    if (outbox_full()) {
      work_->pump_stopped = true;
      return;
    }
    H2Stream& s = *work_->first_ready;
    unqueue(s);
    in_vain = s.send_kept() ? 0 : in_vain + 1;
    if (s.sendable()) queue(s);
  }
}

void H2Connection::mark_dirty() {
  if (!over_) work_->schedule(context_.loop);
}

bool H2Connection::deliver() {
  if (work_->delivering) return false;
  work_->delivering = true;
  bool any = false;
  while (!work_->closed.empty()) {
    any = true;
    H2Stream* s = work_->closed.back();
    work_->closed.pop_back();
    finish_request(*s, s->reply_sent_ && !s->aborted_);
  }
  if (work_->blocked_count > 0) {
    for (H2Stream* s = work_->streams; s != nullptr; s = s->next_) {
      if (!s->blocked_ || s->closed_ || s->aborted_) continue;
      const int64_t limit = work_->buffered > kConnectionBuffer ? kStreamMinimum : kStreamBuffer;
      if (static_cast<int64_t>(s->buffered()) > limit / 2) continue;
      s->blocked_ = false;
      --work_->blocked_count;
      any = true;
      if (s->handler_ != nullptr) s->handler_->on_writable();
    }
  }
  work_->delivering = false;
  return any;
}

void H2Connection::flush() {
  if (work_->out.empty()) return;
  work_->written += work_->out.size();
  stream_->write_now(work_->out);
  work_->out.clear();
  auto& spare = Spares::of_this_thread().buffers;
  if (work_->out.capacity() <= Spares::kMostOfBuffer && spare.size() < Spares::kMostBuffers)
    spare.push_back(std::move(work_->out));
  work_->out = std::string();
}

void H2Connection::end_of_turn() {
  if (over_ || lingering_) return;
  for (int round = 0; round < 4; ++round) {
    pump();
    const bool more = deliver();
    if (over_) return;
    if (work_->pump_stopped && stream_->pending() == 0) {
      flush();
    } else if (!more) {
      break;
    }
  }
  flush();
  if (over_) return;
  const size_t pending = stream_->pending();
  note_pending(pending);
  if (pending == 0 && work_->pump_stopped) alarms_.arm_after(Alarm::kAgain, Duration::zero());
  const bool ended = ending_ || ((goaway_sent_ || goaway_received_) && work_->stream_count == 0);
  if (ended) return linger();
  if (work_->stream_count == 0) {
    if (!alarms_.armed(Alarm::kIdle) && !closing()) alarms_.arm_after(Alarm::kIdle, context_.options.idle_timeout);
    if (pending == 0 && work_->is_idle()) rest();
  } else if (!alarms_.armed(Alarm::kLimits) && (work_->bodies > 0 || work_->buffered > 0)) {
    arm_limits();
  }
}

}  // namespace colony::http
