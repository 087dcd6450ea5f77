// See ws.h. The reader walks what it is shown frame by frame; a message's bytes are unmasked into one string as they come.
#include "transport/http/ws.h"

#include <algorithm>
#include <new>

#include "transport/http/head_grammar.h"

namespace colony::http {

using namespace ws;

namespace {

constexpr size_t kOneWrite = 4096;                  // up to here header and payload leave in one piece
constexpr size_t kKeepCapacity = size_t{64} << 10;  // a message's memory above this is given back

bool lists(std::string_view value, std::string_view lower) {
  return !grammar::for_each_option(value, [&](std::string_view item) { return !iequals(item, lower); });
}

}  // namespace

bool wants_websocket(const RequestHead& head) {
  return head.upgrade && lists(head.find("upgrade").value_or(""), "websocket");
}

Result<WebSocket*> WebSocket::accept(Exchange& exchange, const RequestHead& head, std::string_view lines,
                                     WebSocketHandler& handler, const WebSocketOptions& options,
                                     std::string& lines_of_error) {
  if (head.method != "GET")
    return fail(invalid_argument("a WebSocket is opened by GET, not " + std::string(head.method), "bad_handshake"));
  if (head.find("sec-websocket-version").value_or("") != "13") {
    lines_of_error = "sec-websocket-version: 13\r\n";
    return fail(invalid_argument("Sec-WebSocket-Version is not 13", "bad_handshake"));
  }
  const std::string key = accept_key(head.find("sec-websocket-key").value_or(""));
  if (key.empty()) return fail(invalid_argument("Sec-WebSocket-Key is not 16 bytes in base64", "bad_handshake"));
  exchange.reply(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: " + key +
          "\r\n" + std::string(lines) + "\r\n",
      {}, More::kYes);
  return new WebSocket(exchange, handler, options);
}

WebSocket::WebSocket(Exchange& exchange, WebSocketHandler& handler, const WebSocketOptions& options)
    : exchange_(exchange),
      handler_(handler),
      options_(options),
      timer_(exchange.loop(), [this] { on_timer(); }),
      heard_(exchange.loop().now()) {
  timer_.arm_after(options_.ping_every);
}

void WebSocket::on_body(std::string_view data) {
  heard_ = exchange_.loop().now();
  pinged_ = false;
  held_ += data.size();
  if (state_ != State::kEnded) read(data);
  if (state_ == State::kEnded || exchange_.writable() > 0) take();
}

void WebSocket::take() {
  if (held_ > 0) exchange_.consumed(std::exchange(held_, 0));
}

void WebSocket::read(std::string_view data) {
  while (state_ != State::kEnded) {
    if (!in_frame_) {
      if (data.empty()) return;
      const size_t kept = header_bytes_.size();
      header_bytes_ += data.substr(0, kMaxHeader - kept);
      std::string_view why;
      switch (parse_frame_header(header_bytes_, frame_, why)) {
        case FrameState::kNeedMore: return;
        case FrameState::kBad: return give_up(kProtocolError, why);
        case FrameState::kComplete: break;
      }
      data.remove_prefix(frame_.size - kept);
      header_bytes_.clear();
      if (!begin_frame()) return;
    }
    const std::string_view piece = data.substr(0, std::min<uint64_t>(left_, data.size()));
    data.remove_prefix(piece.size());
    take_payload(piece);
    if (state_ == State::kEnded) return;
    if (left_ > 0) return;
    in_frame_ = false;
    end_frame();
  }
}

// Checks the frame against what came before it. False: the connection has failed.
bool WebSocket::begin_frame() {
  in_frame_ = true;
  left_ = frame_.length;
  if (frame_.opcode >= Opcode::kClose) {
    control_.clear();
    return true;
  }
  const bool first = frame_.opcode != Opcode::kContinuation;
  if (first == in_message_) {
    give_up(kProtocolError, first ? "a message begins inside another one" : "a continuation of nothing");
    return false;
  }
  if (first) {
    in_message_ = true;
    kind_ = frame_.opcode == Opcode::kText ? WebSocketHandler::Kind::kText : WebSocketHandler::Kind::kBinary;
    text_ = {};
    message_.clear();
  }
  if (frame_.length > options_.max_message - message_.size()) {
    give_up(kTooBig, "a message above " + std::to_string(options_.max_message) + " bytes");
    return false;
  }
  return true;
}

void WebSocket::take_payload(std::string_view data) {
  const uint64_t offset = frame_.length - left_;
  left_ -= data.size();
  if (frame_.opcode >= Opcode::kClose) return append_unmasked(control_, data, frame_.mask, offset);
  const size_t from = message_.size();
  try {
    append_unmasked(message_, data, frame_.mask, offset);
  } catch (const std::bad_alloc&) {
    return give_up(kServerError, "no memory is left for this message");
  }
  // WHY not only when it is whole: what can no longer become text is refused before more of it is taken.
  if (kind_ == WebSocketHandler::Kind::kText && !text_.take(std::string_view(message_).substr(from)))
    give_up(kBadText, "text that is not UTF-8");
}

void WebSocket::end_frame() {
  switch (frame_.opcode) {
    case Opcode::kPing:
      if (state_ == State::kOpen) send_frame(Opcode::kPong, control_);
      return;
    case Opcode::kPong: return;
    case Opcode::kClose: return take_close(control_);
    default: break;
  }
  if (!frame_.fin) return;
  in_message_ = false;
  if (kind_ == WebSocketHandler::Kind::kText && !text_.whole())
    return give_up(kBadText, "text that ends inside a character");
  if (state_ == State::kOpen) handler_.on_message(kind_, message_);
  if (message_.capacity() > kKeepCapacity) std::string().swap(message_);
}

void WebSocket::take_close(std::string_view payload) {
  if (payload.size() == 1) return give_up(kProtocolError, "a close code of one byte");
  uint16_t code = kNoStatus;
  if (payload.size() >= 2) {
    code = static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 | static_cast<uint8_t>(payload[1]));
    if (!may_be_sent(code)) return give_up(kProtocolError, "a close code that may not be sent");
    if (!is_utf8(payload.substr(2))) return give_up(kBadText, "a close reason that is not UTF-8");
  }
  if (state_ == State::kOpen) {
    code_ = code;
    send_close(code, {});
  }
  end();
}

void WebSocket::send(WebSocketHandler::Kind kind, std::string_view data) {
  if (state_ == State::kOpen) send_frame(kind == WebSocketHandler::Kind::kText ? Opcode::kText : Opcode::kBinary, data);
}

void WebSocket::send_frame(Opcode opcode, std::string_view data) {
  char header[kMaxServerHeader];
  const std::string_view head(header, write_frame_header(header, opcode, true, data.size()));
  if (data.size() > kOneWrite) {
    exchange_.body(head, More::kYes);
    exchange_.body(data, More::kYes);
    return;
  }
  char whole[kMaxServerHeader + kOneWrite];
  std::copy(head.begin(), head.end(), whole);
  std::copy(data.begin(), data.end(), whole + head.size());
  exchange_.body({whole, head.size() + data.size()}, More::kYes);
}

void WebSocket::send_close(uint16_t code, std::string_view reason) {
  std::string payload;
  if (code != kNoStatus) {
    payload = {static_cast<char>(code >> 8), static_cast<char>(code)};
    payload += reason.substr(0, kMaxControl - 2);
  }
  send_frame(Opcode::kClose, payload);
}

void WebSocket::close(uint16_t code, std::string_view reason) {
  if (state_ != State::kOpen) return;
  state_ = State::kClosing;
  code_ = code;
  send_close(code, reason);
  timer_.arm_after(options_.close_within);
}

// The client broke the rules: it is told, and nothing more of it is read.
void WebSocket::give_up(uint16_t code, std::string_view why) {
  if (state_ == State::kOpen) {
    code_ = code;
    send_close(code, why);
  }
  end();
}

// The server ends first (RFC 6455, 7.1.1); the client has a while to follow.
void WebSocket::end() {
  state_ = State::kEnded;
  std::string().swap(message_);
  exchange_.end({});
  timer_.arm_after(options_.close_within);
}

void WebSocket::on_end(std::string_view) {
  if (!std::exchange(request_whole_, true)) return;
  if (state_ != State::kEnded) end();
}

void WebSocket::on_timer() {
  switch (state_) {
    case State::kClosing: return end();
    case State::kEnded:
      exchange_.abort(unavailable("the WebSocket's client does not end the connection", "websocket_close"));
      return;
    case State::kOpen: break;
  }
  const TimePoint now = exchange_.loop().now();
  if (pinged_) return give_up(kServerError, "no answer to a ping");
  const TimePoint due = heard_ + options_.ping_every;
  if (now < due) return timer_.arm(due);
  pinged_ = true;
  send_frame(Opcode::kPing, "colony");
  timer_.arm(now + options_.pong_within);
}

void WebSocket::on_done(bool) {
  handler_.on_closed(code_);
  delete this;
}

}  // namespace colony::http
