// What only the real loop has: threads that post, descriptors that run out, files of unix sockets, addresses.
#include "async/epoll_loop.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "async/loop_test_support.h"
#include "async/socket_address.h"

namespace colony::async::test {
namespace {

TEST(EpollLoop, WorkPostedByManyThreadsRunsOnceAndInEachThreadsOrder) {
  EpollDriver driver;
  constexpr int kThreads = 4, kEach = 5000;
  std::vector<int> last(kThreads, 0);
  int total = 0;
  bool in_order = true;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 1; i <= kEach; ++i) {
        driver.loop->post([&, t, i] {
          auto& seen = last[static_cast<size_t>(t)];
          in_order &= seen == i - 1;
          seen = i;
          ++total;
        });
      }
    });
  }
  EXPECT_TRUE(driver.run_until([&] { return total == kThreads * kEach; }));
  for (auto& t : threads) t.join();
  EXPECT_TRUE(in_order);
}

TEST(EpollLoop, APostWakesALoopThatWaitsWithoutATimer) {
  auto loop = EpollLoop::create();
  for (int round = 0; round < 200; ++round) {
    std::thread poster([&] { loop->post([&] { loop->stop(); }); });
    loop->run();
    poster.join();
  }
  SUCCEED();
}

TEST(EpollLoop, StopFromAnotherThreadIsNotLostEvenBeforeRun) {
  auto loop = EpollLoop::create();
  loop->stop();
  loop->run();
  for (int round = 0; round < 200; ++round) {
    std::thread stopper([&] { loop->stop(); });
    loop->run();
    stopper.join();
  }
  SUCCEED();
}

TEST(EpollLoop, KnowsItsThread) {
  auto loop = EpollLoop::create();
  EXPECT_TRUE(loop->on_thread());
  bool inside = false, outside = true;
  std::thread runner([&] { loop->run(); });
  loop->post([&] {
    inside = loop->on_thread();
    std::thread([&] { outside = loop->on_thread(); }).join();
    loop->stop();
  });
  runner.join();
  EXPECT_TRUE(inside);
  EXPECT_FALSE(outside);
}

TEST(EpollLoop, PostedAndDeferredWorkKeepTheOrderOfATurn) {
  EpollDriver driver;
  std::vector<std::string> order;
  driver.loop->post([&] {
    driver.loop->defer([&] { order.push_back("deferred"); });
    driver.loop->post([&] { order.push_back("posted again"); });
    order.push_back("posted");
  });
  EXPECT_TRUE(driver.run_until([&] { return order.size() == 3; }));
  EXPECT_EQ(order, (std::vector<std::string>{"posted", "deferred", "posted again"}));
}

TEST(EpollLoop, AcceptingRestsWhileNoDescriptorIsLeftAndGoesOnLater) {
  EpollDriver driver;
  int accepted = 0;
  std::vector<std::unique_ptr<Stream>> streams;
  auto listener = driver.loop->listen({"127.0.0.1:0"}, [&](std::unique_ptr<Stream> s) {
    ++accepted;
    streams.push_back(std::move(s));
  });
  ASSERT_TRUE(listener);
  auto address = parse_address((*listener)->endpoint());
  ASSERT_TRUE(address);
  const int first = ::socket(AF_INET, SOCK_STREAM, 0), client = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(::connect(first, address->get(), address->size), 0);
  // All code has run once before the limit: a sanitizer that meets a new type opens a pipe.
  EXPECT_TRUE(driver.run_until([&] { return accepted == 1; }));
  ASSERT_EQ(::connect(client, address->get(), address->size), 0);
  std::optional<NoDescriptors> scarce(std::in_place);
  const uint64_t turns = driver.loop->turns();
  const bool rested = driver.run_until([&] { return driver.loop->stats().accept_pauses >= 2; });
  const uint64_t used = driver.loop->turns() - turns;
  scarce.reset();
  EXPECT_TRUE(rested);
  EXPECT_LT(used, 2000u) << "the driver's own timer makes one turn per ms";
  EXPECT_EQ(accepted, 1);
  EXPECT_TRUE(driver.run_until([&] { return accepted == 2; }));
  ::close(first);
  ::close(client);
}

TEST(EpollLoop, AConnectThatNobodyAnswersEndsAtItsDeadline) {
  TempDir dir;
  for (const std::string& text : {std::string("127.0.0.1:0"), "unix:" + dir.file("full")}) {
    SCOPED_TRACE(text);
    EpollDriver driver;
    auto address = parse_address({text});
    ASSERT_TRUE(address);
    const int silent = ::socket(address->family(), SOCK_STREAM | SOCK_CLOEXEC, 0);  // listens, never accepts
    ASSERT_EQ(::bind(silent, address->get(), address->size), 0);
    ASSERT_EQ(::listen(silent, 0), 0);
    ASSERT_EQ(::getsockname(silent, address->get(), &address->size), 0);
    int answered = 0, late = 0;
    std::vector<std::unique_ptr<Stream>> streams;
    for (int i = 0; i < 8; ++i) {
      const TimePoint due = driver.loop->now() + 150ms;
      driver.loop->connect({address_text(*address)}, Deadline::at(due), [&, due](Result<std::unique_ptr<Stream>> r) {
        ++answered;
        if (r) return streams.push_back(std::move(*r));
        EXPECT_EQ(r.error().code, Code::kDeadlineExceeded) << r.error().message;
        EXPECT_GE(driver.loop->now(), due);
        ++late;
      });
    }
    EXPECT_TRUE(driver.run_until([&] { return answered == 8; }));
    EXPECT_GT(late, 0);
    ::close(silent);
  }
}

TEST(EpollLoop, AResetIsToldToAPausedStream) {
  EpollDriver driver;
  Recorder events;
  std::unique_ptr<Stream> stream;
  auto listener = driver.loop->listen({"127.0.0.1:0"}, [&](std::unique_ptr<Stream> s) {
    stream = std::move(s);
    stream->set_handler(&events);
    stream->pause();
  });
  ASSERT_TRUE(listener);
  auto address = parse_address((*listener)->endpoint());
  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(::connect(client, address->get(), address->size), 0);
  EXPECT_TRUE(driver.run_until([&] { return stream != nullptr; }));
  EXPECT_TRUE(stream->peer().starts_with("127.0.0.1:")) << stream->peer();
  const linger at_once{1, 0};
  ::setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(client);
  EXPECT_TRUE(driver.run_until([&] { return events.closed == 1; }));
  EXPECT_EQ(events.ended, 0);
  EXPECT_EQ(events.error.code, Code::kUnavailable);
}

TEST(EpollLoop, WhatAUnixPeerSentBeforeItDiedIsReadBeforeTheFailedWriteIsTold) {
  TempDir dir;
  EpollDriver driver;
  Pair<EpollDriver> p(driver, {"unix:" + dir.file("s")});
  p.far->write_now("early answer");
  p.far.reset();
  p.near->write_now("a long upload");  // EPIPE
  EXPECT_TRUE(driver.run_until([&] { return p.near_events.closed == 1; }));
  EXPECT_EQ(p.near_events.bytes, "early answer");
}

TEST(EpollLoop, AStaleSocketFileIsReplacedALiveOneIsNot) {
  TempDir dir;
  EpollDriver driver;
  const std::string path = dir.file("agent.sock");
  const Endpoint at{"unix:" + path};
  auto address = parse_address(at);
  const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(dead, address->get(), address->size), 0);
  ::listen(dead, 1);
  auto taken = driver.loop->listen(at, [](auto) {});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::kAlreadyExists);
  ::close(dead);  // leaves the file, as a killed process does
  auto mine = driver.loop->listen(at, [](auto) {}, {.unix_mode = 0660});
  ASSERT_TRUE(mine) << mine.error().message;
  struct stat file{};
  ASSERT_EQ(::stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0660u);
  mine->reset();
  EXPECT_NE(::stat(path.c_str(), &file), 0) << "a listener takes its file away";
}

TEST(EpollLoop, AFileThatIsNoSocketOrNotItsOwnIsLeftAlone) {
  TempDir dir;
  EpollDriver driver;
  const std::string path = dir.file("notes.txt");
  std::ofstream(path) << "precious";
  EXPECT_FALSE(driver.loop->listen({"unix:" + path}, [](auto) {}));
  EXPECT_EQ(std::filesystem::file_size(path), 8u);

  const std::string other = dir.file("s");
  auto first = driver.loop->listen({"unix:" + other}, [](auto) {});
  ASSERT_TRUE(first);
  ::unlink(other.c_str());
  auto second = driver.loop->listen({"unix:" + other}, [](auto) {});
  ASSERT_TRUE(second);
  first->reset();
  EXPECT_TRUE(std::filesystem::exists(other)) << "the file belongs to the second listener";
}

TEST(EpollLoop, AnAddressThatCannotBeIsRefusedWithItsText) {
  EpollDriver driver;
  const std::string long_path = "unix:/tmp/" + std::string(120, 'x');
  for (const std::string& text :
       std::vector<std::string>{"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:80x", "example.com:80",
                                "::1:80", "[::1:80", "[zz]:80", "unix:", long_path}) {
    SCOPED_TRACE(text);
    auto listening = driver.loop->listen({text}, [](auto) {});
    ASSERT_FALSE(listening);
    EXPECT_EQ(listening.error().code, Code::kInvalidArgument);
    EXPECT_NE(listening.error().message.find(text.substr(text.find(':') == 4 ? 5 : 0)), std::string::npos);
    std::optional<Error> error;
    driver.loop->connect({text}, Deadline::never(), [&](auto r) { error = std::move(r).error(); });
    EXPECT_TRUE(driver.run_until([&] { return error.has_value(); }));
    EXPECT_EQ(error->code, Code::kInvalidArgument);
  }
  auto long_one = parse_address({long_path});
  EXPECT_NE(long_one.error().message.find("107"), std::string::npos) << long_one.error().message;
  EXPECT_EQ(address_text(*parse_address({"localhost:80"})), "127.0.0.1:80");
  EXPECT_EQ(address_text(*parse_address({"[::1]:80"})), "[::1]:80");
  EXPECT_EQ(address_text(*parse_address({"unix:/run/x"})), "unix:/run/x");
}

TEST(EpollLoop, TwoLoopsShareAPortThatAsksForIt) {
  EpollDriver one, two;
  auto first = one.loop->listen({"127.0.0.1:0"}, [](auto) {}, {.reuse_port = true});
  ASSERT_TRUE(first);
  EXPECT_TRUE(two.loop->listen((*first)->endpoint(), [](auto) {}, {.reuse_port = true}));
  EXPECT_FALSE(two.loop->listen((*first)->endpoint(), [](auto) {}));
}

TEST(EpollLoop, AWatchedDescriptorIsCalledWhileReadableAndMayBeLetGoInside) {
  EpollDriver driver;
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  int calls = 0;
  std::unique_ptr<FdWatch> watch;
  auto watching = driver.loop->watch_fd(fd, [&] {
    if (++calls == 3) watch.reset();
  });
  ASSERT_TRUE(watching);
  watch = std::move(*watching);
  driver.settle();
  EXPECT_EQ(calls, 0);
  const uint64_t one = 1;
  ASSERT_EQ(::write(fd, &one, sizeof one), 8);
  EXPECT_TRUE(driver.run_until([&] { return calls == 3; }));
  driver.settle();
  EXPECT_EQ(calls, 3);
  ::close(fd);
}

TEST(EpollLoop, AnIdleLoopTakesNoTurns) {
  EpollDriver driver;
  Pair<EpollDriver> p(driver, {"127.0.0.1:0"});
  driver.settle();
  const uint64_t before = driver.loop->turns();
  Timer end(*driver.loop, [&] { driver.loop->stop(); });
  end.arm_after(100ms);
  driver.loop->run();
  EXPECT_LT(driver.loop->turns() - before, 10u);
}

}  // namespace
}  // namespace colony::async::test
