// The Exchange's verbs of the replica's end as frames. A whole reply is one frame; what exceeds the proxy's credit waits
// in the Outflow.
#include <charconv>

#include "base/log.h"
#include "transport/frame/server_connection.h"

namespace colony::frame {

using http::More;

std::string_view ServerCall::peer() const { return connection_.peer_; }
async::Loop& ServerCall::loop() { return connection_.context_.loop; }

void ServerCall::settle_if_over() {
  if (over()) connection_.list(*this);
}

void ServerCall::reply(std::string_view block, std::string_view body, More more) {
  http::ReplyHead head;
  http::ParseError error;
  const http::ParseState state = http::parse_reply_head(block, head, error);
  if (state != http::ParseState::kComplete || head.block.size() != block.size()) {
    const std::string_view why = state == http::ParseState::kBad ? error.message : "it is not one whole head";
    LOG(error, "a service's reply head is malformed: {}", why);
    abort(internal_error("the reply's head is malformed: " + std::string(why), "bad_reply"));
    return;
  }
  reply(head, body, more);
}

void ServerCall::reply(const http::ReplyHead& head, std::string_view body, More more) {
  if (stream_ == 0 || replied_ || cut_) return;
  if (head.status < 200) return interim(head, body);
  const bool whole = more == More::kNo;
  no_body_ = head_request_ || head.bodiless();
  if (whole && !no_body_ && head.content_length && *head.content_length != body.size()) {
    LOG(error, "a reply's content-length is {} but its body has {} bytes", *head.content_length, body.size());
    return abort(internal_error("the reply's content-length does not match its body", "bad_reply"));
  }
  char line[48];
  size_t size = 0;
  if (whole && !head.content_length && !head.bodiless() && !body.empty()) {
    constexpr std::string_view kName = "content-length: ";
    std::memcpy(line, kName.data(), kName.size());
    char* end = std::to_chars(line + kName.size(), line + sizeof line - 2, body.size()).ptr;
    *end++ = '\r';
    *end++ = '\n';
    size = static_cast<size_t>(end - line);
  }
  if (no_body_) body = {};
  replied_ = true;
  reply_ended_ = whole;
  const size_t first = out_.first(body.size());
  const bool end = whole && first == body.size();
  Header h{};
  h.type = Type::kReply;
  h.stream = stream_;
  h.flags = end ? kFlagEnd : uint8_t{0};
  h.time = connection_.busy_ns();
  write_head_frame(*connection_.stream_, h, head, {line, size}, body.substr(0, first));
  out_.sent(first, end);
  if (!end) send(body.substr(first), whole);
  settle_if_over();
}

// The lines of the switch are the connection's own and were dropped: a 101 says anew what is spoken from here on.
void ServerCall::interim(const http::ReplyHead& head, std::string_view body) {
  std::string lines;
  if (head.status == 101) {
    const auto protocol = head.find("upgrade");
    if (!upgrade_ || !protocol) {
      LOG(error, "a service switches protocols {}", protocol ? "unasked" : "without saying to which");
      return abort(internal_error("a reply of status 101 does not fit the request", "bad_reply"));
    }
    lines = "connection: upgrade\r\nupgrade: " + std::string(*protocol) + "\r\n";
    replied_ = tunnel_ = true;
  }
  Header h{};
  h.type = Type::kReply;
  h.stream = stream_;
  write_head_frame(*connection_.stream_, h, head, lines, {});
  if (tunnel_ && !body.empty()) send(body, false);
}

void ServerCall::body(std::string_view data, More more) {
  if (stream_ == 0 || reply_ended_ || cut_) return;
  if (!replied_) return abort(internal_error("the service gave a body before a head", "bad_reply"));
  reply_ended_ = more == More::kNo;
  send(no_body_ ? std::string_view{} : data, reply_ended_);
  settle_if_over();
}

void ServerCall::send(std::string_view data, bool end) {
  if (!out_.send(*connection_.stream_, stream_, data, end))
    break_off(unavailable("no memory is left for this reply", "out_of_memory"));
}

void ServerCall::end(std::string_view trailers) {
  if (stream_ == 0 || reply_ended_ || cut_) return;
  if (!replied_) return abort(internal_error("the service ended a reply without a head", "bad_reply"));
  reply_ended_ = true;
  if (!http::valid_trailers(trailers) || trailers.size() > http::kMaxTrailerBytes) {
    LOG(error, "a service's reply trailers are malformed and were left out");
    trailers = {};
  }
  out_.end(*connection_.stream_, stream_, trailers);
  settle_if_over();
}

void ServerCall::abort(const Error& error) {
  if (stream_ == 0 || over()) return;
  ok_ = false;
  if (!replied_) return http::reply_error(*this, grpc_, error);
  break_off(error);
  settle_if_over();
}

void ServerCall::break_off(const Error& error) {
  ok_ = false;
  std::string text(1, static_cast<char>(error.code));
  text += std::string_view(error.message).substr(0, 1024);
  Header h{};
  h.type = Type::kCancel;
  h.stream = stream_;
  h.length = static_cast<uint32_t>(text.size());
  write_frame(*connection_.stream_, h, text);
  cut_ = true;
}

int64_t ServerCall::writable() const { return out_.writable(); }

void ServerCall::consumed(size_t bytes) {
  if (stream_ != 0 && !request_ended_) in_.consumed(*connection_.stream_, stream_, bytes);
}

}  // namespace colony::frame
