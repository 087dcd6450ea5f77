// The request's way back: reply, credit, failure, deadline. Replies go from the link's buffer to the client's exchange;
// nothing is copied here but a head that lacks its x-request-id.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "request/proxy/forward/forward.h"
#include "transport/backend/link.h"

namespace colony::proxy {
namespace {

// The replica's answer says that it did not begin, so another one may be asked.
bool refuses(const http::ReplyHead& head, bool grpc) {
  if (head.status != 503 && !(grpc && head.has(http::Name::kGrpcStatus))) return false;
  const auto reason = head.find("x-colony-reason");
  return reason && policy::says_not_begun(*reason);
}

}  // namespace

void Forward::reply_head(const http::ReplyHead& head, std::string_view body, bool end) {
  if (head.status == 101 && upgrade_) {
    tunnel_ = true;
    timer_.cancel();  // the deadline was the handshake's
  } else if (head.status < 200) {
    return interim_reply(head);
  }
  if (refuses(head, grpc_)) {
    refused_ = true;
    ReplicaLink& link = *link_;
    if (const frame::CallId call = call_; try_again(policy::Failure::kRefused)) {
      if (!end) link.link().cancel(call);
      return;
    }
  }
  reply_begun_ = true;
  status_ = head.status;
  deployment_->stats().first_byte_after(shared_.loop.now() - slot_at_);
  if (grpc_)
    if (const auto* status = head.find(http::Name::kGrpcStatus)) note_grpc_status(status->value);
  if (end)
    end_call(outcome());
  else if (at_once_)
    free_slot_early(head, body);
  const http::More more = end ? http::More::kNo : http::More::kYes;
  if (head.has(http::Name::kXRequestId))
    exchange_->reply(head, body, more);
  else
    reply_with_id(head, body, more);
  if (!end) take_reply_credit(body.size());
}

// WHY it is parsed here: the replica's head may be as large as a head may be, and has a line more now.
void Forward::reply_with_id(const http::ReplyHead& head, std::string_view body, http::More more) {
  trailers_ = "x-request-id: ";
  trailers_ += request_id_;
  trailers_ += "\r\n";
  if (tunnel_) append_upgrade_lines(trailers_, head);
  drop_kept();
  message_.clear();
  head_size_ = 0;
  http::append_forwardable(message_, head, trailers_);
  trailers_.clear();
  http::ReplyHead sent;
  http::ParseError error;
  if (http::parse_inner_reply_head(message_, sent, error) == http::ParseState::kComplete)
    exchange_->reply(sent, body, more);
  else
    exchange_->abort(internal_error("the reply's head is malformed: " + std::string(error.message), "bad_reply"));
}

// What a slow client leaves unread of an answer that is made is no work of the replica's, and keeps nobody from it.
void Forward::free_slot_early(const http::ReplyHead& head, std::string_view body) {
  size_t whole = head.content_length.value_or(0);
  if (grpc_ && body.size() >= 5) {  // the prefix of its one message
    whole = 0;
    for (size_t i = 1; i < 5; ++i) whole = whole << 8 | static_cast<unsigned char>(body[i]);
    whole += 5;
  }
  const size_t unread = whole - std::min(whole, body.size());
  if (whole == 0 || shared_.unread_bytes + unread > kMaxUnread) return;
  counted_unread_ = unread;
  shared_.unread_bytes += unread;
  holds_slot_ = false;
  deployment_->release(*link_, shared_.loop.now() - slot_at_);
}

// Of a reply that came whole.
Outcome Forward::outcome() const {
  if (refused_) return Outcome::kNothing;
  const bool bad_grpc = grpc_ && (grpc_status_ == static_cast<uint8_t>(Code::kUnknown) ||
                                  grpc_status_ == static_cast<uint8_t>(Code::kDeadlineExceeded) ||
                                  (grpc_status_ >= static_cast<uint8_t>(Code::kInternal) &&
                                   grpc_status_ <= static_cast<uint8_t>(Code::kDataLoss)));
  return bad_grpc || (status_ >= 500 && status_ != 501) ? Outcome::kBad : Outcome::kGood;
}

// The reply is still to come.
void Forward::interim_reply(const http::ReplyHead& head) {
  if (head.status == 101) {
    link_->link().cancel(call_);
    end_call(Outcome::kBad);
    answer(internal_error("the replica switches protocols unasked", "bad_reply"));
  } else {
    exchange_->reply(head, {}, http::More::kYes);
  }
}

void Forward::note_grpc_status(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  std::from_chars(text.data(), text.data() + text.size(), grpc_status_);
}

void Forward::reply_body(std::string_view data, bool end) {
  if (end) end_call(outcome());
  exchange_->body(data, end ? http::More::kNo : http::More::kYes);
  if (!end) take_reply_credit(data.size());
}

void Forward::reply_end(std::string_view trailers) {
  if (tunnel_) return end_reply_half();
  if (grpc_) {
    constexpr std::string_view kName = "grpc-status:";
    for (std::string_view rest = trailers; !rest.empty();) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      if (line.size() > kName.size() && http::iequals(line.substr(0, kName.size()), kName))
        note_grpc_status(line.substr(kName.size()));
      rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    }
  }
  end_call(outcome());
  exchange_->end(trailers);
}

// The call goes on until on_tunnel_over, for a moment: the client's connection bounds the half that is left. WHY without a
// slot: whoever has said its last word does no more work for this client.
void Forward::end_reply_half() {
  exchange_->end({});
  if (state_ == State::kRunning && std::exchange(holds_slot_, false)) deployment_->release(*link_, Duration::zero());
}

// The replica may send as much again as the client has room for.
void Forward::take_reply_credit(size_t bytes) {
  reply_uncredited_ += bytes;
  if (reply_uncredited_ == 0 || exchange_->writable() <= 0) return;
  link_->link().consumed(call_, std::exchange(reply_uncredited_, 0));
}

void Forward::on_writable() {
  if (state_ == State::kRunning && reply_uncredited_ > 0)
    link_->link().consumed(call_, std::exchange(reply_uncredited_, 0));
}

void Forward::end_call(Outcome outcome) {
  state_ = State::kAnswered;
  timer_.cancel();
  if (uncredited_ > 0) exchange_->consumed(std::exchange(uncredited_, 0));
  ReplicaLink* link = std::exchange(link_, nullptr);
  shared_.unread_bytes -= std::exchange(counted_unread_, 0);
  deployment_->call_over(*this, *link, outcome);
  // May start another request on this link, so it comes last.
  if (std::exchange(holds_slot_, false))
    deployment_->release(*link,
                         outcome == Outcome::kGood && !tunnel_ ? shared_.loop.now() - slot_at_ : Duration::zero());
}

// True: the call is over and the request waits for another replica, or runs there already.
bool Forward::try_again(policy::Failure failure) {
  const TimePoint now = shared_.loop.now();
  const auto verdict = policy::may_retry({.failure = failure,
                                          .reply_begun = reply_begun_,
                                          .body_kept = kept_whole_,
                                          .idempotent = idempotent_,
                                          .other_ready = deployment_->other_ready(*this),
                                          .still_ready = link_->ready(),
                                          .tries = tries(),
                                          .now = now,
                                          .deadline = deadline_});
  if (verdict == policy::Retry::kNo) return false;
  if (verdict == policy::Retry::kBudget && !deployment_->retry_budget().take(now)) {
    deployment_->stats().retry_refused();
    return false;
  }
  if (log_enabled(LogLevel::kDebug)) [[unlikely]]
    log(fmt::format("sent again: {} has failed it", link_->record().id));
  refused_ = false;
  end_call(failure == policy::Failure::kLost ? Outcome::kLost : Outcome::kNothing);
  deployment_->stats().retried();
  state_ = State::kQueued;
  timer_.arm(deadline_.time());
  deployment_->submit_again(*this);
  return true;
}

void Forward::call_failed(const Error& error) {
  const auto failure = error.retry == Retry::kYes && error.reason == backend::kReset ? policy::Failure::kRefused
                       : error.retry == Retry::kYes                                  ? policy::Failure::kNotTaken
                       : error.retry == Retry::kIfFresh                              ? policy::Failure::kLost
                                                                                     : policy::Failure::kBroken;
  if (log_enabled(LogLevel::kDebug)) [[unlikely]]
    log(fmt::format("failed on {}: {}", link_->record().id, error.message));
  if (try_again(failure)) return;
  const std::string lost = link_->record().id;
  // What ends a tunnel out of order may have been its client's or its protocol's doing.
  end_call(failure == policy::Failure::kLost ? Outcome::kLost
           : failure == policy::Failure::kBroken && !tunnel_ && error.reason != backend::kBadRequest
               ? Outcome::kBad
               : Outcome::kNothing);
  if (reply_begun_) {
    deployment_->stats().replica_lost.add();
    exchange_->abort(error);
    return;
  }
  // What was not taken has a time of the link's own in it: a connection that was not made in two seconds.
  const bool too_late = error.code == Code::kDeadlineExceeded && error.retry != Retry::kYes;
  if (too_late || deadline_.passed(shared_.loop.now())) {
    deployment_->stats().refused("deadline");
    answer(deadline_error());
    return;
  }
  if (error.reason == backend::kBadRequest) return answer(error);
  deployment_->stats().replica_lost.add();
  if (grpc_ && error.reason == backend::kReset) return answer(error);
  answer(unavailable(fmt::format("replica {} was lost before it answered: {}", lost, error.message), "replica_lost"));
}

void Forward::on_deadline() {
  if (deployment_) deployment_->stats().refused("deadline");
  const Error error = deadline_error();
  if (state_ == State::kRunning) {
    link_->link().cancel(call_);
    // Where the client is not done with its part the time may have been the client's.
    end_call(ended_ && !reply_begun_ ? Outcome::kBad : Outcome::kNothing);
    if (reply_begun_) {
      exchange_->abort(error);
      return;
    }
  } else if (state_ == State::kQueued) {
    deployment_->cancel(*this);
  }
  answer(error);
}

// As it travels in the head that is kept; empty once a reply's head has taken the buffer.
std::string_view Forward::traceparent() const {
  constexpr std::string_view kName = "traceparent:";
  for (std::string_view rest = head(); !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.size() < kName.size() || !http::iequals(line.substr(0, kName.size()), kName)) continue;
    line.remove_prefix(kName.size());
    while (line.starts_with(' ')) line.remove_prefix(1);
    while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
    return line;
  }
  return {};
}

// A line of the log about this request carries its ids.
void Forward::log(std::string_view text) const {
  const std::string ids = fmt::format("request_id={} traceparent={}", request_id_, traceparent());
  const LogContext context(ids);
  LOG(debug, "request {}", text);
}

// The last thing that is done for the client: the exchange may call on_done() after it.
void Forward::answer(const Error& error, int retry_after) {
  state_ = State::kAnswered;
  timer_.cancel();
  status_ = grpc_ ? 200 : http_status(error.code);
  grpc_status_ = static_cast<uint8_t>(error.code);
  if (uncredited_ > 0) exchange_->consumed(std::exchange(uncredited_, 0));
  if (log_enabled(LogLevel::kDebug)) [[unlikely]]
    log(fmt::format("answered {} ({}): {}", status_, error.reason, error.message));
  std::string extra = fmt::format("x-request-id: {}\r\n", request_id_);
  if (const auto trace = traceparent(); !trace.empty()) extra += fmt::format("traceparent: {}\r\n", trace);
  if (retry_after > 0) extra += fmt::format("retry-after: {}\r\n", retry_after);
  reply_begun_ = true;
  http::reply_error(*exchange_, grpc_, error, extra);
}

}  // namespace colony::proxy
