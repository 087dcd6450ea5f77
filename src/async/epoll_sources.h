// The descriptors of an EpollLoop: sockets, listeners, connects under way, watched descriptors. Each is registered with
// epoll once; events only set flags and put the source on the turn's list, so that no callback runs while the batch of
// events still holds pointers. Internal to the loop.
#pragma once

#include <netinet/in.h>
#include <sys/epoll.h>

#include "async/buffered_stream.h"
#include "async/epoll_loop.h"
#include "async/socket_address.h"

namespace colony::async {

inline constexpr uint32_t kStreamEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
// WHY without EPOLLOUT: a unix socket reports it whenever the peer has read something, which would wake the loop once per
// request for nothing. It is asked for when a send did not take all, and taken back when there is room.
inline constexpr uint32_t kUnixStreamEvents = kStreamEvents & ~uint32_t{EPOLLOUT};

// What epoll's data.ptr points to.
class EpollSink {
 public:
  virtual void on_events(uint32_t events) = 0;

 protected:
  ~EpollSink() = default;
};

// The registrations; owned by the loop.
class Poller {
 public:
  Poller();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;
  int fd() const { return fd_; }
  Result<void> add(int fd, EpollSink& sink, uint32_t events) { return control(EPOLL_CTL_ADD, fd, &sink, events); }
  Result<void> change(int fd, EpollSink& sink, uint32_t events) { return control(EPOLL_CTL_MOD, fd, &sink, events); }
  void forget(int fd);  // deregisters
  // Deregisters and closes. WHY both: a child between fork and exec holds a copy, which would keep the entry alive.
  void close(int& fd);

 private:
  Result<void> control(int op, int fd, EpollSink* sink, uint32_t events);
  int fd_;
};

class EpollRing;
struct AwakeTag;
struct AwakeRing : Hook<AwakeTag> {};  // an EpollRing

struct EpollContext {
  EpollContext(Loop& l, TimePoint now) : loop(l), turn(now) {}
  bool rings_sleep();  // before a wait; false: one has bytes, do not wait
  bool rings_wake();   // after it; true: one has bytes
  template <class Fn>
  bool any_awake_ring(Fn fn);

  Loop& loop;
  Poller poller;
  Turn turn;
  EpollLoopStats stats;
  IntrusiveList<AwakeRing, AwakeTag> awake_rings;  // those with traffic lately
};

class EpollStream final : public BufferedStream, public EpollSink {
 public:
  // Takes the connected, non-blocking fd; set_up() registers it.
  EpollStream(EpollContext& context, int fd, const SocketAddress& peer);
  ~EpollStream() override;
  Result<void> set_up(bool registered_before);
  std::string peer() const override;
  void reset_when_closed() override;
  void on_events(uint32_t events) override;

  bool expect_ring() override;
  Result<void> offer_ring(std::string_view message) override;
  Result<void> accept_ring(std::string_view answer) override;
  void use_ring() override;
  bool on_ring() const override;
  uint64_t bells() const override;
  TimePoint clock() const override { return std::chrono::steady_clock::now(); }
  void on_bell();
  using BufferedStream::awaits_bytes;

 protected:
  Io receive(char* to, size_t room) override;
  Io send(std::string_view a, std::string_view b) override;
  void end_sending() override;
  void close_transport() override;
  int take_error() override;

 private:
  Io receive_by_ring(char* to, size_t room);
  Io receive_with_descriptors(char* to, size_t room);
  Io send_by_ring(std::string_view a, std::string_view b);
  void ask_for_room(bool on);

  EpollContext& context_;
  int fd_;
  bool peer_ended_ = false, peer_gone_ = false;  // its half, both halves
  bool asked_for_room_ = false;                  // EPOLLOUT of a unix socket
  std::unique_ptr<EpollRing> ring_;              // null: none is expected, offered or in use
  // WHY not a SocketAddress: thousands of streams are idle, and of a unix peer nothing but its family is of use.
  sockaddr_in6 peer_{};
};

Result<std::unique_ptr<Listener>> epoll_listen(EpollContext& context, const Endpoint& at, Loop::AcceptFn on_accept,
                                               const ListenOptions& options);
void epoll_connect(EpollContext& context, const Endpoint& to, Deadline deadline, Loop::ConnectFn done);
Result<std::unique_ptr<FdWatch>> epoll_watch(EpollContext& context, int fd, std::function<void()> fn);

}  // namespace colony::async
