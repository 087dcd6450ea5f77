// The calls to the kernel that a loop makes per request. WHY not glibc's functions: in a process with threads each of them is
// a point of pthread_cancel(), two atomic operations and four calls around the kernel's own; nothing is cancelled here.
// As there: -1, and errno.
#pragma once

#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

namespace colony::async::kernel {

inline ssize_t send(int fd, const void* data, size_t size, int flags) {
  return ::syscall(SYS_sendto, fd, data, size, flags, nullptr, 0);
}
inline ssize_t recv(int fd, void* data, size_t size, int flags) {
  return ::syscall(SYS_recvfrom, fd, data, size, flags, nullptr, nullptr);
}
inline ssize_t write(int fd, const void* data, size_t size) { return ::syscall(SYS_write, fd, data, size); }
inline int epoll_wait(int fd, epoll_event* events, int most, int timeout) {
  return static_cast<int>(::syscall(SYS_epoll_pwait, fd, events, most, timeout, nullptr, size_t{_NSIG / 8}));
}

}  // namespace colony::async::kernel
