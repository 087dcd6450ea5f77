// The limits of an HTTP/1.1 connection: what a request may measure, and how long a client may take for its part.
#include <algorithm>

#include "transport/http/h1_connection.h"

namespace colony::http {
namespace {

constexpr double kFarAway = 1e6;  // seconds

}  // namespace

// The request line alone may be what is too large: then its target is.
void Http1Connection::refuse_large_head(std::string_view rest, std::string_view message) {
  if (rest.find('\n') == rest.npos) return refuse(414, "the target is longer than the limit", Limit::kUrl);
  refuse(431, message, message.ends_with("fields") ? Limit::kHeadFields : Limit::kHeadBytes);
}

bool Http1Connection::over_limit(const RequestHead& head) {
  const ServerOptions& options = context_.options;
  if (head.target.size() > options.max_url)
    refuse(414, "the target is longer than the limit", Limit::kUrl);
  else if (head.count > options.max_head_fields && counted_fields(head) > options.max_head_fields)
    refuse(431, "more fields than the limit", Limit::kHeadFields);
  else if (head.block.size() > options.max_head_bytes)
    refuse(431, "the head is larger than the limit", Limit::kHeadBytes);
  else
    return options.max_body > 0 && over_body_limit(head.content_length.value_or(0));
  return true;
}

bool Http1Connection::over_body_limit(uint64_t size) {
  if (context_.options.max_body == 0 || size <= context_.options.max_body) return false;
  refuse(413, "the body is larger than the limit", Limit::kBody);
  return true;
}

void Http1Connection::rearm_by(TimePoint at) {
  if (at < timer_.at()) timer_.arm(at);
}

// By when the client must have sent more of its body. What we hold back ourselves, or have not asked for, costs it no time.
TimePoint Http1Connection::body_due() const {
  const ServerOptions& options = context_.options;
  const bool waits = handler_ && (in_ == In::kLength || in_ == In::kChunked) && out_ == Out::kNone;
  if (!waits || paused_ || expecting_ || options.body_rate == 0) return TimePoint::max();
  return body_since_ + options.body_timeout +
         from_seconds(std::min(static_cast<double>(body_got_) / static_cast<double>(options.body_rate), kFarAway));
}

// Looks at the span that has passed, and begins the next one.
bool Http1Connection::client_takes_too_little(TimePoint now) {
  const ServerOptions& options = context_.options;
  const size_t pending = stream_->pending();
  if (pending == 0 || options.send_rate == 0) span_since_ = TimePoint::max();
  if (span_since_ == TimePoint::max() || now - span_since_ < options.send_timeout) return false;
  const uint64_t left = written_ - pending;
  const auto enough = static_cast<double>(options.send_rate) * to_seconds(now - span_since_);
  const bool too_little = static_cast<double>(left - left_at_span_) < enough;
  span_since_ = now;
  left_at_span_ = left;
  return too_little;
}

// One timer for all limits: it comes at the latest when the earliest of them may be due, and looks.
void Http1Connection::on_timer() {
  const TimePoint now = context_.loop.now();
  const ServerOptions& options = context_.options;
  const size_t pending = stream_->pending();
  if (pending != stalled_at_) {
    stalled_at_ = pending;
    if (pending > 0) since_ = now;
  }
  if (client_takes_too_little(now)) {
    context_.stats.hit(Limit::kSendTime);
    return over();
  }
  const bool tunnel = in_ == In::kTunnel || out_ == Out::kTunnel || out_ == Out::kTunnelEnded;
  TimePoint due = since_ + (tunnel ? options.tunnel_idle : options.idle_timeout);
  bool waits_for_client = true;
  switch (in_) {
    case In::kHead: due = std::min(due, seen_ > 0 ? head_since_ + options.head_timeout : due); break;
    case In::kLength:
    case In::kChunked:
      if (!handler_)
        due = head_since_ + options.head_timeout;
      else
        waits_for_client = pending > 0 || (out_ == Out::kNone && !paused_ && !expecting_);
      break;
    case In::kTunnel:
      // What our end still waits behind is the client's to take, as of any reply.
      if (out_ == Out::kTunnelEnded) due = pending > 0 ? since_ + options.idle_timeout : linger_since_ + kTunnelRest;
      break;
    case In::kWhole: waits_for_client = tunnel || pending > 0; break;
    case In::kLinger:
      due = pending > 0 ? since_ + options.idle_timeout : std::min(since_ + kLingerTime, linger_since_ + kLingerMost);
      break;
    case In::kOver: return;
  }
  if (!waits_for_client) since_ = now, due = now + options.idle_timeout;
  due = std::min(due, body_due());
  if (now < due) {
    timer_.arm(span_since_ == TimePoint::max() ? due : std::min(due, span_since_ + options.send_timeout));
  } else if (in_ == In::kHead && seen_ > 0) {
    refuse(408, "the head did not become whole in time", Limit::kHeadTime);
  } else if (handler_ && in_ != In::kWhole && out_ == Out::kNone) {
    refuse(408, "the body does not come fast enough", Limit::kBodyTime);
  } else if (out_ == Out::kTunnelEnded && pending == 0) {
    finish_request();  // whole, as far as the service is concerned
    over();
  } else {
    if (in_ != In::kLinger) context_.stats.hit(tunnel ? Limit::kTunnelIdle : Limit::kIdle);
    over();
  }
}

}  // namespace colony::http
