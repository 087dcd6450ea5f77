// Listeners, connects under way and watched descriptors of an EpollLoop. See epoll_sources.h.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "async/descriptors.h"
#include "async/epoll_sources.h"
#include "base/log.h"

namespace colony::async {
namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr Duration kAcceptPause = 100ms;
constexpr Duration kBacklogRetry = 5ms;  // a unix connect() says EAGAIN while the peer's backlog is full

int new_socket(int family) { return ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

class EpollListener final : public Listener, public Source, public EpollSink {
 public:
  EpollListener(EpollContext& context, int fd, Endpoint at, Loop::AcceptFn on_accept)
      : context_(context),
        fd_(fd),
        at_(std::move(at)),
        on_accept_(std::make_shared<Loop::AcceptFn>(std::move(on_accept))),
        rested_(context.loop, [this] { listen_again(); }) {
    context.turn.all.push_back(*this);
  }
  ~EpollListener() override {
    if (gone_) *gone_ = true;
    close();
  }
  Result<void> set_up() { return context_.poller.add(fd_, *this, EPOLLIN); }
  void owns_file(const struct stat& file) {
    has_file_ = true;
    device_ = file.st_dev;
    inode_ = file.st_ino;
  }
  Endpoint endpoint() const override { return at_; }
  void on_events(uint32_t) override { context_.turn.wake(*this); }
  void abandon() override {
    close();
    Hook<ReadyTag>::unlink();
  }
  void service() override;

 private:
  void close() {
    if (fd_ < 0) return;
    if (has_file_) {
      struct stat now{};
      const std::string path(at_.path());
      if (::lstat(path.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_) ::unlink(path.c_str());
    }
    context_.poller.close(fd_);
  }
  void rest(int why) {
    ++context_.stats.accept_pauses;
    LOG(warn, "accepting on {} rests for 100 ms: {}", at_.text, errno_error("accept", why).message);
    if (context_.poller.change(fd_, *this, 0)) rested_.arm_after(kAcceptPause);
  }
  void listen_again() {
    if (fd_ >= 0 && !context_.poller.change(fd_, *this, EPOLLIN)) rested_.arm_after(kAcceptPause);
  }

  EpollContext& context_;
  int fd_;
  Endpoint at_;
  std::shared_ptr<Loop::AcceptFn> on_accept_;  // shared: a call may destroy the listener
  Timer rested_;
  bool* gone_ = nullptr;
  bool has_file_ = false;
  dev_t device_{};
  ino_t inode_{};
};

void EpollListener::service() {
  bool gone = false;
  gone_ = &gone;
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    SocketAddress peer;
    peer.size = sizeof peer.storage;
    const int fd = ::accept4(fd_, peer.get(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
      if (errno != EAGAIN) rest(errno);
      break;
    }
    auto stream = std::make_unique<EpollStream>(context_, fd, peer);
    if (!stream->set_up(false)) continue;  // epoll's own limit is reached: the peer sees a close
    ++context_.stats.accepted;
    auto accept = on_accept_;
    (*accept)(std::move(stream));
    if (gone) return;
  }
  gone_ = nullptr;
}

// A connect under way. Owns itself until `done` has been called.
class Connecting final : public Source, public EpollSink {
 public:
  Connecting(EpollContext& context, Endpoint to, SocketAddress address, Deadline deadline, Loop::ConnectFn done)
      : context_(context),
        to_(std::move(to)),
        address_(address),
        deadline_(deadline),
        done_(std::move(done)),
        expiry_(context.loop, [this] { on_timer(); }) {
    context.turn.all.push_back(*this);
  }
  ~Connecting() override {
    if (fd_ >= 0) context_.poller.close(fd_);
  }

  void start() {
    fd_ = new_socket(address_.family());
    if (fd_ < 0) return settle(errno);
    try_connect();
  }
  void on_events(uint32_t) override { context_.turn.wake(*this); }
  void service() override {
    if (state_ == State::kSettled) return complete(error_);
    int err = 0;
    socklen_t size = sizeof err;
    if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &err, &size) != 0) err = errno;
    if (err != 0 || is_connected()) complete(err);
  }
  void abandon() override { delete this; }

 private:
  enum class State : uint8_t { kRetrying, kInProgress, kSettled };

  bool is_connected() const {
    SocketAddress peer;
    peer.size = sizeof peer.storage;
    return ::getpeername(fd_, peer.get(), &peer.size) == 0;
  }
  void try_connect() {
    if (::connect(fd_, address_.get(), address_.size) == 0) return settle(0);
    if (errno == EAGAIN && address_.family() == AF_UNIX) {
      state_ = State::kRetrying;
      expiry_.arm(std::min(deadline_.time(), context_.loop.now() + kBacklogRetry));
      return;
    }
    if (errno != EINPROGRESS) return settle(errno);
    state_ = State::kInProgress;
    registered_ = context_.poller.add(fd_, *this, kStreamEvents).has_value();
    if (!registered_) return settle(ENOMEM);
    expiry_.arm(deadline_.time());
  }
  // The outcome is known; it is told in the next turn, never inside connect().
  void settle(int err) {
    state_ = State::kSettled;
    error_ = err;
    context_.turn.put_off(*this);
  }
  void on_timer() {
    if (state_ == State::kSettled) return;
    if (deadline_.passed(context_.loop.now())) return complete(ETIMEDOUT);
    if (state_ == State::kRetrying) try_connect();
  }
  void complete(int err) {
    auto done = std::move(done_);
    Result<std::unique_ptr<Stream>> result = outcome(err);
    delete this;
    done(std::move(result));
  }
  Result<std::unique_ptr<Stream>> outcome(int err) {
    if (err == ETIMEDOUT && deadline_.passed(context_.loop.now()))
      return fail(deadline_exceeded("connect to " + to_.text + ": no answer within the deadline", "connect_timeout"));
    if (err == ENOENT) return fail(unavailable("connect to " + to_.text + ": nobody listens there", "connection"));
    if (err) return fail(errno_error("connect to " + to_.text, err));
    auto stream = std::make_unique<EpollStream>(context_, std::exchange(fd_, -1), address_);
    TRY_VOID(stream->set_up(registered_));
    return stream;
  }

  EpollContext& context_;
  Endpoint to_;
  SocketAddress address_;
  Deadline deadline_;
  Loop::ConnectFn done_;
  Timer expiry_;
  int fd_ = -1;
  int error_ = 0;
  bool registered_ = false;
  State state_ = State::kRetrying;
};

class EpollWatch final : public FdWatch, public Source, public EpollSink {
 public:
  EpollWatch(EpollContext& context, int fd, std::function<void()> fn)
      : context_(context), fd_(fd), fn_(std::make_shared<std::function<void()>>(std::move(fn))) {
    context.turn.all.push_back(*this);
  }
  ~EpollWatch() override { abandon(); }
  Result<void> set_up() { return context_.poller.add(fd_, *this, EPOLLIN); }
  void on_events(uint32_t) override { context_.turn.wake(*this); }
  void service() override {
    auto fn = fn_;
    (*fn)();
  }
  void abandon() override {
    if (fd_ >= 0) context_.poller.forget(fd_);
    fd_ = -1;
    Hook<ReadyTag>::unlink();
  }

 private:
  EpollContext& context_;
  int fd_;  // the caller's
  std::shared_ptr<std::function<void()>> fn_;
};

// Nobody answers on the socket file: it was left by a process that is gone.
bool is_stale(const SocketAddress& address, const std::string& path) {
  struct stat file{};
  if (::lstat(path.c_str(), &file) != 0 || !S_ISSOCK(file.st_mode)) return false;
  const int probe = new_socket(AF_UNIX);
  if (probe < 0) return false;
  const bool refused = ::connect(probe, address.get(), address.size) != 0 && errno == ECONNREFUSED;
  ::close(probe);
  return refused;
}

Result<void> bind_to(int fd, const SocketAddress& address, const Endpoint& at, const ListenOptions& options) {
  if (!at.is_unix()) {
    const int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (options.reuse_port) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (::bind(fd, address.get(), address.size) != 0) return fail(errno_error("listen on " + at.text, errno));
    return {};
  }
  const std::string path(at.path());
  // WHY before bind: the file is created with this mode, less the umask; there is no moment with a wider one.
  ::fchmod(fd, static_cast<mode_t>(options.unix_mode));
  int rc = ::bind(fd, address.get(), address.size);
  if (rc != 0 && errno == EADDRINUSE && is_stale(address, path)) {
    ::unlink(path.c_str());
    rc = ::bind(fd, address.get(), address.size);
  }
  if (rc != 0) return fail(errno_error("listen on " + at.text, errno));
  if (::chmod(path.c_str(), static_cast<mode_t>(options.unix_mode)) != 0)
    return fail(errno_error("set the mode of " + path, errno));
  return {};
}

// "fd:7": a listening socket that is there already.
Result<Descriptor> given_socket(const Endpoint& at) {
  int fd = -1;
  const char* end = at.text.data() + at.text.size();
  const auto [stop, ec] = std::from_chars(at.text.data() + 3, end, fd);
  int listening = 0;
  socklen_t size = sizeof listening;
  if (ec != std::errc() || stop != end || fd < 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0)
    return fail(invalid_argument("listen on " + at.text + ": is no listening socket of this process"));
  return Descriptor(fd);
}

}  // namespace

Result<Descriptor> open_listening_socket(const Endpoint& at, const ListenOptions& options) {
  TRY(auto address, parse_address(at));
  Descriptor socket(new_socket(address.family()));
  if (socket.get() < 0) return fail(errno_error("listen on " + at.text, errno));
  TRY_VOID(bind_to(socket.get(), address, at, options));
  if (::listen(socket.get(), options.backlog) != 0) return fail(errno_error("listen on " + at.text, errno));
  return socket;
}

Endpoint endpoint_of(const Descriptor& listening) {
  SocketAddress here;
  here.size = sizeof here.storage;
  return {::getsockname(listening.get(), here.get(), &here.size) == 0 ? address_text(here) : std::string()};
}

Result<std::unique_ptr<Listener>> epoll_listen(EpollContext& context, const Endpoint& at, Loop::AcceptFn on_accept,
                                               const ListenOptions& options) {
  TRY(auto socket, at.text.starts_with("fd:") ? given_socket(at) : open_listening_socket(at, options));
  Endpoint actual = at.is_unix() ? at : endpoint_of(socket);
  auto listener = std::make_unique<EpollListener>(context, socket.release(), std::move(actual), std::move(on_accept));
  struct stat file{};
  if (at.is_unix() && ::lstat(std::string(at.path()).c_str(), &file) == 0) listener->owns_file(file);
  TRY_VOID(listener->set_up());
  return listener;
}

void epoll_connect(EpollContext& context, const Endpoint& to, Deadline deadline, Loop::ConnectFn done) {
  auto address = parse_address(to);
  if (!address || deadline.passed(context.loop.now())) {
    Error error = address ? deadline_exceeded("connect to " + to.text + ": the deadline had passed", "connect_timeout")
                          : std::move(address).error();
    context.loop.post([done = std::move(done), error = std::move(error)] { done(fail(error)); });
    return;
  }
  (new Connecting(context, to, *address, deadline, std::move(done)))->start();
}

Result<std::unique_ptr<FdWatch>> epoll_watch(EpollContext& context, int fd, std::function<void()> fn) {
  auto watch = std::make_unique<EpollWatch>(context, fd, std::move(fn));
  TRY_VOID(watch->set_up());
  return watch;
}

}  // namespace colony::async
