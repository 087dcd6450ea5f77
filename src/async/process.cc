// See process.h. WHY fork and not posix_spawn: it knows neither rlimits nor PDEATHSIG. The process has many threads, so
// between fork and exec only async-signal-safe calls are made, on memory that was prepared before.
#include "async/process.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace colony::async {
namespace {

// A descriptor of its own, never one of 0, 1, 2.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {
    if (fd_ < 0 || fd_ > 2) return;
    const int moved = fcntl(fd_, F_DUPFD_CLOEXEC, 3);
    ::close(fd_);
    fd_ = moved;
  }
  ~Fd() { reset(); }
  Fd(Fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Fd& operator=(Fd&& o) noexcept {
    if (this != &o) {
      reset();
      fd_ = std::exchange(o.fd_, -1);
    }
    return *this;
  }
  int get() const { return fd_; }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

int pidfd_open_of(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

class WatchedProcess final : public Process {
 public:
  WatchedProcess(pid_t pid, Fd pidfd, ExitFn on_exit)
      : pid_(pid), pidfd_(std::move(pidfd)), on_exit_(std::move(on_exit)) {}
  ~WatchedProcess() override { watch_.reset(); }

  Result<void> watch(Loop& loop) {
    TRY(watch_, loop.watch_fd(pidfd_.get(), [this] { ended(); }));
    return {};
  }
  pid_t pid() const override { return pid_; }
  void signal(int signo) override {
    if (!ended_) ::syscall(SYS_pidfd_send_signal, pidfd_.get(), signo, nullptr, 0);
  }
  bool alive() const override {
    if (ended_) return false;
    pollfd p{pidfd_.get(), POLLIN, 0};
    return ::poll(&p, 1, 0) == 0;
  }

 private:
  void ended() {
    ExitStatus status;
    siginfo_t info{};
    // Fails with ECHILD for a process that is somebody else's child.
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) == 0) {
      if (info.si_pid == 0) return;
      status.known = true;
      if (info.si_code == CLD_EXITED) {
        status.code = info.si_status;
      } else {
        status.signal = info.si_status;
      }
    }
    ended_ = true;
    watch_.reset();
    auto on_exit = std::move(on_exit_);
    if (on_exit) on_exit(status);
  }

  pid_t pid_;
  Fd pidfd_;
  ExitFn on_exit_;
  std::unique_ptr<FdWatch> watch_;
  bool ended_ = false;
};

// What the child writes into the pipe when it cannot become the program.
enum class Step : int { kSession, kParent, kDirectory, kOutput, kInherit, kLimit, kExec };
struct Failure {
  Step step;
  int err;
};

struct Prepared {
  std::vector<char*> argv, env;
  const char* cwd = nullptr;
  int in = -1, out = -1, err = -1;
  std::vector<int> inherit;  // copies with numbers above all that they will get
  bool new_session = false, die_with_parent = false;
  rlimit files{};
  bool set_files = false;
  pid_t parent = 0;
  int report = -1;
};

[[noreturn]] void give_up(const Prepared& p, Step step) {
  const Failure failure{step, errno};
  [[maybe_unused]] const ssize_t n = ::write(p.report, &failure, sizeof failure);
  ::_exit(127);
}

// The child. Async-signal-safe calls only.
[[noreturn]] void become(const Prepared& p) {
  struct sigaction plain{};
  plain.sa_handler = SIG_DFL;
  for (int signo = 1; signo < NSIG; ++signo) ::sigaction(signo, &plain, nullptr);
  if (p.new_session && ::setsid() < 0) give_up(p, Step::kSession);
  if (p.die_with_parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(p, Step::kParent);
    if (::getppid() != p.parent) ::_exit(127);  // it died before the line above
  }
  if (p.cwd && ::chdir(p.cwd) != 0) give_up(p, Step::kDirectory);
  if (::dup2(p.in, 0) < 0 || (p.out >= 0 && ::dup2(p.out, 1) < 0) || (p.err >= 0 && ::dup2(p.err, 2) < 0))
    give_up(p, Step::kOutput);
  unsigned first_closed = 3;
  for (const int fd : p.inherit)
    if (::dup2(fd, static_cast<int>(first_closed++)) < 0) give_up(p, Step::kInherit);
  if (p.set_files && ::setrlimit(RLIMIT_NOFILE, &p.files) != 0) give_up(p, Step::kLimit);
  // Marks, not closes: the report pipe must live until exec.
  if (::syscall(SYS_close_range, first_closed, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */) != 0) {
    rlimit open_files{};
    const bool known = ::getrlimit(RLIMIT_NOFILE, &open_files) == 0 && open_files.rlim_cur < 65536;
    const int end = known ? static_cast<int>(open_files.rlim_cur) : 65536;
    for (int fd = static_cast<int>(first_closed); fd < end; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(p.argv[0], p.argv.data(), p.env.data());
  give_up(p, Step::kExec);
}

Result<Fd> open_log(const std::string& path) {
  if (path.empty()) return Fd();
  Fd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600));
  if (fd.get() < 0) return fail(errno_error("open " + path, errno));
  return fd;
}

Error describe(const SpawnOptions& o, const Failure& f) {
  switch (f.step) {
    case Step::kSession: return errno_error("start " + o.argv[0] + ": new session", f.err);
    case Step::kParent: return errno_error("start " + o.argv[0] + ": tie to the parent's life", f.err);
    case Step::kDirectory: return errno_error("start " + o.argv[0] + ": enter the folder " + o.cwd, f.err);
    case Step::kOutput: return errno_error("start " + o.argv[0] + ": set up its output", f.err);
    case Step::kInherit: return errno_error("start " + o.argv[0] + ": hand its sockets on", f.err);
    case Step::kLimit: return errno_error(fmt::format("start {}: allow {} open files", o.argv[0], o.nofile), f.err);
    case Step::kExec: break;
  }
  return errno_error("execute " + o.argv[0], f.err);
}

void reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const auto& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

pid_t fork_and_become(const Prepared& prepared) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // no handler of ours may run in the child
  const pid_t pid = ::fork();
  if (pid == 0) become(prepared);
  const int err = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = err;
  return pid;
}

}  // namespace

std::string ExitStatus::text() const {
  if (!known) return "ended (not our child)";
  if (signal == 0) return fmt::format("exit code {}", code);
  const char* name = ::sigabbrev_np(signal);
  return name ? fmt::format("killed by signal {} (SIG{})", signal, name) : fmt::format("killed by signal {}", signal);
}

Result<std::unique_ptr<Process>> spawn(Loop& loop, const SpawnOptions& options, ExitFn on_exit) {
  if (options.argv.empty() || !options.argv[0].starts_with('/')) {
    return fail(invalid_argument(fmt::format("start '{}': the path of a program must be absolute",
                                             options.argv.empty() ? "" : options.argv[0])));
  }
  TRY(Fd out, open_log(options.stdout_path));
  TRY(Fd err, open_log(options.stderr_path));
  Fd in(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (in.get() < 0) return fail(errno_error("open /dev/null", errno));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(errno_error("start " + options.argv[0] + ": pipe", errno));
  Fd report_read(ends[0]), report_write(ends[1]);

  Prepared p;
  p.argv = pointers(options.argv);
  p.env = pointers(options.env);
  p.cwd = options.cwd.empty() ? nullptr : options.cwd.c_str();
  p.in = in.get();
  p.out = out.get();
  p.err = err.get();
  p.new_session = options.new_session;
  p.die_with_parent = options.die_with_parent;
  p.set_files = options.nofile > 0;
  p.files.rlim_cur = p.files.rlim_max = static_cast<rlim_t>(options.nofile);
  p.parent = ::getpid();
  // Above 3, 4, ... so that none of them is overwritten on the way there.
  const int above = 3 + static_cast<int>(options.inherit.size());
  std::vector<Fd> copies;
  for (const int fd : options.inherit) {
    copies.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, above));
    if (copies.back().get() < 0) return fail(errno_error("start " + options.argv[0] + ": copy a descriptor", errno));
    p.inherit.push_back(copies.back().get());
  }
  Fd report_above(fcntl(report_write.get(), F_DUPFD_CLOEXEC, above));
  if (report_above.get() < 0) return fail(errno_error("start " + options.argv[0] + ": copy a descriptor", errno));
  report_write = std::move(report_above);
  p.report = report_write.get();

  const pid_t pid = fork_and_become(p);
  if (pid < 0) return fail(errno_error("start " + options.argv[0] + ": fork", errno));
  report_write.reset();
  Failure failure{};
  ssize_t n;
  do n = ::read(report_read.get(), &failure, sizeof failure);
  while (n < 0 && errno == EINTR);
  if (n == static_cast<ssize_t>(sizeof failure)) {
    reap(pid);
    return fail(describe(options, failure));
  }

  Fd pidfd(pidfd_open_of(pid));  // the pid is ours until it is waited for
  const int pidfd_errno = errno;
  Result<void> watched;
  std::unique_ptr<WatchedProcess> process;
  if (pidfd.get() < 0) {
    watched = fail(errno_error("start " + options.argv[0] + ": pidfd_open", pidfd_errno));
  } else {
    process = std::make_unique<WatchedProcess>(pid, std::move(pidfd), std::move(on_exit));
    watched = process->watch(loop);
  }
  if (!watched) {
    ::kill(pid, SIGKILL);
    reap(pid);
    return fail(std::move(watched).error());
  }
  return process;
}

Result<std::unique_ptr<Process>> adopt(Loop& loop, pid_t pid, uint64_t start_time, ExitFn on_exit) {
  Fd pidfd(pidfd_open_of(pid));
  if (pidfd.get() < 0) {
    if (errno == ESRCH || errno == EINVAL) return fail(not_found(fmt::format("adopt process {}: there is none", pid)));
    return fail(errno_error(fmt::format("adopt process {}: pidfd_open", pid), errno));
  }
  // WHY after pidfd_open: from here on the descriptor cannot come to mean another process.
  TRY(const uint64_t actual, process_start_time(pid));
  if (actual != start_time) {
    return fail(not_found(fmt::format(
        "adopt process {}: it started at {}, not at {}: another process has the number now", pid, actual, start_time)));
  }
  auto process = std::make_unique<WatchedProcess>(pid, std::move(pidfd), std::move(on_exit));
  TRY_VOID(process->watch(loop));
  return process;
}

Result<uint64_t> process_start_time(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/stat", pid);
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return fail(not_found(fmt::format("process {}: there is none", pid)));
  std::array<char, 2048> text;
  const ssize_t n = ::read(fd.get(), text.data(), text.size());
  if (n <= 0) return fail(not_found(fmt::format("process {}: there is none", pid)));
  // Field 2 is the name in brackets and may hold anything; field 3 follows the last bracket.
  const std::string_view stat(text.data(), static_cast<size_t>(n));
  size_t at = stat.rfind(')');
  for (int field = 2; field < 22 && at != std::string_view::npos; ++field) at = stat.find(' ', at + 1);
  uint64_t start = 0;
  if (at == std::string_view::npos ||
      std::from_chars(stat.data() + at + 1, stat.data() + stat.size(), start).ec != std::errc())
    return fail(internal_error(path + ": its form is not known"));
  return start;
}

}  // namespace colony::async
