// One replica by itself, without agent, master or proxy: what its socket speaks can be compared with other people's
// clients. Usage: replica_server SPEC.json SOCKET NAME...: SPEC.json is a deployment in its JSON form, NAMEs are the OIP
// names of its models. Serves on the unix socket and on a loopback port; prints "listening ADDRESS", then "READY" or
// "FAILED reason"; SIGTERM ends it after what runs.
#include <fmt/core.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>

#include "async/epoll_loop.h"
#include "domain/spec_parse.h"
#include "observe/metrics.h"
#include "request/replica/replica.h"
#include "transport/http/server.h"

namespace colony {
namespace {

async::Task<void> tell_state(replica::Replica* replica) {
  while (replica->report().state == ReplicaState::kStarting) {
    const auto now = replica->report();
    co_await replica->changed_from("STARTING", now.phase, 1s);
  }
  const auto report = replica->report();
  fmt::print("{} {}\n", to_string(report.state), report.error);
  std::fflush(stdout);
}

async::Task<void> end(replica::Replica* replica, async::EpollLoop* loop) {
  co_await replica->drain(10s, 0);
  loop->stop();
}

async::Task<void> stop(replica::Replica* replica, async::EpollLoop* loop) {
  co_await replica->stop();
  loop->stop();
}

int run(int argc, char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  const int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);

  std::ifstream file(argv[1]);
  auto spec = deployment_from_json(std::string(std::istreambuf_iterator<char>(file), {}));
  if (!spec) {
    fmt::print(stderr, "{}: {}\n", argv[1], spec.error().message);
    return 2;
  }
  observe::Metrics metrics;
  auto loop = async::EpollLoop::create();
  auto pool = async::BlockingPool::threads({.name = "infer", .threads = replica::pool_threads(*spec)});
  std::unique_ptr<http::Server> local, port;
  replica::ReplicaOptions options;
  options.id = "test.replica";
  options.app = "test";
  options.spec = std::move(*spec);
  for (int i = 3; i < argc; ++i) options.model_names.emplace_back(argv[i]);
  options.metrics = &metrics;
  options.on_drain = [&] {
    local->drain_connections();
    port->drain_connections();
  };
  auto replica = replica::Replica::create(*loop, *pool, std::move(options));
  for (const auto& [slot, address] :
       {std::pair{&local, fmt::format("unix:{}", argv[2])}, std::pair{&port, std::string("127.0.0.1:0")}}) {
    auto listening = http::Server::listen(*loop, {address}, *replica, {.accept_frames = true});
    if (!listening) {
      fmt::print(stderr, "{}\n", listening.error().message);
      return 1;
    }
    *slot = std::move(*listening);
  }
  fmt::print("listening {}\n", port->endpoint().text);
  std::fflush(stdout);
  async::Scope scope(*loop);
  auto watch = loop->watch_fd(fd, [&] {
    signalfd_siginfo info;
    if (read(fd, &info, sizeof info) == sizeof info) scope.spawn(end(replica.get(), loop.get()));
  });
  replica->start();
  scope.spawn(tell_state(replica.get()));
  loop->run();
  local.reset();
  port.reset();
  scope.spawn(stop(replica.get(), loop.get()));
  loop->run();
  close(fd);
  return 0;
}

}  // namespace
}  // namespace colony

int main(int argc, char** argv) {
  if (argc < 4) {
    fmt::print(stderr, "replica_server SPEC.json SOCKET NAME...\n");
    return 2;
  }
  return colony::run(argc, argv);
}
