// The proxy on real loops with threads of their own, real sockets and clients that block, for the tests of this room. Not part
// of the library.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "async/epoll_loop.h"
#include "discovery/registry.h"
#include "request/proxy/proxy.h"
#include "tests/support/temp_dir.h"
#include "transport/http/server.h"

namespace colony::proxy::testing {

// Answers every request with its body, after a millisecond or when it is opened, and notes how many it had at once.
class SlowEcho final : public http::Service {
 public:
  explicit SlowEcho(async::Loop& loop) : loop_(loop) {}
  http::ExchangeHandler* on_request(http::Exchange& exchange, const http::RequestHead&) override {
    most_ = std::max(most_, ++now_);
    return new Call(*this, exchange);
  }
  int most() const { return most_; }
  // Closed, it answers nothing.
  void close() { closed_ = true; }
  void open() {
    closed_ = false;
    for (Call* c : std::exchange(held_, {})) c->timer.arm_after(1ms);
  }

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
    void on_end(std::string_view) override {
      if (service.closed_)
        service.held_.push_back(this);
      else
        timer.arm_after(1ms);
    }
    void on_done(bool) override {
      if (counted) --service.now_;
      std::erase(service.held_, this);
      delete this;
    }
  };
  async::Loop& loop_;
  int now_ = 0, most_ = 0;
  bool closed_ = false;
  std::vector<Call*> held_;
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

inline async::Task<void> hand_back(async::Task<void> work, std::promise<void>& done) {
  co_await std::move(work);
  done.set_value();
}

// A client that blocks, on one connection.
class Client {
 public:
  explicit Client(uint16_t port) : port_(port) { connect(); }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // The status; 0: the connection broke or nothing came for 20 s. `body` is set to what came.
  int ask(std::string_view path, std::string_view sent, std::string& body, std::string_view method = "PUT") {
    if (fd_ < 0) connect();
    const std::string request = std::string(method) + " " + std::string(path) +
                                " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(sent.size()) + "\r\n\r\n" +
                                std::string(sent);
    if (send(fd_, request.data(), request.size(), MSG_NOSIGNAL) < 0) return give_up();
    std::string reply;
    for (;;) {
      http::ReplyHead head;
      http::ParseError error;
      if (http::parse_reply_head(reply, head, error) == http::ParseState::kComplete && head.content_length &&
          reply.size() >= head.block.size() + *head.content_length) {
        body = reply.substr(head.block.size());
        return head.status;
      }
      char buffer[4096];
      const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
      if (n <= 0) return give_up();
      reply.append(buffer, static_cast<size_t>(n));
    }
  }

 private:
  void connect() {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port_);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) give_up();
  }
  int give_up() {
    close(fd_);
    fd_ = -1;
    return 0;
  }
  const uint16_t port_;
  int fd_ = -1;
};

struct House {
  explicit House(async::Loop& h) : scope(h), registry(h, {.settle = 0s}) {}
  async::Scope scope;
  discovery::Registry registry;
  std::unique_ptr<Proxy> proxy;
  uint64_t version = 0, epoch = 1;
  std::vector<std::string> addresses;
  uint16_t port = 0;

  async::Task<void> publish(int max_ongoing, int max_queued = -1) {
    co_await publish_app("a", "/", addresses, max_ongoing, max_queued);
  }
  async::Task<void> publish_app(std::string app, std::string prefix, std::vector<std::string> replicas, int max_ongoing,
                                int max_queued) {
    DeploymentRecord d{.name = "d",
                       .models = {app},
                       .route_prefix = prefix,
                       .max_ongoing_requests = max_ongoing,
                       .max_queued_requests = max_queued};
    for (const auto& a : replicas) d.replicas.push_back({.id = a, .address = a});
    auto r = co_await registry.publish({.app = app, .epoch = epoch, .version = ++version, .deployments = {d}});
    EXPECT_TRUE(r) << r.error().message;
  }
  // The next one of this name has the next epoch, as the keeper gives it.
  async::Task<void> withdraw(std::string app) {
    (void)co_await registry.withdraw(app, epoch);
    ++epoch;
  }
  async::Task<void> up() {
    co_await publish(2);
    co_await listen();
  }
  async::Task<void> listen() {
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

}  // namespace colony::proxy::testing
