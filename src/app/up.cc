// `colony up` from its first line to its last: data dir, signals, the house, the banner, the applications of -f, the end.
#include "app/up.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/binary.h"
#include "app/house.h"
#include "app/logging.h"
#include "app/signals.h"
#include "base/log.h"
#include "control/cli/deploy.h"
#include "control/cli/print.h"
#include "control/cli/verbs.h"

namespace colony::app {
namespace {

namespace fs = std::filesystem;

Result<void> prepare_data_dir(const std::string& dir) {
  std::error_code ec;
  fs::create_directories(dir, ec);
  if (ec) {
    auto e = errno_error(fmt::format("data dir {} cannot be made; give another: --data-dir DIR", dir), ec.value());
    e.code = Code::kInvalidArgument;
    return fail(std::move(e));
  }
  chmod(dir.c_str(), 0700);
  const std::string probe = dir + "/.writable";
  const int fd = open(probe.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) {
    auto e = errno_error(fmt::format("data dir {} is not writable; give another: --data-dir DIR", dir), errno);
    e.code = Code::kInvalidArgument;
    return fail(std::move(e));
  }
  const bool full = write(fd, "x", 1) != 1;
  const int why = errno;
  close(fd);
  unlink(probe.c_str());
  if (full) return fail(errno_error(fmt::format("data dir {}: nothing can be written there", dir), why));
  return {};
}

std::string banner(const Config& config, const Addresses& at) {
  const bool tty = cli::stdout_is_tty();
  std::string out =
      fmt::format("{}\n  requests  {}://{}   (HTTP/1.1, HTTP/2 and gRPC)\n  control   http://{}\n  data      {}\n",
                  cli::paint(cli::Colour::kBold, "Colony is up", tty), config.tls.empty() ? "http" : "https", at.http,
                  at.control, config.data_dir);
  if (!is_loopback(at.http) && config.tls.client_ca.empty())
    out += cli::paint(cli::Colour::kYellow,
                      "  note      requests are taken from other machines, without authentication\n", tty);
  return out;
}

// Names, in the environment of the process that -d starts, the pipe that it says on that it is ready.
constexpr const char* kReadyFd = "COLONY_READY_FD";

// -d: the same command again, in a session of its own, with its output in a file; returns when it says that it is ready.
int detach(const UpOptions& options) {
  auto binary = own_binary();
  if (!binary) return cli::finish(binary.error());
  const std::string log = log_dir_of(options.config) + "/colony.log";
  std::error_code ec;
  fs::create_directories(log_dir_of(options.config), ec);
  int ready[2];
  if (pipe2(ready, 0) != 0) return cli::finish(errno_error("pipe", errno));
  const pid_t pid = fork();
  if (pid < 0) return cli::finish(errno_error("fork", errno));
  if (pid == 0) {
    setsid();
    const int out = open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(null, 0);
    dup2(out, 1);
    dup2(out, 2);
    close(ready[0]);
    setenv(kReadyFd, std::to_string(ready[1]).c_str(), 1);
    std::vector<char*> argv;
    for (const auto& a : options.argv) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    execv(binary->c_str(), argv.data());
    _exit(127);
  }
  close(ready[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(ready[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
  close(ready[0]);
  if (text.empty()) {
    int status = 0;
    waitpid(pid, &status, 0);
    fmt::print(stderr, "colony: it did not start; the last lines of {}:\n", log);
    const std::string tail = fmt::format("tail -n 5 '{}' >&2", log);
    (void)!std::system(tail.c_str());
    return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1;
  }
  fmt::print("{}  pid       {}\n  log       {}\n", text, pid, log);
  return 0;
}

void tell_ready(const std::string& text) {
  const char* fd_text = std::getenv(kReadyFd);
  if (!fd_text) return;
  const int fd = std::atoi(fd_text);
  (void)!write(fd, text.data(), text.size());
  close(fd);
  unsetenv(kReadyFd);
}

// `run`: nothing of the temporary data dir is left, however it ends.
void remove_ephemeral(const UpOptions& options) {
  std::error_code ec;
  if (options.ephemeral) fs::remove_all(options.config.data_dir, ec);
}

class Up {
 public:
  Up(async::EpollLoop& loop, UpOptions options) : loop_(loop), options_(std::move(options)), scope_(loop), stop_(loop) {
    auto ask = [this] { begin_stop(0); };
    house_ = options_.config.processes ? make_launcher(loop_, options_.config, ask)
                                       : make_all_in_one(loop_, options_.config, ask);
  }

  int run() {
    auto signals = Signals::watch(loop_, [this](int signo) { on_signal(signo); });
    if (!signals) return cli::finish(signals.error());
    scope_.spawn(live());
    loop_.run();
    if (deployer_.joinable()) deployer_.join();
    return code_;
  }

 private:
  void on_signal(int) {
    if (++signals_ == 1) return begin_stop(code_);
    if (signals_ > 2) _exit(130);
    fmt::print(stderr, "colony: ends at once\n");
    scope_.spawn(kill());
  }
  void begin_stop(int code) {
    code_ = code;
    stopping_ = true;
    stop_.notify();
  }
  async::Task<void> kill() {
    co_await house_->kill();
    remove_ephemeral(options_);
    _exit(130);
  }

  async::Task<void> live() {
    auto at = co_await house_->start();
    if (!at) {
      code_ = cli::finish(at.error());
    } else {
      const auto text = banner(options_.config, *at);
      fmt::print("{}", text);
      std::fflush(stdout);
      tell_ready(text);
      deploy(*at);
      while (!stopping_) co_await stop_.wait(scope_, Deadline::after(loop_.now(), 3600s));
      LOG(info, "stops: running requests have {:.0f} s to end", to_seconds(options_.config.drain_timeout));
    }
    co_await house_->stop(Deadline::after(loop_.now(), options_.config.drain_timeout));
    while (signals_ > 1) co_await loop_.sleep(1s);  // kill() ends the process
    house_.reset();
    loop_.stop();
  }

  // The applications of -f and `run` go the way of every submission: over the control API, from a thread of their own.
  void deploy(const Addresses& at) {
    if (options_.apps.empty()) return;
    deployer_ = std::thread([this, at, url = (options_.config.tls.empty() ? "" : "https://") + at.http,
                             apps = options_.apps, must = options_.ephemeral, token = options_.config.token] {
      const int code = cli::deploy({at.control, token}, url, apps);
      if (code != 0 && must) loop_.post([this, code] { begin_stop(code); });
    });
  }

  async::EpollLoop& loop_;
  UpOptions options_;
  async::Scope scope_;
  async::Signal stop_;
  std::unique_ptr<House> house_;
  std::thread deployer_;
  bool stopping_ = false;
  int signals_ = 0;
  int code_ = 0;
};

}  // namespace

std::string run_dir_of(const Config& config) { return config.data_dir + "/run"; }
std::string log_dir_of(const Config& config) { return config.data_dir + "/logs"; }
std::string store_path_of(const std::string& data_dir) { return data_dir + "/colony.db"; }

int up(UpOptions options) {
  if (auto ready = prepare_data_dir(options.config.data_dir); !ready) return cli::finish(ready.error());
  if (!options.config.tls.empty()) {  // said here, in the same words for both shapes
    if (auto certificates = tls::ServerContext::load(options.config.tls); !certificates)
      return cli::finish(certificates.error());
  }
  if (options.config.detach && !std::getenv(kReadyFd)) return detach(options);
  set_up_log("colony", options.config.log_level, options.config.log_format);
  const std::string dir = options.ephemeral ? options.config.data_dir : std::string();
  int code = 1;
  {
    auto loop = async::EpollLoop::create();
    code = Up(*loop, std::move(options)).run();
  }
  if (!dir.empty()) {
    std::error_code ec;
    fs::remove_all(dir, ec);
  }
  return code;
}

}  // namespace colony::app
