// The same proxy on real loops with threads of their own, real sockets and clients that block: slots stay exact across
// loops, hand-overs reach who waits, tables change meanwhile, and everything comes down in order. Short; its value is
// under ThreadSanitizer.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include "async/epoll_loop.h"
#include "discovery/registry.h"
#include "request/proxy/proxy.h"
#include "transport/http/server.h"

namespace colony::proxy {
namespace {

// Answers every request after a millisecond and notes how many it had at once.
class SlowEcho final : public http::Service {
 public:
  explicit SlowEcho(async::Loop& loop) : loop_(loop) {}
  http::ExchangeHandler* on_request(http::Exchange& exchange, const http::RequestHead&) override {
    most_ = std::max(most_, ++now_);
    return new Call(*this, exchange);
  }
  int most() const { return most_; }

 private:
  struct Call final : http::ExchangeHandler {
    Call(SlowEcho& s, http::Exchange& e)
        : service(s), exchange(e), timer(s.loop_, [this] {
            --service.now_;
            counted = false;
            http::reply_with(exchange, 200, "text/plain", body);
          }) {}
    SlowEcho& service;
    http::Exchange& exchange;
    std::string body;
    async::Timer timer;
    bool counted = true;
    void on_body(std::string_view data) override {
      body += data;
      exchange.consumed(data.size());
    }
    void on_end(std::string_view) override { timer.arm_after(1ms); }
    void on_done(bool) override {
      if (counted) --service.now_;
      delete this;
    }
  };
  async::Loop& loop_;
  int now_ = 0, most_ = 0;
};

class LoopThread {
 public:
  LoopThread() : loop(async::EpollLoop::create()), thread_([this] { loop->run(); }) {}
  ~LoopThread() {
    loop->stop();
    thread_.join();
  }
  // fn() on the loop's thread; returns when it has run.
  void run(const std::function<void()>& fn) {
    std::promise<void> done;
    loop->post([&] {
      fn();
      done.set_value();
    });
    done.get_future().wait();
  }
  std::unique_ptr<async::EpollLoop> loop;

 private:
  std::thread thread_;
};

async::Task<void> hand_back(async::Task<void> work, std::promise<void>& done) {
  co_await std::move(work);
  done.set_value();
}

int ask(uint16_t port, int requests) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int good = 0;
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) {
    for (int i = 0; i < requests; ++i) {
      const std::string request = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
      if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) break;
      std::string reply;
      while (!reply.ends_with("hello")) {
        char buffer[4096];
        const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) break;
        reply.append(buffer, static_cast<size_t>(n));
      }
      good += reply.starts_with("HTTP/1.1 200") && reply.ends_with("hello") ? 1 : 0;
    }
  }
  close(fd);
  return good;
}

struct House {
  explicit House(async::Loop& h) : scope(h), registry(h, {.settle = 0s}) {}
  async::Scope scope;
  discovery::Registry registry;
  std::unique_ptr<Proxy> proxy;
  uint64_t version = 0;
  std::vector<std::string> addresses;
  uint16_t port = 0;

  async::Task<void> publish(int max_ongoing) {
    DeploymentRecord d{.name = "d", .models = {"m"}, .route_prefix = "/", .max_ongoing_requests = max_ongoing};
    for (const auto& a : addresses) d.replicas.push_back({.id = a, .address = a});
    auto r = co_await registry.publish({.app = "a", .epoch = 1, .version = ++version, .deployments = {d}});
    EXPECT_TRUE(r);
  }
  async::Task<void> up() {
    co_await publish(2);
    auto at = co_await proxy->start();
    EXPECT_TRUE(at);
    if (at) port = static_cast<uint16_t>(std::stoi(at->text.substr(at->text.rfind(':') + 1)));
  }
  async::Task<void> refused() {
    auto at = co_await proxy->start();
    EXPECT_TRUE(!at && at.error().reason == "address_in_use");
    co_await proxy->stop();
    proxy.reset();
    co_await registry.stop();
  }
  async::Task<void> down() {
    EXPECT_TRUE(co_await proxy->drain(Deadline::after(scope.loop().now(), 10s)));
    co_await proxy->stop();
    proxy.reset();
    co_await registry.stop();
  }
  void run(LoopThread& home, std::function<async::Task<void>()> work) {
    std::promise<void> done;
    home.loop->post([&] { scope.spawn(hand_back(work(), done)); });
    done.get_future().wait();
  }
};

TEST(ProxyThreads, BoundsHoldOverLoopsAndNothingIsLost) {
  const auto folder = std::filesystem::temp_directory_path() / ("colony-proxy-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  {
    LoopThread home, a, b, replicas;
    std::unique_ptr<SlowEcho> services[2];
    std::unique_ptr<http::Server> servers[2];
    std::unique_ptr<House> house;
    home.run([&] { house = std::make_unique<House>(*home.loop); });
    for (int i = 0; i < 2; ++i) house->addresses.push_back("unix:" + (folder / std::to_string(i)).string());
    replicas.run([&] {
      for (size_t i = 0; i < 2; ++i) {
        services[i] = std::make_unique<SlowEcho>(*replicas.loop);
        auto s = http::Server::listen(*replicas.loop, {house->addresses[i]}, *services[i], {.accept_frames = true});
        ASSERT_TRUE(s) << s.error().message;
        servers[i] = std::move(*s);
      }
    });
    home.run([&] {
      house->proxy =
          std::make_unique<Proxy>(*home.loop, house->registry, std::vector<async::Loop*>{a.loop.get(), b.loop.get()},
                                  ProxyOptions{.listen = {"127.0.0.1:0"}});
    });
    house->run(home, [&] { return house->up(); });
    std::atomic<int> good{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 8; ++i)
      clients.emplace_back([&] {
        for (int k = 0; k < 10; ++k) good += ask(house->port, 10);
      });
    for (int i = 0; i < 10; ++i) house->run(home, [&] { return house->publish(2); });
    for (auto& c : clients) c.join();
    EXPECT_EQ(good.load(), 800);
    house->run(home, [&] { return house->down(); });
    home.run([&] { house.reset(); });
    replicas.run([&] {
      for (size_t i = 0; i < 2; ++i) {
        EXPECT_LE(services[i]->most(), 2);
        EXPECT_GE(services[i]->most(), 1);
        servers[i].reset();
        services[i].reset();
      }
    });
  }
  std::filesystem::remove_all(folder);
}

TEST(ProxyThreads, APortThatOtherLoopsHoldIsRefusedAndNotShared) {
  LoopThread home, a, b, other;
  std::unique_ptr<async::Listener> held;
  std::string address;
  other.run([&] {
    auto l = other.loop->listen({"127.0.0.1:0"}, [](std::unique_ptr<async::Stream>) {}, {.reuse_port = true});
    ASSERT_TRUE(l);
    held = std::move(*l);
    address = held->endpoint().text;
  });
  std::unique_ptr<House> house;
  home.run([&] {
    house = std::make_unique<House>(*home.loop);
    house->proxy =
        std::make_unique<Proxy>(*home.loop, house->registry, std::vector<async::Loop*>{a.loop.get(), b.loop.get()},
                                ProxyOptions{.listen = {address}});
  });
  house->run(home, [&] { return house->refused(); });
  home.run([&] { house.reset(); });
  other.run([&] { held.reset(); });
}

}  // namespace
}  // namespace colony::proxy
