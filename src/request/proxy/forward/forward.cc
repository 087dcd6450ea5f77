// The request's way in: head, body, queue, link. The way back is forward_reply.cc.
#include "request/proxy/forward/forward.h"

#include <fmt/format.h>

#include <algorithm>

#include "request/proxy/route/grpc_model_name.h"
#include "transport/grpc/framing.h"

namespace colony::proxy {
namespace {

constexpr size_t kKeepCapacity = 16 * 1024;  // a pooled buffer above this is given back

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

// Whether a model can serve now: a question that must not wait until it can.
bool asks_readiness(const http::RequestHead& head, bool grpc) {
  if (grpc) return head.path.ends_with("/ModelReady");
  return head.method == "GET" && (head.path.ends_with("/ready") || head.path.starts_with("/v1/models/"));
}

bool idempotent_method(Method m) { return m != Method::kPost && m != Method::kPatch && m != Method::kOther; }

}  // namespace

Forward::Forward(ForwardHost& host, ForwardShared& shared)
    : host_(host), shared_(shared), reply_side_(*this), timer_(shared.loop, [this] { on_deadline(); }) {}

void Forward::begin(http::Exchange& exchange, const http::RequestHead& head, const Plan& plan) {
  exchange_ = &exchange;
  const RequestFields fields = read_fields(head);
  grpc_ = plan.grpc;
  grpc_status_ = static_cast<uint8_t>(Code::kUnknown);
  method_ = method_of(head.method);
  inference_ = plan.inference;
  idempotent_ = plan.inference || idempotent_method(method_) || fields.idempotent;
  at_once_ = plan.inference && (head.path.ends_with("/infer") || head.path.ends_with(":predict") ||
                                (grpc_ && head.path.ends_with("/ModelInfer")));
  statistics_ = grpc_ && head.path.ends_with("/ModelStatistics");
  readiness_ = plan.inference && asks_readiness(head, grpc_);
  began_ = shared_.loop.now();
  // The head is kept in the form in which it travels: it may be sent twice.
  upgrade_ = head.upgrade;
  append_request_block(message_, head, fields, {exchange.peer(), exchange.secure()}, shared_.trusted,
                       shared_.loop.rng(), request_id_);
  head_size_ = message_.size();
  kept_whole_ = !head.content_length || *head.content_length <= kReplayLimit;
  gather_ = kept_whole_ && (head.content_length || at_once_) && !head.expect_continue;
  client_timeout_ = fields.timeout;
  deadline_ = exchange.deadline();
  if (client_timeout_ != Duration::max()) deadline_ = deadline_.sooner(Deadline::after(began_, client_timeout_));
  if (fields.bad_timeout) {
    state_ = State::kAnswered;
    answer(
        invalid_argument("grpc-timeout is digits and a unit (\"250m\"), x-request-timeout-ms a whole number of "
                         "milliseconds",
                         "bad_timeout"));
    return;
  }
  if (plan.deployment && readiness_ && plan.deployment->ready_links() == 0) {
    state_ = State::kAnswered;
    answer(unavailable(fmt::format("no replica of {} is ready", plan.deployment->key()), "no_replica_ready"));
  } else if (plan.deployment) {
    route_to(*plan.deployment);
  } else {
    if (head.expect_continue) exchange.reply(kContinue, {}, http::More::kYes);
    state_ = State::kPeek;
    coding_ =
        compress::parse_coding(head.find("grpc-encoding").value_or("identity")).value_or(compress::Coding::kIdentity);
    deadline_ = deadline_.sooner(Deadline::after(began_, 60s));
    timer_.arm(deadline_.time());
  }
}

void Forward::begin_answered(http::Exchange& exchange, const http::RequestHead& head, int status) {
  exchange_ = &exchange;
  method_ = method_of(head.method);
  status_ = status;
  state_ = State::kAnswered;
  began_ = shared_.loop.now();
}

void Forward::route_to(DeploymentQueue& deployment) {
  deployment_ = &deployment;
  deployment_->add_user();
  idempotent_ |= deployment.record().idempotent;
  deadline_ = deadline_.sooner(Deadline::after(began_, deployment.request_timeout()));
  timer_.arm(deadline_.time());
  state_ = State::kFresh;
  if (!fresh_) {
    fresh_ = true;
    host_.end_of_turn(*this);
  }
}

void Forward::on_body(std::string_view data) {
  switch (state_) {
    case State::kIdle: return;
    case State::kAnswered: exchange_->consumed(data.size()); return;
    case State::kPeek:
      uncredited_ += data.size();
      keep(data);
      if (state_ == State::kPeek) peek();
      return;
    case State::kFresh:
      if (body().size() + data.size() <= kReplayLimit) {
        // The end is here in a moment, or the turn ends: then head and body leave as one frame.
        if (!gather_) uncredited_ += data.size();
        keep(data);
        if (gather_) exchange_->consumed(data.size());  // bounded, and nobody else's window waits for it
        return;
      }
      uncredited_ += data.size();
      kept_whole_ = false;
      send();
      if (state_ == State::kRunning) {
        link_->link().body(call_, data, false);
        give_credit();
      } else if (state_ == State::kQueued) {
        keep(data);
      }
      return;
    case State::kQueued:
      // Not said consumed: the client's window bounds what waits here.
      uncredited_ += data.size();
      if (body().size() + data.size() > kReplayLimit) kept_whole_ = false;
      keep(data);
      return;
    case State::kRunning:
      uncredited_ += data.size();
      if (kept_whole_ && !reply_begun_) {
        if (body().size() + data.size() <= kReplayLimit) {
          keep(data);
        } else {
          kept_whole_ = false;
          drop_kept();
        }
      }
      link_->link().body(call_, data, false);
      give_credit();
      return;
  }
}

void Forward::on_end(std::string_view trailers) {
  ended_ = true;
  if (!trailers.empty()) trailers_ = trailers;
  switch (state_) {
    case State::kIdle:
    case State::kAnswered:
    case State::kQueued: return;
    case State::kPeek: peek(); return;
    case State::kFresh: send(); return;
    case State::kRunning:
      if (!upgrade_ || tunnel_) link_->link().end(call_, trailers_);
      return;
  }
}

void Forward::keep(std::string_view data) {
  message_ += data;
  counted_kept_ += data.size();
  shared_.kept_bytes += data.size();
  if (shared_.kept_bytes > kMaxKept && state_ != State::kRunning) {
    if (deployment_) {
      deployment_->cancel(*this);
      deployment_->stats().refused("queue_full");
    }
    answer(unavailable("the proxy holds as many bytes of waiting requests as it may", "queue_full"));
  }
}

void Forward::drop_kept() {
  shared_.kept_bytes -= counted_kept_;
  counted_kept_ = 0;
  message_.resize(head_size_);
}

void Forward::peek() {
  std::string unpacked;
  std::string_view name, why;
  switch (grpc_model_name(body(), coding_, unpacked, name, why)) {
    case PeekState::kBad: answer(invalid_argument(std::string(why), "bad_message")); return;
    case PeekState::kNeedMore:
      if (ended_)
        answer(invalid_argument("the call ended before its first message was whole", "bad_message"));
      else if (body().size() > kPeekLimit)
        answer(invalid_argument(
            fmt::format("the model's name does not come within the first {} bytes of the message", kPeekLimit),
            "bad_message"));
      return;
    case PeekState::kFound: break;
  }
  if (name.empty() && statistics_) return answer_message(host_.all_model_statistics());
  DeploymentQueue* deployment = name.empty() ? nullptr : host_.find_model(name);
  if (readiness_ && !name.empty() && (!deployment || deployment->ready_links() == 0)) {  // no: the message is empty
    std::string reply;
    grpc::append_message(reply, {});
    return answer_message(reply);
  }
  if (!deployment) {
    answer(name.empty()
               ? invalid_argument("the request names no model", "no_model")
               : not_found(fmt::format("no model '{}' is served here ({})", name.substr(0, 200), host_.what_exists()),
                           "unknown_model"));
    return;
  }
  route_to(*deployment);
  if (ended_) send();
}

void Forward::answer_message(std::string_view framed) {
  state_ = State::kAnswered;
  status_ = 200;
  grpc_status_ = 0;
  timer_.cancel();
  exchange_->consumed(std::exchange(uncredited_, 0));
  exchange_->reply("HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n\r\n", framed, http::More::kYes);
  exchange_->end("grpc-status: 0\r\n");
}

void Forward::flush() {
  fresh_ = false;
  if (state_ == State::kFresh && (!gather_ || deployment_->removed())) send();
}

void Forward::send() {
  // A table without the deployment may have come between the head and the end of its turn.
  if (deployment_->removed()) return on_removed();
  state_ = State::kQueued;
  asked_at_ = shared_.loop.now();
  switch (deployment_->submit(*this, deadline_)) {
    case policy::Admission::kRun:
    case policy::Admission::kQueue: return;
    case policy::Admission::kRefuseFull:
      deployment_->stats().refused("queue_full");
      answer(unavailable(fmt::format("the queue of {} is full", deployment_->key()), "queue_full"),
             deployment_->retry_after());
      return;
    case policy::Admission::kRefuseLate:
      deployment_->stats().refused("deadline");
      if (deadline_.passed(shared_.loop.now()))
        answer(deadline_error());
      else
        answer(unavailable(fmt::format("{} could not answer within the request's deadline", deployment_->key()),
                           "would_miss_deadline"),
               deployment_->retry_after());
      return;
  }
}

void Forward::on_slot(ReplicaLink& link) {
  const TimePoint now = shared_.loop.now();
  if (tries() == 1) deployment_->stats().queued_for(now - asked_at_);
  deployment_->stats().sent();
  state_ = State::kRunning;
  slot_at_ = now;
  link_ = &link;
  holds_slot_ = true;
  const bool whole = ended_ && trailers_.empty() && !upgrade_;
  call_ = link.link().call_block(head(), body(), whole, deadline_, reply_side_);
  if (ended_ && !whole && !upgrade_) link.link().end(call_, trailers_);
  if (!kept_whole_) drop_kept();
  give_credit();
}

void Forward::on_removed() {
  answer(not_found(fmt::format("{} was deleted while the request waited", deployment_->key()), "deployment_removed"));
}

// Bytes that are on their way on the link are the client's to send again as far as the replica takes them.
void Forward::give_credit() {
  if (uncredited_ == 0 || state_ != State::kRunning || link_->link().writable(call_) <= 0) return;
  exchange_->consumed(std::exchange(uncredited_, 0));
}

Error Forward::deadline_error() const {
  const auto ms = to_ms(shared_.loop.now() - began_);
  if (tries() == 0 && deployment_ && deployment_->ready_links() == 0)
    return deadline_exceeded(fmt::format("no replica of {} became ready within {} ms", deployment_->key(), ms),
                             "no_replica_ready");
  if (state_ == State::kFresh)
    return deadline_exceeded(fmt::format("the request's body did not come whole within {} ms", ms),
                             "request_incomplete");
  return deadline_exceeded(
      fmt::format("no answer from {} within {} ms", deployment_ ? deployment_->key() : std::string("the client"), ms),
      "deadline");
}

// Only what speaks the tunnel's protocol can end it in order: that is the replica.
void Forward::on_drain() {
  if (state_ == State::kRunning) link_->link().drain(call_);
}

void Forward::on_done(bool ok) {
  timer_.cancel();
  if (state_ == State::kRunning) {
    link_->link().cancel(call_);
    end_call(Outcome::kNothing);
    if (deployment_ && !ok) deployment_->stats().client_gone.add();
  } else if (state_ == State::kQueued) {
    deployment_->cancel(*this);
    deployment_->stats().client_gone.add();
  }
  {
    RouteStats& stats = deployment_ ? deployment_->stats() : shared_.unrouted;
    stats.answered(method_, ok ? status_ : 0, shared_.loop.now() - began_);
    if (grpc_) stats.answered_grpc(ok ? grpc_status_ : static_cast<uint8_t>(Code::kCancelled));
    if (deployment_) deployment_->drop_user();
  }
  drop_kept();
  state_ = State::kIdle;
  grpc_ = inference_ = idempotent_ = statistics_ = readiness_ = at_once_ = gather_ = refused_ = ended_ = kept_whole_ =
      reply_begun_ = false;
  upgrade_ = tunnel_ = false;
  forget_tries();
  status_ = 0;
  exchange_ = nullptr;
  deployment_ = nullptr;
  link_ = nullptr;
  uncredited_ = reply_uncredited_ = 0;
  trailers_.clear();
  if (message_.capacity() > kKeepCapacity) {
    std::string().swap(message_);
    head_size_ = 0;
  }
  host_.recycle(*this);
}

}  // namespace colony::proxy
