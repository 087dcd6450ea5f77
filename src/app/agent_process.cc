// `colony agent`: the node's agent as a process of its own, on RUN/agent.sock. SIGTERM makes it let go of everything that
// runs, so that the next agent adopts it; SIGINT makes it stop every process of the node first, a second SIGINT at once.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "app/binary.h"
#include "app/logging.h"
#include "app/signals.h"
#include "app/up.h"
#include "async/epoll_loop.h"
#include "base/log.h"
#include "engine/agent/agent.h"
#include "engine/agent/run_dir.h"
#include "engine/agent/service.h"
#include "engine/embedded/embedded.h"
#include "transport/http/server.h"

namespace colony::app {
namespace {

constexpr Duration kStopGrace = 10s;

class AgentProcess {
 public:
  AgentProcess(async::EpollLoop& loop, AgentProcessOptions options)
      : loop_(loop), options_(std::move(options)), router_(loop, http::Router::Options{}), scope_(loop), stop_(loop) {}

  int run() {
    auto signals = Signals::watch(loop_, [this](int signo) { on_signal(signo); });
    if (!signals) return report(signals.error());
    scope_.spawn(live());
    loop_.run();
    return code_;
  }

 private:
  int report(const Error& e) {
    LOG(error, "agent: {}", e.message);
    return code_ = exit_code(e.code) == 0 ? 1 : exit_code(e.code);
  }

  void on_signal(int signo) {
    if (signo == SIGINT && stop_actors_ && agent_) scope_.spawn(agent_->stop_all(Duration::zero()));
    stop_actors_ |= signo == SIGINT;
    stopping_ = true;
    stop_.notify();
  }

  async::Task<void> live() {
    auto begun = co_await begin();
    if (!begun) report(begun.error());
    while (begun && !stopping_) co_await stop_.wait(scope_, Deadline::after(loop_.now(), 3600s));
    if (stop_actors_ && agent_) {
      LOG(info, "agent: stops every process of this node");
      co_await agent_->stop_all(kStopGrace);
    } else {
      LOG(info, "agent: lets go, what runs goes on");
    }
    if (service_) service_->stop();
    if (agent_) co_await agent_->close();
    server_.reset();
    co_await router_.stop();
    loop_.stop();
  }

  async::Task<Result<void>> begin() {
    engine::AgentOptions o;
    o.run_dir = options_.run_dir;
    o.log_dir = options_.log_dir;
    o.host = options_.node;
    o.actors.env = {{"COLONY_ORPHAN_TIMEOUT_S", fmt::format("{}", to_seconds(options_.orphan_timeout))},
                    {"COLONY_LOG_LEVEL", options_.log_level}};
    CO_TRY(o.address, agent_address(options_.run_dir));
    CO_TRY(o.actors.binary, own_binary());
    o.capacity = engine::local_capacity(options_.node, options_.cpus);
    CO_TRY(agent_, co_await engine::Agent::open(loop_, o));
    std::ofstream(options_.run_dir + "/agent.pid") << getpid() << "\n";
    service_ = std::make_unique<engine::AgentService>(router_, *agent_);
    CO_TRY(server_, http::Server::listen(loop_, {o.address}, router_));
    co_return Result<void>{};
  }

  async::EpollLoop& loop_;
  AgentProcessOptions options_;
  http::Router router_;
  async::Scope scope_;
  async::Signal stop_;
  bool stopping_ = false, stop_actors_ = false;
  int code_ = 0;
  std::unique_ptr<engine::Agent> agent_;
  std::unique_ptr<engine::AgentService> service_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace

Result<std::string> agent_address(const std::string& run_dir) {
  TRY(auto path, engine::socket_path(run_dir, run_dir + "/agent.sock"));
  return "unix:" + path;
}

int agent_main(const AgentProcessOptions& options) {
  set_up_log("agent", options.log_level, "auto");
  prctl(PR_SET_NAME, "colony/agent", 0, 0, 0);
  auto loop = async::EpollLoop::create();
  return AgentProcess(*loop, options).run();
}

}  // namespace colony::app
