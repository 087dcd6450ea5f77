// The one event loop that every role runs on: time, timers, posted work, byte streams, child processes' deaths.
// Two implementations: EpollLoop (async/epoll_loop.h) and its twin SimLoop (async/sim_loop.h), which runs in simulated
// time over in-memory streams and scripts partial reads, partial writes, delays and broken connections.
// Readiness stays out of this interface (bytes arrive, bytes are handed over), so that io_uring can come as a third.
//
// One turn: wait -> read the clock once -> events (at most one read of 256 KiB per stream) -> posted work -> deferred
// work -> flush of every stream that was written to -> due timers -> flush of what they wrote. Everything below is called on the loop's own thread
// unless it says "any thread".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "async/task.h"
#include "base/result.h"
#include "base/rng.h"
#include "base/time.h"

namespace colony::async {

class Loop;

// An address as text: "127.0.0.1:8000", "[::1]:8000", "unix:/run/x.sock"; in a SimLoop any text.
struct Endpoint {
  std::string text;
  bool is_unix() const { return text.starts_with("unix:"); }
  std::string_view path() const { return std::string_view(text).substr(5); }
  bool operator==(const Endpoint&) const = default;
};

// Called by a Stream. Any callback may destroy the Stream or itself: nothing touches either afterwards.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  // `data` is everything unconsumed, contiguous. Returns how many bytes were consumed; the rest is kept by the stream
  // and shown again together with what arrives next (an idle stream owns no buffer). The view is valid during the call.
  virtual size_t on_bytes(std::string_view data) = 0;
  // Everything written has left for the kernel, after a time in which it had not (pending() was above zero at a flush).
  virtual void on_drained() {}
  // The peer ended its half. Unconsumed bytes were shown before. Writing is still possible on TCP; a unix peer that has
  // closed its socket is followed by on_closed.
  virtual void on_end() = 0;
  // A paused stream: the peer's end lies behind bytes that were not read yet. Once each time that it is paused; on_end()
  // comes after those bytes still.
  virtual void on_end_follows() {}
  // Connection lost; the stream is dead. Called at most once, never from inside a call into the stream, and after what
  // the peer had sent before was shown (a paused stream is told at once when the transport reports an error, and
  // otherwise when it resumes or writes).
  virtual void on_closed(const Error& error) = 0;
};

// A connected, ordered byte stream (TCP or unix). Owned by its user; destruction closes it at once and drops the outbox.
// Calls into a dead stream do nothing.
class Stream {
 public:
  virtual ~Stream() = default;
  // Before the first turn. May be changed later, also in a callback: the new handler is shown what the old one left.
  virtual void set_handler(StreamHandler* handler) = 0;
  // Appends to the outbox, which leaves in one system call at the end of the turn.
  virtual void write(std::string_view data) = 0;
  // Sends at once when the outbox is empty and copies only an unsent tail; otherwise like write().
  virtual void write_now(std::string_view data) = 0;
  virtual void write_now(std::string_view a, std::string_view b) = 0;  // gathered: head and body
  virtual size_t pending() const = 0;                                  // bytes in the outbox
  // After pause() no on_bytes comes until resume(); bytes already kept are shown again after resume() without waiting for
  // new ones (later in this turn or in the next, never inside the call). Without pause(), resume() asks for just that.
  virtual void pause() = 0;
  virtual void resume() = 0;
  virtual void shutdown_write() = 0;  // end our half once the outbox is empty
  // From here on destruction resets the connection, so that the peer sees that bytes are missing. A unix socket has no such
  // end and closes as always.
  virtual void reset_when_closed() = 0;
  virtual bool is_closed() const = 0;
  virtual std::string peer() const = 0;  // "127.0.0.1:40312"; "unix" for a unix socket
};

class Listener {
 public:
  virtual ~Listener() = default;          // stops listening; removes the file of a unix socket that it made
  virtual Endpoint endpoint() const = 0;  // with the port that was picked for port 0
};

struct ListenOptions {
  bool reuse_port = false;  // several loops accept on one TCP port
  int backlog = 1024;
  int unix_mode = 0600;  // mode of the socket file; a stale file is replaced when nobody answers on it
};

// One-shot timer, owned by its user, re-armed freely (O(1), no allocation). Moving it later only writes a field: the
// wheel re-examines the entry when it comes due. Granularity 1 ms; never early.
class Timer {
 public:
  Timer(Loop& loop, std::function<void()> fn);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void arm(TimePoint at);
  void arm_after(Duration d);
  void cancel();
  bool armed() const { return at_ != TimePoint::max(); }
  TimePoint at() const { return at_; }

 private:
  friend class TimerWheel;
  Loop& loop_;
  std::function<void()> fn_;
  TimePoint at_ = TimePoint::max();       // what the user wants
  TimePoint slot_at_ = TimePoint::max();  // where the wheel has filed it
  Timer* next_ = nullptr;
  Timer** link_ = nullptr;  // the pointer that points here; null when not filed
};

class TimerWheel;

// A watched descriptor of another kind: pidfd, signalfd, eventfd, inotify. Owned by its user; not for sockets.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
};

class Loop {
 public:
  virtual ~Loop() = default;

  virtual TimePoint now() const = 0;  // read once per turn
  virtual WallTime wall_now() const = 0;
  virtual Rng& rng() = 0;

  virtual void post(std::function<void()> fn) = 0;   // any thread; runs in a later part of the loop
  virtual void defer(std::function<void()> fn) = 0;  // at the end of this turn, before the flush
  virtual bool on_thread() const = 0;                // any thread: is this the loop's own?

  using AcceptFn = std::function<void(std::unique_ptr<Stream>)>;
  virtual Result<std::unique_ptr<Listener>> listen(const Endpoint& at, AcceptFn on_accept,
                                                   ListenOptions options = {}) = 0;
  using ConnectFn = std::function<void(Result<std::unique_ptr<Stream>>)>;
  // Calls `done` exactly once, never from inside connect().
  virtual void connect(const Endpoint& to, Deadline deadline, ConnectFn done) = 0;

  // `fn` runs whenever the descriptor is readable (level-triggered). The descriptor stays the caller's, who destroys the
  // watch before closing it. SimLoop: kUnimplemented.
  virtual Result<std::unique_ptr<FdWatch>> watch_fd(int fd, std::function<void()> fn) = 0;

  virtual TimerWheel& timers() = 0;

  // Awaitables.
  struct Sleep;
  Sleep sleep(Duration d);
  struct Connect;
  Connect connect(Endpoint to, Deadline deadline);
  struct Yield;
  Yield yield();  // resumes in a later turn
};

struct Loop::Sleep {
  Loop& loop;
  Duration d;
  std::optional<Timer> timer{};
  bool await_ready() const { return d <= Duration::zero(); }
  void await_suspend(std::coroutine_handle<> h) {
    timer.emplace(loop, [h] { h.resume(); });
    timer->arm_after(d);
  }
  void await_resume() { timer.reset(); }
};

struct Loop::Connect {
  Loop& loop;
  Endpoint to;
  Deadline deadline;
  std::optional<Result<std::unique_ptr<Stream>>> result{};
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    loop.connect(to, deadline, [this, h](Result<std::unique_ptr<Stream>> r) {
      result.emplace(std::move(r));
      h.resume();
    });
  }
  Result<std::unique_ptr<Stream>> await_resume() { return std::move(*result); }
};

struct Loop::Yield {
  Loop& loop;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    loop.post([h] { h.resume(); });
  }
  void await_resume() {}
};

inline Loop::Sleep Loop::sleep(Duration d) { return Sleep{*this, d}; }
inline Loop::Connect Loop::connect(Endpoint to, Deadline deadline) { return Connect{*this, std::move(to), deadline}; }
inline Loop::Yield Loop::yield() { return Yield{*this}; }

}  // namespace colony::async
