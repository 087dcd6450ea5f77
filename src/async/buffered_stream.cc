// See buffered_stream.h. Callbacks are made from service() and nowhere else; each is followed by a look at `gone`,
// because it may have destroyed the stream.
#include "async/buffered_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace colony::async {

BufferedStream::~BufferedStream() {
  if (gone_) *gone_ = true;
}

void BufferedStream::set_handler(StreamHandler* handler) {
  handler_ = handler;
  if (!kept_.empty() || showing_) show_again_ = true;
  if (turn_ && !showing_ && wants_service()) turn_->wake(*this);
}

bool BufferedStream::wants_service() const {
  if (closed_ || !handler_) return false;
  if (error_ || owes_end_follows()) return true;
  return !paused_ && (readable_ || (show_again_ && !kept_.empty()));
}

void BufferedStream::pause() {
  paused_ = true;
  if (turn_ && !showing_ && owes_end_follows()) turn_->wake(*this);
}

void BufferedStream::resume() {
  paused_ = end_follows_told_ = false;
  if (!turn_ || closed_) return;
  show_again_ = true;
  if (!showing_ && wants_service()) turn_->wake(*this);
}

void BufferedStream::mark_dirty() {
  if (blocked_ || (Hook<DirtyTag>::linked() && (!gather_ || may_gather()))) return;
  turn_->dirty.push_back(*this);
}

void BufferedStream::write(std::string_view data) {
  if (dead() || end_wanted_ || data.empty()) return;
  outbox_.append(data);
  mark_dirty();
}

void BufferedStream::write_now(std::string_view a, std::string_view b) {
  if (dead() || end_wanted_ || a.size() + b.size() == 0) return;
  const size_t sent = outbox_.empty() && !blocked_ ? send_some(a, b) : 0;
  if (dead() || sent == a.size() + b.size()) return;
  if (sent < a.size()) outbox_.append(a.substr(sent));
  outbox_.append(b.substr(sent > a.size() ? sent - a.size() : 0));
  mark_dirty();
}

// Returns how much left. After a part, blocked_ is set and on_drained owed.
size_t BufferedStream::send_some(std::string_view a, std::string_view b) {
  Io io = send(a, b);
  if (io.n < 0) {
    if (io.err != EAGAIN) {
      break_with(errno_error("write to " + peer(), io.err));
      return 0;
    }
    io.n = 0;
  }
  const auto sent = static_cast<size_t>(io.n);
  if (sent < a.size() + b.size()) blocked_ = drain_owed_ = true;
  return sent;
}

void BufferedStream::flush() {
  if (dead() || blocked_) return;
  if (!outbox_.empty()) {
    const size_t sent = send_some(outbox_.view(), {});
    if (dead()) return;
    outbox_.consume(sent);
  }
  if (!outbox_.empty()) return;
  if (end_wanted_ && !end_sent_) {
    end_sent_ = true;
    end_sending();
  }
}

void BufferedStream::shutdown_write() {
  if (dead() || end_wanted_) return;
  end_wanted_ = true;
  mark_dirty();
}

// WHY not at once: the peer may have answered before it went away (an early reply to a long upload); what it sent is
// read first.
void BufferedStream::break_with(Error error) {
  if (dead()) return;
  error_ = std::make_unique<Error>(std::move(error));
  outbox_.clear();
  readable_ = true;
  turn_->put_off(*this);
}

void BufferedStream::now_readable(bool end_follows) {
  readable_ = true;
  end_follows_ |= end_follows;
  if (wants_service()) turn_->wake(*this);
}

void BufferedStream::now_writable() {
  if (blocked_) turn_->wake(*this);
}

void BufferedStream::now_hung_up() {
  hung_up_ = readable_ = true;
  if (wants_service() || blocked_) turn_->wake(*this);
}

void BufferedStream::now_broken() {
  broken_ = true;
  turn_->wake(*this);
}

void BufferedStream::service() {
  if (closed_) return;
  bool gone = false;
  gone_ = &gone;
  if (blocked_ && !dead()) {
    blocked_ = false;
    flush();
    if (drain_owed_ && outbox_.empty() && !dead()) {
      drain_owed_ = false;
      if (handler_) handler_->on_drained();
      if (gone) return;
    }
  }
  if (broken_ && paused_ && !dead()) {
    const int err = take_error();
    break_with(errno_error("connection with " + peer(), err ? err : ECONNRESET));
  }
  if (handler_ && !paused_) {
    if ((readable_ || broken_) && read_in_turn_ != turn_->number) {
      read_and_show(gone);
    } else if (show_again_ && !kept_.empty()) {
      show_kept(gone);
    }
    if (gone) return;
  }
  if (owes_end_follows()) {
    end_follows_told_ = true;
    handler_->on_end_follows();
    if (gone) return;
  }
  if (error_ && handler_ && (paused_ || !readable_)) {
    report_closed();
    if (gone) return;
  } else if (wants_service() && !Hook<ReadyTag>::linked()) {
    turn_->put_off(*this);
  }
  gone_ = nullptr;
}

void BufferedStream::read_and_show(bool& gone) {
  read_in_turn_ = turn_->number;
  const size_t kept = kept_.size();
  const bool in_scratch = kept <= Turn::kFrontMax;
  char* at = in_scratch ? turn_->scratch.get() + Turn::kFrontMax : kept_.room(Turn::kReadMax / 4);
  const size_t room = in_scratch ? Turn::kReadMax : std::min(kept_.room_size(), Turn::kReadMax);
  const Io io = receive(at, room);
  const bool more_to_come = hung_up_ || (end_follows_ && !end_seen_) || broken_ ||
                            error_ != nullptr;  // the end, or the error, after the bytes
  broken_ = false;
  if (io.n > 0) {
    const auto n = static_cast<size_t>(io.n);
    readable_ = n == room || more_to_come;
    show_again_ = false;
    if (in_scratch) {
      if (kept) std::memcpy(at - kept, kept_.data(), kept);
      show(nullptr, at - kept, kept + n, gone);
    } else {
      kept_.grew(n);
      Buffer whole = std::move(kept_);
      show(&whole, nullptr, 0, gone);
    }
    return;
  }
  readable_ = false;
  if (io.n < 0 && io.err != EAGAIN) {
    if (!error_) break_with(errno_error("read from " + peer(), io.err));
    readable_ = false;
    return;
  }
  if (show_again_ && kept) {
    show_kept(gone);
    if (gone) return;
    if (io.n == 0) readable_ = true;  // the end comes after this
    return;
  }
  if (io.n < 0) return;
  if (!end_seen_) {
    end_seen_ = true;
    handler_->on_end();
    if (gone) return;
  }
  if (hung_up_ && !end_sent_ && !dead()) {
    break_with(unavailable("connection with " + peer() + ": the peer closed it", "connection"));
    readable_ = false;
  }
}

void BufferedStream::show_kept(bool& gone) {
  show_again_ = false;
  Buffer whole = std::move(kept_);
  show(&whole, nullptr, 0, gone);
}

// The bytes are in `in`, or else at `base` in the loop's scratch memory. WHY `in` is not kept_: it must outlive a
// callback that destroys the stream.
void BufferedStream::show(Buffer* in, char* base, size_t size, bool& gone) {
  const std::string_view data = in ? in->view() : std::string_view(base, size);
  showing_ = true;
  const size_t used = handler_->on_bytes(data);
  if (gone) return;
  CHECK(used <= data.size());
  showing_ = false;
  if (closed_ || !turn_) return;
  if (in) {
    in->consume(used);
    kept_ = std::move(*in);
  } else {
    kept_.clear();
    if (used < data.size()) kept_.append(data.substr(used));
  }
  if (kept_.empty()) {
    show_again_ = false;
  } else if (show_again_ && !paused_ && used > 0) {
    turn_->wake(*this);  // progress was made: once more in this turn
  }
}

void BufferedStream::report_closed() {
  closed_ = true;
  Error error = std::move(*error_);
  kept_.clear();
  outbox_.clear();
  close_transport();
  handler_->on_closed(error);
}

void BufferedStream::abandon() {
  closed_ = true;
  kept_.clear();
  outbox_.clear();
  close_transport();
  Hook<ReadyTag>::unlink();
  Hook<DirtyTag>::unlink();
  turn_ = nullptr;
  handler_ = nullptr;
}

}  // namespace colony::async
