// See call.h: the part that unary and streaming calls share.
#include "transport/grpc/call.h"

#include <fmt/core.h>

#include <algorithm>
#include <new>

#include "base/check.h"
#include "transport/grpc/status.h"
#include "transport/http/made_reply.h"

namespace colony::grpc {

CallState::CallState(Dispatcher& dispatcher, http::Exchange& exchange, const http::RequestHead& head,
                     const CallSetup& setup)
    : dispatcher_(dispatcher),
      exchange_(&exchange),
      loop_(exchange.loop()),
      decoder_(setup.messages == Messages::kPlain
                   ? std::min(dispatcher.options_.max_plain, dispatcher.options_.max_message)
                   : dispatcher.options_.max_message,
               setup.coding == compress::Coding::kIdentity ? Packed::kNo : Packed::kYes),
      peer_(exchange.peer()),
      setup_(setup),
      next_(dispatcher.calls_) {
  head_.append(head.block);
  method_ = head_.view().substr(static_cast<size_t>(head.path.data() - head.block.data()), head.path.size());
  for (const auto& [id, name] : dispatcher.options_.echoed)
    if (const http::Field* const f = head.find(id)) headers_.append(name, ": ", f->value, "\r\n");
  if (next_ != nullptr) next_->previous_ = this;
  dispatcher.calls_ = this;
  ++dispatcher.stats_.open_calls;
}

CallState::~CallState() {
  dispatcher_.buffered_ -= accounted_;
  --dispatcher_.stats_.open_calls;
  (previous_ != nullptr ? previous_->next_ : dispatcher_.calls_) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
}

void CallState::arm_deadline() {
  if (setup_.deadline.is_never()) return;
  timer_.emplace(loop_, [this] {
    Enter enter(*this);
    const Error late = deadline_exceeded("the call's deadline has passed", "deadline");
    send_status(&late);
    if (cancelled_) return;
    cancelled_ = true;
    ++dispatcher_.stats_.cancelled;
    cancel();
  });
  timer_->arm(setup_.deadline.time());
}

void CallState::on_done(bool ok) {
  Enter enter(*this);
  exchange_ = nullptr;
  if (timer_) timer_->cancel();
  if (!ok && !cancelled_) {
    cancelled_ = true;
    ++dispatcher_.stats_.cancelled;
    cancel();
  }
  over();
}

void CallState::maybe_delete() {
  if (exchange_ == nullptr && released_ && depth_ == 0) destroy();
}

void CallState::account() {
  auto& total = dispatcher_.buffered_;
  total = total - accounted_ + decoder_.buffered();
  accounted_ = decoder_.buffered();
}

Error CallState::no_room() const {
  return unavailable(fmt::format("messages of {} bytes are being held; no room for more", dispatcher_.buffered_),
                     std::string(dispatcher_.options_.full_reason));
}

std::optional<std::string_view> CallState::header(std::string_view lower_name) const {
  std::string_view lines = head_;
  lines.remove_prefix(lines.find("\r\n") + 2);
  while (lines.size() > 2) {
    const size_t eol = lines.find("\r\n");
    const std::string_view line = lines.substr(0, eol);
    lines.remove_prefix(eol + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !http::iequals(line.substr(0, colon), lower_name)) continue;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    return value;
  }
  return std::nullopt;
}

MessageDecoder::State CallState::next_message(std::string_view& message) {
  if (unpack_error_) return MessageDecoder::State::kBad;
  const auto state = decoder_.next(message);
  if (state != MessageDecoder::State::kMessage || decoder_.packed() == Packed::kNo ||
      setup_.messages == Messages::kAsSent) {
    return state;
  }
  try {
    auto plain = compress::decompress(setup_.coding, message,
                                      std::min(dispatcher_.options_.max_plain, dispatcher_.options_.max_message));
    if (!plain) {
      unpack_error_ = std::move(plain).error();
      return MessageDecoder::State::kBad;
    }
    unpacked_ = std::move(*plain);
  } catch (const std::bad_alloc&) {
    unpack_error_ = no_memory_for_message();
    return MessageDecoder::State::kBad;
  }
  message = unpacked_;
  return state;
}

void CallState::send_message(std::string_view message, Packed packed) {
  if (!can_send()) return;
  std::string smaller;
  if (setup_.messages == Messages::kPlain && setup_.reply_coding != compress::Coding::kIdentity &&
      message.size() >= compress::kLeastPacked && message.size() <= kMostInline) {
    smaller = compress::compress(setup_.reply_coding, message);
    message = smaller;
    packed = Packed::kYes;
  }
  // Small: one frame. Large: a copy less is worth a frame more.
  constexpr size_t kJoin = 16 * 1024;
  std::string& framed = dispatcher_.body_scratch_;
  framed.clear();
  if (message.size() <= kJoin) {
    append_message(framed, message, packed);
  } else {
    append_prefix(framed, message.size(), packed);
  }
  if (head_sent_) {
    exchange_->body(framed, http::More::kYes);
  } else {
    head_sent_ = true;
    ShortText<512> head;
    head.append("HTTP/1.1 200 OK\r\ncontent-type: ", kContentType, "\r\n", headers_);
    if (setup_.reply_coding != compress::Coding::kIdentity)
      head.append("grpc-encoding: ", compress::to_string(setup_.reply_coding), "\r\n");
    head.append("\r\n");
    // What it is made of is fixed, was checked when a method added it, or has come through a parser.
    http::reply_made(*exchange_, 200, head, std::nullopt, framed, http::More::kYes);
  }
  if (message.size() > kJoin && exchange_ != nullptr) exchange_->body(message, http::More::kYes);
}

void CallState::send_status(const Error* error) {
  if (!can_send()) return;
  status_sent_ = true;
  if (error != nullptr) ++dispatcher_.stats_.failed;
  if (error == nullptr && head_sent_ && trailers_.size() == 0) return exchange_->end(kOkTrailers);
  std::string status = error != nullptr ? error_trailers(*error) : std::string(kOkTrailers);
  status += trailers_;
  if (head_sent_) return exchange_->end(status);
  exchange_->reply(
      fmt::format("HTTP/1.1 200 OK\r\ncontent-type: {}\r\n{}{}\r\n", kContentType, headers_.view(), status), {},
      http::More::kNo);
}

}  // namespace colony::grpc
