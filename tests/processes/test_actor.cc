// The smallest process that an agent can run: an actor's endpoint on its socket and a script (tests/support/
// actor_script.h). Called as the agent calls every role: test_actor actor --dir FOLDER.
#include <fmt/format.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "async/epoll_loop.h"
#include "engine/agent/actor_endpoint.h"
#include "tests/support/actor_script.h"
#include "transport/http/server.h"

namespace colony {
namespace {

async::Task<void> serve(async::EpollLoop& loop, std::string folder, int* exit_code) {
  async::Scope scope(loop);
  async::Signal told(loop);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

  auto endpoint = co_await engine::ActorEndpoint::open(loop, folder, {});
  if (!endpoint) {
    fmt::print(stderr, "{}\n", endpoint.error().message);
    *exit_code = 1;
    loop.stop();
    co_return;
  }
  const auto script = testing::ActorScript::parse((*endpoint)->spec().payload);
  for (const char* const* e = ::environ; *e != nullptr; ++e) {
    if (std::strncmp(*e, "TEST_", 5) == 0) fmt::print("{}\n", *e);
  }
  for (int i = 1; i <= script.lines; ++i) fmt::print("line {}\n", i);
  std::fflush(stdout);
  if (script.exit >= 0) ::_exit(script.exit);

  http::Router router(loop, {});
  (*endpoint)->mount(router);
  std::unique_ptr<http::Server> server;
  if (!script.mute) {
    auto listening = http::Server::listen(loop, (*endpoint)->address(), router);
    if (!listening) {
      fmt::print(stderr, "{}\n", listening.error().message);
      ::_exit(1);
    }
    server = std::move(*listening);
  }
  auto watch = loop.watch_fd(fd, [&] {
    signalfd_siginfo info;
    while (::read(fd, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      if (!script.stubborn) told.notify();
    }
  });
  co_await told.wait(scope);
  server.reset();
  co_await router.stop();
  ::close(fd);
  loop.stop();
}

}  // namespace
}  // namespace colony

int main(int argc, char** argv) {
  if (argc != 4 || std::strcmp(argv[1], "actor") != 0 || std::strcmp(argv[2], "--dir") != 0) {
    std::fprintf(stderr, "usage: %s actor --dir FOLDER\n", argv[0]);
    return 2;
  }
  auto loop = colony::async::EpollLoop::create();
  int exit_code = 0;
  {
    colony::async::Scope scope(*loop);
    scope.spawn(colony::serve(*loop, argv[3], &exit_code));
    loop->run();
  }
  return exit_code;
}
