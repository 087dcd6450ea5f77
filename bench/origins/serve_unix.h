// What the origins share: one thread that accepts on a unix socket and serves each connection whenever epoll says that
// something is new (edge-triggered). No part of Colony.
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>

// A Connection is made of its descriptor, which it does not own; serve(connection) says whether it goes on. Returns only
// when the socket cannot be made.
template <class Connection>
int serve_unix(const char* path, bool (*serve)(Connection&)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  unlink(path);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 || listen(listener, 1024) < 0) {
    std::perror(path);
    return 1;
  }
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event add{};
  add.events = EPOLLIN;
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &add);
  std::array<epoll_event, 256> events;
  for (;;) {
    const int n = epoll_wait(epoll, events.data(), events.size(), -1);
    for (int i = 0; i < n; ++i) {
      std::unique_ptr<Connection> c(static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr));
      if (c) {
        if (serve(*c))
          (void)c.release();
        else
          close(c->fd);
        continue;
      }
      for (int fd; (fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        epoll_event e{};
        e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        e.data.ptr = std::make_unique<Connection>(fd).release();
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
      }
    }
  }
}
