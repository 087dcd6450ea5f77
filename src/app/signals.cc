// signalfd: no handler runs, so nothing has to be async-signal-safe.
#include "app/signals.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace colony::app {

Result<std::unique_ptr<Signals>> Signals::watch(async::Loop& loop, std::function<void(int)> fn) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  auto out = std::unique_ptr<Signals>(new Signals);
  out->fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (out->fd_ < 0) return fail(errno_error("signalfd", errno));
  TRY(out->watch_, loop.watch_fd(out->fd_, [fd = out->fd_, fn = std::move(fn)] {
    signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == sizeof info) fn(static_cast<int>(info.ssi_signo));
  }));
  return out;
}

Signals::~Signals() {
  watch_.reset();
  if (fd_ >= 0) close(fd_);
}

}  // namespace colony::app
