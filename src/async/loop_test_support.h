// What the tests of Loop share: a driver per kind of loop, and handlers that record what they were told.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/epoll_loop.h"
#include "async/link_stream.h"
#include "async/sim_loop.h"

namespace colony::async::test {

// Runs a loop until a condition holds. The limit only ends a test that has failed.
struct EpollDriver {
  static constexpr bool kReal = true, kSlow = false, kRing = false;  // kSlow: bytes take time
  std::unique_ptr<EpollLoop> loop = EpollLoop::create();
  bool run_until(std::function<bool()> done, Duration limit = 120s) {
    bool met = false;
    const TimePoint end = loop->now() + limit;
    Timer look(*loop, [&] {
      met = done();
      if (met || loop->now() >= end) {
        loop->stop();
      } else {
        look.arm_after(1ms);
      }
    });
    look.arm_after(0ms);
    loop->run();
    return met;
  }
  // Turns enough for everything that is on its way inside this process.
  void settle() {
    int turns = 0;
    run_until([&] { return ++turns > 20; });
  }
};

struct SimDriver {
  static constexpr bool kReal = false, kSlow = false, kRing = false;
  std::unique_ptr<SimLoop> loop = SimLoop::create({.seed = 7});
  bool run_until(std::function<bool()> done, Duration limit = 120s) { return loop->run_until(std::move(done), limit); }
  void settle() { loop->run_for(50ms); }
};

struct ChunkedSimDriver : SimDriver {
  static constexpr bool kSlow = true;
  ChunkedSimDriver() { loop = SimLoop::create({.seed = 11, .max_chunk = 700, .stream_buffer = 5000, .latency = 3ms}); }
};

// While it lives this process can open no descriptor.
class NoDescriptors {
 public:
  NoDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit none = before_;
    none.rlim_cur = 0;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "colony-async-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Records everything; consumes everything unless told otherwise. The hooks run inside the callbacks.
struct Recorder : StreamHandler {
  std::string bytes;              // consumed
  std::vector<std::string> seen;  // each view as shown
  int drained = 0, ended = 0, closed = 0, end_follows = 0;
  Error error;
  std::function<size_t(std::string_view)> consume;
  std::function<void()> when_bytes, when_drained, when_end, when_end_follows, when_closed;

  size_t on_bytes(std::string_view data) override {
    seen.emplace_back(data);
    const size_t n = consume ? consume(data) : data.size();
    bytes.append(data.substr(0, n));
    if (auto fn = when_bytes) fn();
    return n;
  }
  void on_drained() override {
    ++drained;
    if (auto fn = when_drained) fn();
  }
  void on_end() override {
    ++ended;
    if (auto fn = when_end) fn();
  }
  void on_end_follows() override {
    ++end_follows;
    if (auto fn = when_end_follows) fn();
  }
  void on_closed(const Error& e) override {
    ++closed;
    error = e;
    if (auto fn = when_closed) fn();
  }
};

// A connected pair over a listener.
template <class Driver>
struct Pair {
  Recorder near_events, far_events;  // outlive the streams
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Stream> near, far;
  std::vector<std::unique_ptr<Stream>> others;  // accepted after the first

  Pair(Driver& driver, const Endpoint& at) {
    auto listening = driver.loop->listen(at, [this](std::unique_ptr<Stream> s) {
      if (far) return others.push_back(std::move(s));
      far = std::move(s);
      far->set_handler(&far_events);
    });
    EXPECT_TRUE(listening) << (listening ? "" : listening.error().message);
    if (!listening) return;
    listener = std::move(*listening);
    driver.loop->connect(listener->endpoint(), Deadline::never(), [this](Result<std::unique_ptr<Stream>> s) {
      EXPECT_TRUE(s) << (s ? "" : s.error().message);
      near = std::move(*s);
      near->set_handler(&near_events);
    });
    EXPECT_TRUE(driver.run_until([this] { return near && far; }));
    if (Driver::kRing && listener->endpoint().is_unix()) use_ring(driver);
  }

  void use_ring(Driver& driver) {
    LinkStream &here = *link_stream(*near), &there = *link_stream(*far);
    EXPECT_TRUE(there.expect_ring());
    const auto offered = here.offer_ring("offer");
    EXPECT_TRUE(offered) << (offered ? "" : offered.error().message);
    EXPECT_TRUE(driver.run_until([this] { return far_events.bytes == "offer"; }));
    const auto accepted = there.accept_ring("yes");
    EXPECT_TRUE(accepted) << (accepted ? "" : accepted.error().message);
    EXPECT_TRUE(driver.run_until([this] { return near_events.bytes == "yes"; }));
    here.use_ring();
    for (Recorder* r : {&near_events, &far_events}) r->bytes.clear(), r->seen.clear();
  }
};

}  // namespace colony::async::test
