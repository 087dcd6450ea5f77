#include "bench/loadgen/generator.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <deque>
#include <exception>
#include <random>
#include <stdexcept>
#include <thread>

#include "bench/loadgen/connection.h"

namespace colony::loadgen {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kSweep = kSecond / 20;  // how often timeouts and connections to be made again are looked at
constexpr size_t kKeptFailures = 1000;
constexpr int kMaxTries = 4;

uint64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}

uint64_t to_ns(double seconds) { return static_cast<uint64_t>(seconds * 1e9); }

// A connected socket, or -1 (errno tells why). Blocking for the connect only: a listen queue on this machine is quick.
int dial(const Options& o) {
  int fd = -1, rc = -1;
  if (o.host.starts_with("unix:")) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, o.host.c_str() + 5, sizeof address.sun_path - 1);
    fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    rc = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  } else {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(o.port);
    if (inet_pton(AF_INET, o.host.c_str(), &address.sin_addr) != 1)
      throw std::runtime_error(fmt::format("'{}' is no numeric IPv4 address and no unix:/PATH", o.host));
    fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    rc = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  if (rc == 0) return fd;
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

// One thread: its share of the connections and of the rate.
class Worker final : public Sink {
 public:
  Worker(const Options& options, size_t index) : o_(options), index_(index), rng_(options.seed * 1000 + index) {
    result_.kinds.resize(o_.kinds.size());
    for (const auto& kind : o_.kinds) weights_.push_back(kind.weight);
    pick_ = std::discrete_distribution<size_t>(weights_.begin(), weights_.end());
    const auto share = [&](uint64_t all) { return all / o_.threads + (index < all % o_.threads ? 1 : 0); };
    connections_.resize(share(o_.connections));
    limit_ = o_.requests ? share(o_.requests) : UINT64_MAX;
    interval_ = o_.rate > 0 ? 1e9 * static_cast<double>(o_.threads) / o_.rate : 0;
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
  }
  ~Worker() override { ::close(epoll_); }

  void connect() {
    const uint64_t end = now_ns() + to_ns(o_.timeout);
    for (size_t i = 0; i < connections_.size(); ++i) {
      while (!open(i)) {
        if (now_ns() > end) throw std::runtime_error(fmt::format("cannot connect: {}", std::strerror(errno)));
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    }
  }

  void run(uint64_t start) {
    prctl(PR_SET_TIMERSLACK, 1000);  // due times are microseconds apart
    start_ = start + (o_.rate > 0 ? static_cast<uint64_t>(static_cast<double>(index_) * 1e9 / o_.rate) : 0);
    end_ = start_ + to_ns(o_.seconds);
    const uint64_t last = end_ + to_ns(o_.timeout);
    uint64_t sweep = start_ + kSweep;
    for (size_t i = 0; i < connections_.size(); ++i) offer(i);
    std::array<epoll_event, 256> events;
    for (;;) {
      uint64_t now = now_ns();
      ask(now);
      if ((over(now) && flying_ == 0 && again_.empty()) || now >= last) break;
      const uint64_t wake = std::min({sweep, last, o_.rate > 0 && !free_.empty() && !over(now) ? due(asked_) : sweep});
      const uint64_t wait = wake > now ? wake - now : 0;
      const timespec timeout{static_cast<time_t>(wait / kSecond), static_cast<long>(wait % kSecond)};
      const int n = epoll_pwait2(epoll_, events.data(), events.size(), &timeout, nullptr);
      for (int i = 0; i < n; ++i) {
        const size_t id = events[static_cast<size_t>(i)].data.u64;
        Connection* c = connections_[id].get();
        if (!c) continue;
        const uint32_t what = events[static_cast<size_t>(i)].events;
        if (what & ~static_cast<uint32_t>(EPOLLOUT)) c->on_readable((what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
        c->flush();
        after(id);
      }
      now = now_ns();
      if (now >= sweep) {
        sweep = now + kSweep;
        tidy(now);
      }
    }
    finish(now_ns());
  }

  Result take() { return std::move(result_); }

  void on_done(size_t id, const Call& call, const Done& done) override {
    --flying_;
    Counts& counts = result_.kinds[static_cast<size_t>(call.kind - o_.kinds.data())];
    if (done.outcome == Outcome::kStale && o_.retry_stale && call.tries < kMaxTries) {
      ++counts.retried;
      again_.push_back(call);
      again_.back().tries++;
      return offer(id);
    }
    const uint64_t latency = now_ns() - std::min(now_ns(), call.intended);
    switch (done.outcome) {
      case Outcome::kGood: ++counts.good; break;
      case Outcome::kAborted: ++counts.aborted; break;
      case Outcome::kWrong: ++counts.wrong; [[fallthrough]];
      default:
        ++counts.failed;
        ++result_.errors[std::string(done.why)];
        if (result_.failures.size() < kKeptFailures)
          result_.failures.push_back({static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                                              std::chrono::system_clock::now().time_since_epoch())
                                                              .count()) /
                                          1e3,
                                      static_cast<double>(latency) * 1e-9, call.kind->name, std::string(done.why)});
    }
    if (call.intended >= start_ + to_ns(o_.warmup) && done.outcome != Outcome::kAborted) counts.latency.add(latency);
    offer(id);
  }

 private:
  uint64_t due(uint64_t i) const { return start_ + static_cast<uint64_t>(interval_ * static_cast<double>(i)); }
  bool over(uint64_t now) const { return asked_ >= limit_ || (o_.rate > 0 ? due(asked_) >= end_ : now >= end_); }

  // Each connection is in free_ once at most; marks say so.
  void offer(size_t id) {
    if (marked_.size() <= id) marked_.resize(connections_.size());
    if (marked_[id] || !connections_[id] || connections_[id]->room() == 0) return;
    marked_[id] = true;
    free_.push_back(id);
  }

  // Starts what is due and finds a free connection; one connection takes at most what it has room for.
  void ask(uint64_t now) {
    while (!free_.empty()) {
      const bool again = !again_.empty();
      if (!again && (over(now) || (o_.rate > 0 && due(asked_) > now))) return;
      const size_t id = free_.front();
      free_.pop_front();
      marked_[id] = false;
      Connection* c = connections_[id].get();
      if (!c || c->room() == 0) continue;
      start_one(*c, now);
      // Closed loop, h2: fill the connection before its one write.
      while (o_.rate == 0 && c->room() > 0 && !over(now)) start_one(*c, now);
      c->flush();
      after(id);
      offer(id);
    }
  }

  void start_one(Connection& c, uint64_t now) {
    Call call;
    if (!again_.empty()) {
      call = again_.front();
      again_.pop_front();
      call.started = now;
    } else {
      call.kind = &o_.kinds[o_.kinds.size() == 1 ? 0 : pick_(rng_)];
      call.serial = asked_ * o_.threads + index_;
      call.intended = o_.rate > 0 ? due(asked_) : now;
      call.started = now;
      call.abort = call.kind->abort > 0 && std::bernoulli_distribution(call.kind->abort)(rng_);
      ++asked_;
      ++result_.kinds[static_cast<size_t>(call.kind - o_.kinds.data())].asked;
      if (o_.rate > 0 && waiting_since_ <= call.intended) result_.late.add(now - call.intended);
    }
    ++flying_;
    c.start(call);
    if (free_.empty()) waiting_since_ = now;
  }

  void after(size_t id) {
    Connection* c = connections_[id].get();
    if (!c || !c->closed()) {
      if (c) offer(id);
      return;
    }
    result_.bytes_in += c->bytes_in();
    result_.bytes_out += c->bytes_out();
    connections_[id].reset();
    ++result_.reconnects;
    if (open(id)) offer(id);
  }

  bool open(size_t id) {
    const int fd = dial(o_);
    if (fd < 0) {
      ++result_.errors[fmt::format("connect: {}", std::strerror(errno))];
      return false;
    }
    connections_[id] =
        o_.h2 ? make_h2(id, fd, *this, o_.streams, fmt::format("{}:{}", o_.host, o_.port)) : make_h1(id, fd, *this);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u64 = id;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    return true;
  }

  void tidy(uint64_t now) {
    const uint64_t limit = to_ns(o_.timeout);
    for (size_t id = 0; id < connections_.size(); ++id) {
      if (connections_[id]) {
        connections_[id]->expire(now > limit ? now - limit : 0);
        after(id);
      } else if (open(id)) {
        offer(id);
      }
    }
  }

  void finish(uint64_t now) {
    result_.seconds = static_cast<double>(now - start_) * 1e-9;
    for (auto& c : connections_) {
      if (!c) continue;
      c->expire(UINT64_MAX);
      result_.bytes_in += c->bytes_in();
      result_.bytes_out += c->bytes_out();
    }
    for (const auto& call : again_)
      on_lost(result_.kinds[static_cast<size_t>(call.kind - o_.kinds.data())], now - call.intended);
    if (o_.rate == 0) return;
    for (; !over(now); ++asked_) {
      ++result_.unasked;
      on_lost(result_.kinds[0], now - due(asked_));
    }
  }

  void on_lost(Counts& counts, uint64_t waited) {
    ++counts.failed;
    ++result_.errors["never sent"];
    counts.latency.add(waited);
  }

  const Options& o_;
  size_t index_;
  std::mt19937_64 rng_;
  std::vector<double> weights_;
  std::discrete_distribution<size_t> pick_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<bool> marked_;
  std::deque<size_t> free_;
  std::deque<Call> again_;  // LIMIT: what was in flight; nothing else comes here
  int epoll_ = -1;
  double interval_ = 0;
  uint64_t limit_ = 0, asked_ = 0, flying_ = 0, start_ = 0, end_ = 0;
  uint64_t waiting_since_ = 0;  // when the last free connection was taken: what was due later was not late by our fault
  Result result_;
};

}  // namespace

Result generate(const Options& options) {
  std::vector<std::unique_ptr<Worker>> workers;
  for (size_t i = 0; i < options.threads; ++i) {
    workers.push_back(std::make_unique<Worker>(options, i));
    workers.back()->connect();
  }
  const uint64_t start = now_ns() + kSecond / 1000;
  std::vector<std::exception_ptr> errors(workers.size());
  std::vector<std::thread> threads;
  for (size_t i = 1; i < workers.size(); ++i) threads.emplace_back([&, i] { workers[i]->run(start); });
  workers[0]->run(start);
  for (auto& t : threads) t.join();
  Result all = workers[0]->take();
  for (size_t i = 1; i < workers.size(); ++i) {
    Result one = workers[i]->take();
    all.seconds = std::max(all.seconds, one.seconds);
    all.bytes_in += one.bytes_in;
    all.bytes_out += one.bytes_out;
    all.unasked += one.unasked;
    all.reconnects += one.reconnects;
    all.late.merge(one.late);
    for (size_t k = 0; k < all.kinds.size(); ++k) {
      auto& to = all.kinds[k];
      const auto& from = one.kinds[k];
      to.asked += from.asked;
      to.good += from.good;
      to.wrong += from.wrong;
      to.failed += from.failed;
      to.aborted += from.aborted;
      to.retried += from.retried;
      to.latency.merge(from.latency);
    }
    for (const auto& [why, count] : one.errors) all.errors[why] += count;
    all.failures.insert(all.failures.end(), one.failures.begin(), one.failures.end());
  }
  return all;
}

}  // namespace colony::loadgen
