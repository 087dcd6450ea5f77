// HTTP/1.1 as a client speaks it: one request, its reply, the next one. Its own parser, not Colony's: a fault of the
// program under load must not be a fault of the instrument.
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "bench/loadgen/connection.h"

namespace colony::loadgen {

Connection::~Connection() {
  if (fd_ >= 0) ::close(fd_);
}

bool Connection::send_some(const iovec* pieces, size_t count, size_t& sent) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces);  // NOLINT: msghdr is not const
  message.msg_iovlen = count;
  const ssize_t n = ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0) return false;
  sent = static_cast<size_t>(n);
  bytes_out_ += sent;
  return true;
}

namespace {

constexpr size_t kMaxHead = 64u << 10;

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

class H1Connection final : public Connection {
 public:
  using Connection::Connection;

  size_t room() const override { return busy_ || closed_ ? 0 : 1; }
  size_t in_flight() const override { return busy_ ? 1 : 0; }

  void start(const Call& call) override {
    call_ = call;
    body_ = Body(*call.kind, call.serial);
    check_.begin(*call.kind, call.serial);
    busy_ = true;
    sent_ = 0;
    to_send_ = call.kind->head.size() + call.kind->body_size;
    if (call.abort) to_send_ = std::max(call.kind->head.size(), to_send_ / 2);
    state_ = State::kHead;
    head_.clear();
    status_ = 0;
    answered_ = false;
  }

  void flush() override {
    while (busy_ && !closed_ && sent_ < to_send_) {
      std::array<iovec, 3> parts;
      std::array<iovec, 4> pieces;
      const std::string& head = call_.kind->head;
      size_t count = 0;
      if (sent_ < head.size())
        pieces[count++] = {const_cast<char*>(head.data()) + sent_, head.size() - sent_};  // NOLINT: iovec
      const size_t body_at = sent_ < head.size() ? 0 : sent_ - head.size();
      const size_t n = body_.pieces(*call_.kind, body_at, parts);
      for (size_t i = 0; i < n; ++i) pieces[count++] = parts[i];
      size_t left = to_send_ - sent_;  // an aborted request stops half way
      size_t used = 0;
      while (used < count && left > 0) {
        pieces[used].iov_len = std::min(pieces[used].iov_len, left);
        left -= pieces[used++].iov_len;
      }
      size_t now = 0;
      if (!send_some(pieces.data(), used, now)) {
        // A peer that answers early and closes breaks the send; what it said is still to be read.
        if (errno != EAGAIN) sent_ = to_send_, broken_send_ = true;
        return;
      }
      sent_ += now;
    }
    if (busy_ && call_.abort && sent_ >= to_send_) end({Outcome::kAborted, "aborted"}, true);
  }

  void on_readable(bool ended) override {
    static thread_local std::array<char, 256u << 10> buffer;
    while (!closed_) {
      const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (n <= 0) return on_end(n == 0 ? "closed" : std::strerror(errno));
      bytes_in_ += static_cast<uint64_t>(n);
      feed({buffer.data(), static_cast<size_t>(n)});
      if (!ended && static_cast<size_t>(n) < buffer.size()) return;
    }
  }

  void expire(uint64_t start) override {
    if (busy_ && call_.started < start) end({Outcome::kTimeout, "timeout"}, true);
  }

 private:
  enum class State : uint8_t { kHead, kLength, kChunkSize, kChunk, kChunkEnd, kTrailers, kUntilClose };

  void on_end(std::string_view why) {
    if (!busy_) {
      closed_ = true;
    } else if (state_ == State::kUntilClose) {
      complete(true);
    } else {
      end({answered_ ? Outcome::kBroken : Outcome::kStale, why}, true);
    }
  }

  void end(const Done& done, bool close) {
    busy_ = false;
    closed_ = closed_ || close;
    const Call call = call_;
    sink_.on_done(id_, call, done);
  }

  void complete(bool close) {
    char text[32];
    const bool early = sent_ < to_send_;  // answered before it was asked: nothing more can be sent on this connection
    if (status_ / 100 != 2) {
      std::snprintf(text, sizeof text, "status %d", status_);
      return end({Outcome::kStatus, text}, close || early || broken_send_);
    }
    const bool good = check_.good() && !early;
    end({good ? Outcome::kGood : Outcome::kWrong, good ? "" : "wrong reply"}, close || early || broken_send_);
  }

  // Walks through what came. A byte after the reply is a fault: nothing was asked.
  void feed(std::string_view in) {
    while (!in.empty() && !closed_) {
      if (!busy_) {
        closed_ = true;
        return;
      }
      answered_ = true;
      switch (state_) {
        case State::kHead:
          if (!take_line(in, "\r\n\r\n")) break;
          if (!read_head()) return end({Outcome::kBroken, "a reply head that is no HTTP/1.1"}, true);
          head_.clear();
          break;
        case State::kLength:
        case State::kChunk: {
          const size_t size = std::min(in.size(), left_);
          check_.feed(in.substr(0, size));
          in.remove_prefix(size);
          left_ -= size;
          if (left_ > 0) break;
          if (state_ == State::kLength) {
            complete(close_after_);
          } else {
            state_ = State::kChunkEnd;
          }
          break;
        }
        case State::kChunkEnd:
          if (!take_line(in, "\r\n")) break;
          head_.clear();
          state_ = State::kChunkSize;
          break;
        case State::kChunkSize: {
          if (!take_line(in, "\r\n")) break;
          const auto [p, error] = std::from_chars(head_.data(), head_.data() + head_.size(), left_, 16);
          if (error != std::errc()) return end({Outcome::kBroken, "a chunk size that is none"}, true);
          head_.clear();
          state_ = left_ == 0 ? State::kTrailers : State::kChunk;
          break;
        }
        case State::kTrailers:
          if (!take_line(in, "\r\n")) break;
          if (const bool last = head_ == "\r\n"; head_.clear(), last) complete(close_after_);
          break;
        case State::kUntilClose:
          check_.feed(in);
          in = {};
          break;
      }
    }
  }

  // Moves bytes into head_ until it ends with `mark`; false when more must come.
  bool take_line(std::string_view& in, std::string_view mark) {
    const size_t before = head_.size();
    const size_t look = before >= mark.size() - 1 ? before - (mark.size() - 1) : 0;
    head_.append(in.substr(0, kMaxHead));
    const size_t found = head_.find(mark, look);
    if (found == head_.npos) {
      in = {};
      if (head_.size() > kMaxHead) end({Outcome::kBroken, "an endless reply head"}, true);
      return false;
    }
    head_.resize(found + mark.size());
    in.remove_prefix(head_.size() - before);
    return true;
  }

  bool read_head() {
    std::string_view head = head_;
    if (!head.starts_with("HTTP/1.") || head.size() < 14) return false;
    if (std::from_chars(head.data() + 9, head.data() + 12, status_).ec != std::errc()) return false;
    close_after_ = head[7] == '0';
    bool chunked = false, sized = false;
    for (size_t at = head.find("\r\n") + 2; at + 2 < head.size();) {
      const size_t end = head.find("\r\n", at);
      const auto line = head.substr(at, end - at);
      at = end + 2;
      const size_t colon = line.find(':');
      if (colon == line.npos) return false;
      const auto name = line.substr(0, colon), value = trim(line.substr(colon + 1));
      if (same(name, "content-length")) {
        sized = std::from_chars(value.data(), value.data() + value.size(), left_).ec == std::errc();
        if (!sized) return false;
      } else if (same(name, "transfer-encoding")) {
        chunked = same(value, "chunked");
      } else if (same(name, "connection")) {
        close_after_ = same(value, "close");
      }
    }
    if (status_ / 100 == 1) return true;  // another head follows
    if (chunked) {
      state_ = State::kChunkSize;
    } else if (!sized && status_ != 204) {
      state_ = State::kUntilClose;
    } else {
      state_ = State::kLength;
      if (!sized) left_ = 0;
      if (left_ == 0) complete(close_after_);
    }
    return true;
  }

  Call call_;
  Body body_;
  ReplyCheck check_;
  bool busy_ = false, answered_ = false, close_after_ = false, broken_send_ = false;
  size_t sent_ = 0, to_send_ = 0, left_ = 0;
  State state_ = State::kHead;
  int status_ = 0;
  std::string head_;
};

}  // namespace

std::unique_ptr<Connection> make_h1(size_t id, int fd, Sink& sink) {
  return std::make_unique<H1Connection>(id, fd, sink);
}

}  // namespace colony::loadgen
