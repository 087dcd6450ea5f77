// Sockets under BufferedStream: TCP and unix. See epoll_sources.h.
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "async/epoll_ring.h"
#include "async/kernel_calls.h"

namespace colony::async {
namespace {

constexpr int kUnixSendBuffer = 1024 * 1024;

void tune(int fd, int family) {
  const int one = 1;
  if (family == AF_UNIX) {
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kUnixSendBuffer, sizeof kUnixSendBuffer) != 0)
      setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kUnixSendBuffer, sizeof kUnixSendBuffer);
  } else {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
}

}  // namespace

EpollStream::EpollStream(EpollContext& context, int fd, const SocketAddress& peer)
    : BufferedStream(context.turn), context_(context), fd_(fd) {
  std::memcpy(&peer_, &peer.storage, sizeof peer_);
}

EpollStream::~EpollStream() { EpollStream::close_transport(); }

Result<void> EpollStream::set_up(bool registered_before) {
  tune(fd_, peer_.sin6_family);
  const uint32_t events = peer_.sin6_family == AF_UNIX ? kUnixStreamEvents : kStreamEvents;
  return registered_before ? context_.poller.change(fd_, *this, events) : context_.poller.add(fd_, *this, events);
}

void EpollStream::ask_for_room(bool on) {
  if (peer_.sin6_family != AF_UNIX || asked_for_room_ == on) return;
  // A failure leaves the stream waiting for its peer's end, like one that never reads.
  if (context_.poller.change(fd_, *this, on ? kStreamEvents : kUnixStreamEvents)) asked_for_room_ = on;
}

std::string EpollStream::peer() const {
  if (peer_.sin6_family == AF_UNIX) return "unix";
  SocketAddress address;
  std::memcpy(&address.storage, &peer_, sizeof peer_);
  address.size = sizeof peer_;
  return address_text(address);
}

void EpollStream::on_events(uint32_t events) {
  if (fd_ < 0) return;
  peer_gone_ |= (events & EPOLLHUP) != 0;
  peer_ended_ |= (events & (EPOLLHUP | EPOLLRDHUP)) != 0;
  if (on_ring()) events &= ~uint32_t{EPOLLIN};  // nothing more is read from the socket
  if (events & EPOLLERR) now_broken();
  if (events & EPOLLHUP)
    now_hung_up();
  else if (events & (EPOLLIN | EPOLLRDHUP))
    now_readable(events & EPOLLRDHUP);
  if (events & EPOLLOUT) {
    ask_for_room(false);
    now_writable();
  }
}

BufferedStream::Io EpollStream::receive(char* to, size_t room) {
  if (on_ring()) return receive_by_ring(to, room);
  if (ring_ && ring_->state() == EpollRing::State::kExpected) return receive_with_descriptors(to, room);
  for (;;) {
    const ssize_t n = kernel::recv(fd_, to, room, MSG_DONTWAIT);
    if (n >= 0) return {n, 0};
    if (errno != EINTR) return {-1, errno};
  }
}

BufferedStream::Io EpollStream::send(std::string_view a, std::string_view b) {
  if (on_ring()) return send_by_ring(a, b);
  for (;;) {
    ssize_t n;
    if (b.empty()) {
      n = kernel::send(fd_, a.data(), a.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
      iovec parts[2] = {{const_cast<char*>(a.data()), a.size()}, {const_cast<char*>(b.data()), b.size()}};
      msghdr message{};
      message.msg_iov = parts;
      message.msg_iovlen = 2;
      n = ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (n >= 0) {
      if (static_cast<size_t>(n) < a.size() + b.size()) ask_for_room(true);
      return {n, 0};
    }
    const int err = errno;
    if (err == EAGAIN) ask_for_room(true);
    if (err != EINTR) return {-1, err};
  }
}

void EpollStream::reset_when_closed() {
  const linger none{.l_onoff = 1, .l_linger = 0};
  if (fd_ >= 0) setsockopt(fd_, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

void EpollStream::end_sending() { ::shutdown(fd_, SHUT_WR); }

void EpollStream::close_transport() {
  ring_.reset();
  if (fd_ >= 0) context_.poller.close(fd_);
}

int EpollStream::take_error() {
  int err = 0;
  socklen_t size = sizeof err;
  return getsockopt(fd_, SOL_SOCKET, SO_ERROR, &err, &size) == 0 ? err : errno;
}

}  // namespace colony::async
