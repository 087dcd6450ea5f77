// The adapter between two real loops on two threads: calls come back on the caller's loop, updates arrive there, and
// everything can be taken down in order. (Its behaviour as a Discovery: conformance_test.cc.)
#include "discovery/threaded.h"

#include <gtest/gtest.h>

#include <thread>

#include "async/epoll_loop.h"
#include "discovery/registry.h"
#include "discovery/table_view.h"

namespace colony::discovery {
namespace {

async::Task<void> use(async::EpollLoop& caller, Discovery& d, bool& seen) {
  TableView view;
  auto subscription = d.subscribe([&](const TableUpdate& u) {
    EXPECT_TRUE(caller.on_thread());
    view.apply(u);
  });
  for (uint64_t i = 1; i <= 50; ++i) {
    auto r = co_await d.publish({.app = "a", .epoch = 1, .version = i});
    EXPECT_TRUE(r);
    EXPECT_TRUE(caller.on_thread());
  }
  auto stale = co_await d.publish({.app = "a", .epoch = 1, .version = 1});
  EXPECT_FALSE(stale);
  for (int i = 0; i < 1000 && !(view.apps().contains("a") && view.apps().at("a").version == 50); ++i)
    co_await caller.sleep(1ms);
  seen = view.apps().contains("a") && view.apps().at("a").version == 50;
  subscription.reset();
  caller.stop();
}

async::Task<void> end(Registry& registry, async::EpollLoop& home) {
  co_await registry.stop();
  home.stop();
}

TEST(Threaded, CallsAndUpdatesCrossBetweenThreads) {
  auto home = async::EpollLoop::create(), caller = async::EpollLoop::create();
  Registry registry(*home, {.settle = 0s});
  std::thread thread([&] { home->run(); });
  bool seen = false;
  {
    Threaded d(*caller, *home, registry);
    async::Scope scope(*caller);
    caller->post([&] { scope.spawn(use(*caller, d, seen)); });
    caller->run();
  }
  EXPECT_TRUE(seen);
  async::Scope last(*home);
  home->post([&] { last.spawn(end(registry, *home)); });
  thread.join();
}

}  // namespace
}  // namespace colony::discovery
