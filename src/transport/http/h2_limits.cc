// The limits of an HTTP/2 connection: what a request may measure, and how long a client may take for its part. What one
// request does wrong ends that request; its connection goes on.
#include <algorithm>
#include <utility>

#include "transport/http/h2_connection.h"

namespace colony::http {
namespace {

constexpr double kFarAway = 1e6;  // seconds

}  // namespace

int32_t H2Connection::window_size() const {
  return static_cast<int32_t>(std::clamp<size_t>(context_.options.body_window, 1, kH2MaxWindow));
}

H2Connection::Refusal H2Connection::refusal_of(int status, std::string_view problem) {
  Refusal out{status, problem, {}};
  if (status == 431) out.limit = problem.ends_with("fields") ? Limit::kHeadFields : Limit::kHeadBytes;
  return out;
}

std::optional<H2Connection::Refusal> H2Connection::over_limit(const RequestHead& head) const {
  const ServerOptions& options = context_.options;
  if (head.target.size() > options.max_url) return Refusal{414, "the target is longer than the limit", Limit::kUrl};
  if (head.count > options.max_head_fields && counted_fields(head) > options.max_head_fields)
    return Refusal{431, "more fields than the limit", Limit::kHeadFields};
  if (head.block.size() > options.max_head_bytes)
    return Refusal{431, "the head is larger than the limit", Limit::kHeadBytes};
  if (options.max_body > 0 && head.content_length.value_or(0) > options.max_body)
    return Refusal{413, "the body is larger than the limit", Limit::kBody};
  return std::nullopt;
}

// A body that did not say how long it is.
void H2Connection::hold_to_body_limit(H2Stream& s) {
  if (context_.options.max_body == 0 || s.received_ <= context_.options.max_body) return;
  refuse(s, {413, "the body is larger than the limit", Limit::kBody});
}

// Answers instead of the Service, which has nothing to do with the request any more; what has begun to be answered is
// broken off. Never inside an Exchange call.
void H2Connection::refuse(H2Stream& s, const Refusal& refusal) {
  if (s.closed_) return;
  ++context_.stats.bad_requests;
  if (refusal.limit) context_.stats.hit(*refusal.limit);
  ExchangeHandler* const handler = std::exchange(s.handler_, nullptr);
  if (s.replied_) {
    s.aborted_ = true;
    reset_stream(s, H2Error::kCancel);
  } else {
    const std::string_view reason = refusal.limit ? limit_name(*refusal.limit) : "bad_request";
    const std::string body =
        error_json(Error{code_from_http(refusal.status), "bad request: " + std::string(refusal.message),
                         std::string(reason), Origin::kClient});
    HeadWriter head = HeadWriter::reply(refusal.status);
    head.field("content-type", "application/json").field("x-colony-reason", reason);
    s.reply(head.finish(), body, More::kNo);
  }
  if (handler != nullptr) handler->on_done(false);
}

// By when its client must have sent more of its body. What we hold back ourselves, or have not asked for, costs it no time.
TimePoint H2Connection::body_due(const H2Stream& s) const {
  const ServerOptions& options = context_.options;
  const bool waits = s.handler_ != nullptr && !s.request_ended_ && !s.replied_ && !s.closed_;
  if (!waits || s.expecting_ || s.held_since_ != TimePoint::max() || options.body_rate == 0) return TimePoint::max();
  return s.body_since_ + options.body_timeout +
         from_seconds(std::min(static_cast<double>(s.received_) / static_cast<double>(options.body_rate), kFarAway));
}

TimePoint H2Connection::look_at_body(H2Stream& s) {
  const TimePoint due = body_due(s);
  if (due > context_.loop.now()) return due;
  refuse(s, {408, "the body does not come fast enough", Limit::kBodyTime});
  return TimePoint::max();
}

// A client that takes nothing at all is the outbox's; here the connection moves and a stream does not, because its own
// window is hardly ever opened. What it holds of our memory is given back.
TimePoint H2Connection::look_at_reply(H2Stream& s) {
  const ServerOptions& options = context_.options;
  if (s.closed_ || s.span_since_ == TimePoint::max()) return TimePoint::max();
  const TimePoint now = context_.loop.now();
  const Duration span = options.send_rate == 0 ? options.idle_timeout : options.send_timeout;
  if (now - s.span_since_ < span) return s.span_since_ + span;
  const auto enough = std::max(1.0, static_cast<double>(options.send_rate) * to_seconds(now - s.span_since_));
  const bool others_first = work_->pump_stopped || stream_->pending() > 0;
  s.span_since_ = now;
  if (static_cast<double>(std::exchange(s.left_in_span_, 0)) >= enough || others_first) return now + span;
  context_.stats.hit(Limit::kSendTime);
  s.aborted_ = true;
  reset_stream(s, H2Error::kCancel);
  return TimePoint::max();
}

// A span begins when bytes wait for the client.
void H2Connection::note_pending(size_t pending) {
  if (pending == 0) {
    work_->span_since = TimePoint::max();
    return;
  }
  if (!alarms_.armed(Alarm::kStall)) {
    work_->stalled_at = pending;
    alarms_.arm_after(Alarm::kStall, context_.options.idle_timeout);
  }
  if (work_->span_since != TimePoint::max() || context_.options.send_rate == 0) return;
  work_->span_since = context_.loop.now();
  work_->left_at_span = work_->written - pending;
  alarms_.arm(Alarm::kLimits, std::min(alarms_.at(Alarm::kLimits), work_->span_since + context_.options.send_timeout));
}

// A client that takes nothing of what waits for it is gone.
void H2Connection::on_stall() {
  const size_t pending = stream_->pending();
  if (pending == 0) return;
  if (pending >= work_->stalled_at) return finish();
  work_->stalled_at = pending;
  alarms_.arm_after(Alarm::kStall, context_.options.idle_timeout);
}

TimePoint H2Connection::look_at_outbox() {
  const ServerOptions& options = context_.options;
  if (work_->span_since == TimePoint::max()) return TimePoint::max();
  const TimePoint now = context_.loop.now();
  if (now - work_->span_since < options.send_timeout) return work_->span_since + options.send_timeout;
  const uint64_t left = work_->written - stream_->pending();
  const auto enough = static_cast<double>(options.send_rate) * to_seconds(now - work_->span_since);
  if (static_cast<double>(left - work_->left_at_span) < enough) {
    context_.stats.hit(Limit::kSendTime);
    finish();
    return TimePoint::max();
  }
  work_->span_since = now;
  work_->left_at_span = left;
  return now + options.send_timeout;
}

// RFC 9113, 8.1: once the whole reply has gone, the rest of the request may be refused with NO_ERROR. WHY not at once:
// clients that are still sending take that for a failed request and drop the reply (curl 7.88 does). What comes meanwhile
// is dropped, and its credit given back, or the client could not come to its end.
void H2Connection::await_end(uint32_t id) {
  if (work_->unended.size() == kMostUnended) {
    h2_append_number(out(), H2Type::kRstStream, work_->unended.front().id, static_cast<uint32_t>(H2Error::kNoError));
    work_->unended.erase(work_->unended.begin());
  }
  work_->unended.push_back({id, context_.loop.now() + kUnended});
  if (!alarms_.armed(Alarm::kUnended)) alarms_.arm(Alarm::kUnended, work_->unended.front().until);
}

bool H2Connection::is_unended(uint32_t id) const {
  return std::ranges::any_of(work_->unended, [&](const H2Work::Unended& u) { return u.id == id; });
}

void H2Connection::client_ended(uint32_t id) {
  guard_.ids.ended(id);
  std::erase_if(work_->unended, [&](const H2Work::Unended& u) { return u.id == id; });
}

void H2Connection::on_unended() {
  const TimePoint now = context_.loop.now();
  auto first = work_->unended.begin();
  for (; first != work_->unended.end() && first->until <= now; ++first)
    h2_append_number(out(), H2Type::kRstStream, first->id, static_cast<uint32_t>(H2Error::kNoError));
  work_->unended.erase(work_->unended.begin(), first);
  if (!work_->unended.empty()) alarms_.arm(Alarm::kUnended, work_->unended.front().until);
  mark_dirty();
}

// One alarm for all of them: it comes at the latest when the earliest may be due, and looks.
void H2Connection::on_limits() {
  if (over_ || lingering_) return;
  TimePoint next = look_at_outbox();
  if (over_) return;
  for (H2Stream* s = work_->streams; s != nullptr; s = s->next_) {
    next = std::min(next, look_at_body(*s));
    next = std::min(next, look_at_reply(*s));
  }
  if (next != TimePoint::max()) alarms_.arm(Alarm::kLimits, next);
  deliver();
  mark_dirty();
}

// What begins while the alarm is not armed is due no earlier than this.
void H2Connection::arm_limits() {
  const ServerOptions& options = context_.options;
  TimePoint next = TimePoint::max();
  const TimePoint now = context_.loop.now();
  if (work_->bodies > 0 && options.body_rate > 0) next = now + options.body_timeout;
  if (work_->buffered > 0)
    next = std::min(next, now + (options.send_rate == 0 ? options.idle_timeout : options.send_timeout));
  if (next != TimePoint::max()) alarms_.arm(Alarm::kLimits, next);
}

}  // namespace colony::http
