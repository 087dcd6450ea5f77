// EpollLoop: the turn over epoll_wait, the eventfd, the clock. See epoll_loop.h; the descriptors are epoll_stream.cc
// and epoll_listen.cc, the steps of a turn turn.cc.
#include "async/epoll_loop.h"

#include <fmt/core.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <thread>

#include "async/epoll_ring.h"
#include "async/kernel_calls.h"
#include "base/log.h"
#include "base/random_id.h"

namespace colony::async {

Poller::Poller() : fd_(epoll_create1(EPOLL_CLOEXEC)) { CHECK(fd_ >= 0); }
Poller::~Poller() { ::close(fd_); }

Result<void> Poller::control(int op, int fd, EpollSink* sink, uint32_t events) {
  epoll_event e{};
  e.events = events;
  e.data.ptr = sink;
  if (epoll_ctl(fd_, op, fd, &e) != 0) return fail(errno_error("epoll_ctl", errno));
  return {};
}

void Poller::forget(int fd) { epoll_ctl(fd_, EPOLL_CTL_DEL, fd, nullptr); }

void Poller::close(int& fd) {
  forget(fd);
  ::close(fd);
  fd = -1;
}

namespace {

TimePoint read_clock() { return std::chrono::steady_clock::now(); }

class EpollLoopOnThread final : public EpollLoop {
 public:
  explicit EpollLoopOnThread(EpollLoopOptions options)
      : options_(options),
        rng_(options.seed ? options.seed : random_seed()),
        context_(*this, read_clock()),
        owner_(std::this_thread::get_id()) {
    bell_.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(bell_.fd >= 0);
    CHECK(context_.poller.add(bell_.fd, bell_, EPOLLIN | EPOLLET).has_value());
  }
  ~EpollLoopOnThread() override {
    context_.turn.abandon_all();
    ::close(bell_.fd);
  }

  TimePoint now() const override { return running_ ? now_ : read_clock(); }
  WallTime wall_now() const override { return std::chrono::system_clock::now(); }
  Rng& rng() override { return rng_; }
  TimerWheel& timers() override { return context_.turn.wheel; }
  uint64_t turns() const override { return turns_.load(std::memory_order_relaxed); }
  EpollLoopStats stats() const override {
    auto s = context_.stats;
    s.turns = turns();
    s.wakes = wakes_.load(std::memory_order_relaxed);
    return s;
  }

  void post(std::function<void()> fn) override {
    context_.turn.post(std::move(fn));
    has_posted_.store(true);
    ring();
  }
  void defer(std::function<void()> fn) override { context_.turn.deferred.push_back(std::move(fn)); }
  bool on_thread() const override { return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }

  Result<std::unique_ptr<Listener>> listen(const Endpoint& at, AcceptFn on_accept, ListenOptions options) override {
    return epoll_listen(context_, at, std::move(on_accept), options);
  }
  void connect(const Endpoint& to, Deadline deadline, ConnectFn done) override {
    epoll_connect(context_, to, deadline, std::move(done));
  }
  Result<std::unique_ptr<FdWatch>> watch_fd(int fd, std::function<void()> fn) override {
    return epoll_watch(context_, fd, std::move(fn));
  }

  void stop() override {
    stopping_.store(true);
    ring();
  }
  void run() override;

 private:
  struct Bell final : EpollSink {
    int fd = -1;
    void on_events(uint32_t) override {}  // edge-triggered and only ever rung to end a wait: never read
  };

  // WHY the flag: the eventfd is written only when the loop is about to wait or waits, once per wait. Either the loop
  // sees has_posted_ after it has set waiting_, or the poster sees waiting_.
  void ring() {
    if (!waiting_.load() || !waiting_.exchange(false)) return;
    wakes_.fetch_add(1, std::memory_order_relaxed);
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = kernel::write(bell_.fd, &one, sizeof one);
  }
  int wait();
  void one_turn();

  const EpollLoopOptions options_;
  Rng rng_;
  EpollContext context_;
  Bell bell_;
  std::array<epoll_event, 256> events_;
  TimePoint now_{};
  bool running_ = false, rings_have_bytes_ = false, kernel_passed_over_ = false;
  std::atomic<std::thread::id> owner_;
  std::atomic<uint64_t> turns_{0}, wakes_{0};
  std::atomic<bool> has_posted_{false}, waiting_{false}, stopping_{false};
};

int EpollLoopOnThread::wait() {
  int timeout = 0;
  if (!context_.turn.has_work()) {
    const TimePoint due = context_.turn.wheel.next_due();
    if (due == TimePoint::max()) {
      timeout = -1;
    } else if (due > now_) {
      const Duration left = due - now_ + (1ms - 1ns);
      timeout = left > 1h ? 3'600'000 : static_cast<int>(to_ms(left));
    }
  }
  const bool kernel_passed_over = std::exchange(kernel_passed_over_, false);
  if (timeout != 0) {
    waiting_.store(true);
    if (has_posted_.load() || stopping_.load()) {
      timeout = 0;
    } else if (!context_.rings_sleep()) {
      timeout = 0;
      // A process on the same core has often answered before its bell's write returns: that is served without a look at
      // the kernel. Not twice in a row, or rings that are never empty would shut the sockets out.
      kernel_passed_over_ = !kernel_passed_over;
    }
  }
  if (kernel_passed_over_) {
    waiting_.store(false, std::memory_order_relaxed);
    rings_have_bytes_ = context_.rings_wake();
    return 0;
  }
  const int n = kernel::epoll_wait(context_.poller.fd(), events_.data(), static_cast<int>(events_.size()), timeout);
  waiting_.store(false, std::memory_order_relaxed);
  rings_have_bytes_ = context_.rings_wake();
  CHECK(n >= 0 || errno == EINTR);
  return n < 0 ? 0 : n;
}

void EpollLoopOnThread::one_turn() {
  Turn& turn = context_.turn;
  const int n = wait();
  now_ = read_clock();
  turns_.store(turns_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  turn.begin();
  for (int i = 0; i < n; ++i)
    static_cast<EpollSink*>(events_[static_cast<size_t>(i)].data.ptr)
        ->on_events(events_[static_cast<size_t>(i)].events);
  turn.serve();
  if (has_posted_.load() && has_posted_.exchange(false)) {
    turn.run_posted();
    turn.serve();
  }
  turn.run_deferred();
  turn.flush();
  if (turn.wheel.advance(now_)) {  // what timers wrote leaves now as well, not after the next wait
    turn.run_deferred();
    turn.flush();
  }
  turn.flush_gathered(n == 0 && !rings_have_bytes_);
}

void EpollLoopOnThread::run() {
  CHECK(!running_);
  owner_.store(std::this_thread::get_id());
  if (options_.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(options_.cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
      LOG(warn, "pinning a loop to cpu {} failed: {}", options_.cpu, errno_error("sched_setaffinity", errno).message);
  }
  now_ = read_clock();
  running_ = true;
  while (!stopping_.load()) one_turn();
  running_ = false;
  stopping_.store(false);
}

}  // namespace

std::unique_ptr<EpollLoop> EpollLoop::create(EpollLoopOptions options) {
  return std::make_unique<EpollLoopOnThread>(options);
}

}  // namespace colony::async
