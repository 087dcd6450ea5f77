// A Stream over any transport that can receive, send, end and close: buffering, pausing, the order of callbacks and
// their safety live here once, for sockets (async/epoll_stream.cc) and for the simulated loop (async/sim_stream.cc).
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>

#include "async/link_stream.h"
#include "async/turn.h"

namespace colony::async {

class BufferedStream : public Stream, public LinkStream, public Source, public Hook<DirtyTag> {
 public:
  explicit BufferedStream(Turn& turn) : turn_(&turn), kept_(turn.slabs), outbox_(turn.slabs) {
    turn.all.push_back(*this);
  }
  ~BufferedStream() override;

  void set_handler(StreamHandler* handler) final;
  void write(std::string_view data) final;
  void write_now(std::string_view data) final { write_now(data, {}); }
  void write_now(std::string_view a, std::string_view b) final;
  size_t pending() const final { return outbox_.size(); }
  void gather(bool on) final { gather_ = on; }
  bool may_gather() const { return gather_ && !end_wanted_ && outbox_.size() < Turn::kGatherBytes; }
  void pause() final;
  void resume() final;
  void shutdown_write() final;
  bool is_closed() const final { return dead(); }

  void service() final;
  void abandon() final;
  void flush();  // the turn's end: what is in the outbox, in one call

 protected:
  bool awaits_bytes() const { return !readable_; }  // the transport was read to its end
  // n > 0: bytes moved. n == 0 of receive(): the peer has ended. n < 0: `err` is an errno; EAGAIN: not now.
  struct Io {
    ssize_t n = 0;
    int err = 0;
  };
  virtual Io receive(char* to, size_t room) = 0;
  virtual Io send(std::string_view a, std::string_view b) = 0;
  virtual void end_sending() = 0;
  virtual void close_transport() = 0;  // idempotent; derived destructors call it
  virtual int take_error() = 0;        // errno of a broken transport, 0: none

  // What the transport noticed. The caller is the loop, between callbacks.
  void now_readable(bool end_follows);  // end_follows: the peer's end is behind the bytes
  void now_writable();
  void now_hung_up();  // no byte can travel in either direction any more; unread ones may be left
  void now_broken();   // the transport carries an error
  void break_with(Error error);

 private:
  bool dead() const { return closed_ || error_ != nullptr; }
  bool wants_service() const;
  bool owes_end_follows() const {
    return paused_ && (end_follows_ || hung_up_) && !end_seen_ && !end_follows_told_ && handler_ && !dead();
  }
  void read_and_show(bool& gone);
  void show_kept(bool& gone);
  void show(Buffer* in, char* base, size_t size, bool& gone);
  void report_closed();
  void mark_dirty();
  size_t send_some(std::string_view a, std::string_view b);

  Turn* turn_;
  StreamHandler* handler_ = nullptr;
  Buffer kept_;  // shown and not consumed
  Buffer outbox_;
  bool* gone_ = nullptr;  // set by the destructor while a callback runs
  uint64_t read_in_turn_ = 0;
  std::unique_ptr<Error> error_;  // the transport broke; on_closed is owed until closed_. WHY a pointer: idle streams
  bool readable_ = false;         // receive() may give something
  bool blocked_ = false;          // send() said EAGAIN or took a part
  bool drain_owed_ = false;
  bool gather_ = false;
  bool paused_ = false;
  bool showing_ = false;     // inside on_bytes
  bool show_again_ = false;  // kept bytes are to be shown without new ones
  bool hung_up_ = false;
  bool end_follows_ = false, end_follows_told_ = false;
  bool broken_ = false;
  bool end_seen_ = false;
  bool end_wanted_ = false, end_sent_ = false;  // our half
  bool closed_ = false;
};

}  // namespace colony::async
