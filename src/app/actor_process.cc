// The life of every process that an agent has started: read the record, serve the socket, run the role, end on SIGTERM or
// as an orphan. Which role: role.h.
#include <fmt/format.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstdlib>

#include "app/logging.h"
#include "app/role.h"
#include "app/signals.h"
#include "app/up.h"
#include "base/log.h"
#include "transport/http/server.h"
#include "transport/rpc/rpc.h"

namespace colony::app {
namespace {

constexpr Duration kStopDeadline = 25s;  // the agent sends SIGKILL when its grace is over, usually sooner

using MakeRole = Result<std::unique_ptr<Role>> (*)(RoleContext);
struct RoleRow {
  std::string_view name;
  MakeRole make;
};
constexpr RoleRow kRoles[] = {{"replica", make_replica_role},
                              {"proxy", make_proxy_role},
                              {"discovery", make_discovery_role},
                              {"master-host", make_master_host_role},
                              {"keeper", make_keeper_role}};

class ActorProcess {
 public:
  ActorProcess(async::EpollLoop& loop, std::string dir)
      : loop_(loop), dir_(std::move(dir)), scope_(loop), stop_(loop) {}

  int run() {
    auto signals = Signals::watch(loop_, [this](int) {
      stopping_ = true;
      stop_.notify();
    });
    if (!signals) return report(signals.error());
    scope_.spawn(live());
    loop_.run();
    return code_;
  }

 private:
  int report(const Error& e) {
    LOG(error, "{}", e.message);
    return code_ = 1;
  }

  async::Task<void> live() {
    auto begun = co_await begin();
    if (!begun) {
      report(begun.error());
    } else {
      co_await wait();
    }
    const auto deadline = Deadline::after(loop_.now(), kStopDeadline);
    if (role_) co_await role_->stop(deadline);
    server_.reset();
    if (router_) co_await router_->stop();
    loop_.stop();
  }

  async::Task<Result<void>> begin() {
    engine::ActorEndpoint::Options options;
    if (const char* seconds = std::getenv("COLONY_ORPHAN_TIMEOUT_S"))
      options.orphan_timeout = from_seconds(std::atof(seconds));
    CO_TRY(endpoint_, co_await engine::ActorEndpoint::open(loop_, dir_, options));
    const auto& spec = endpoint_->spec();
    set_up_process_log(spec.role == "replica" ? spec.id : spec.role, spec.payload);
    prctl(PR_SET_NAME, fmt::format("colony/{}", spec.role).c_str(), 0, 0, 0);
    router_ = std::make_unique<http::Router>(loop_, http::Router::Options{});
    const auto* row =
        std::find_if(std::begin(kRoles), std::end(kRoles), [&](const auto& r) { return r.name == spec.role; });
    if (row == std::end(kRoles)) co_return fail(invalid_argument(fmt::format("role '{}' does not exist", spec.role)));
    CO_TRY(role_, row->make({loop_, *endpoint_, *router_}));
    auto* data = role_->data_service();
    if (!data) endpoint_->mount(*router_);
    http::ServerOptions server_options;
    server_options.accept_frames = data != nullptr;
    http::Service& service = data ? *data : *router_;
    CO_TRY(server_, http::Server::listen(loop_, endpoint_->address(), service, server_options));
    role_->serves(*server_);
    co_return co_await role_->start();
  }

  async::Task<void> wait() {
    while (!stopping_) {
      co_await stop_.wait(scope_, Deadline::after(loop_.now(), 1s));
      if (!stopping_ && endpoint_->should_exit_as_orphan(role_->last_request())) {
        LOG(warn, "{}: no agent and no request for the whole orphan timeout: ends", endpoint_->spec().id);
        stopping_ = true;
      }
    }
    LOG(info, "{}: stops", endpoint_->spec().id);
  }

  async::EpollLoop& loop_;
  std::string dir_;
  async::Scope scope_;
  async::Signal stop_;
  bool stopping_ = false;
  int code_ = 0;
  std::unique_ptr<engine::ActorEndpoint> endpoint_;
  std::unique_ptr<http::Router> router_;
  std::unique_ptr<Role> role_;
  std::unique_ptr<http::Server> server_;
};

async::Task<Result<std::string>> metrics_text(observe::Metrics& metrics) { co_return metrics.text(); }

}  // namespace

void mount_metrics(http::Router& router, observe::Metrics& metrics) {
  rpc::mount(router, kProcessService, "Metrics", [&metrics](std::string) { return metrics_text(metrics); });
}

int actor_main(const std::string& dir) {
  auto loop = async::EpollLoop::create();
  return ActorProcess(*loop, dir).run();
}

}  // namespace colony::app
