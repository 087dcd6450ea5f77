// `colony up --processes`: keeps one agent process alive and has it run discovery, master host, keeper and proxy, through the
// same verbs that masters use for replicas. After its own kill -9 a new launcher finds all of it running and takes it over.
// The proxy is replaced without a failed request: its successor is a second actor, which takes the listening sockets over.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "app/binary.h"
#include "app/house.h"
#include "app/listen_file.h"
#include "app/role_payload.h"
#include "app/up.h"
#include "async/process.h"
#include "base/log.h"
#include "colony/version.h"
#include "engine/agent/kept_sockets.h"
#include "engine/agent/remote.h"
#include "engine/embedded/embedded.h"
#include "store/data_dir.h"

namespace colony::app {
namespace {

namespace fs = std::filesystem;
constexpr Duration kAgentPatience = 30s;  // until a new agent answers
constexpr Duration kRolePatience = 30s;   // until a role's process answers
constexpr Duration kLook = 200ms;
constexpr const char* kShutdown = "shutdown";  // files of the run directory that the keeper writes
constexpr const char* kRestartProxy = "restart-proxy";

struct RoleRow {
  std::string id, role;
};
const RoleRow kDiscovery{"colony.discovery", "discovery"}, kMasterHost{"colony.master-host", "master-host"},
    kKeeper{"colony.keeper", "keeper"}, kProxy{"colony.proxy", "proxy"};

class Launcher final : public House {
 public:
  Launcher(async::EpollLoop& loop, const Config& config, std::function<void()> on_shutdown)
      : loop_(loop), config_(config), on_shutdown_(std::move(on_shutdown)), scope_(loop) {}

  async::Task<Result<Addresses>> start() override {
    CO_TRY(lock_, store::lock_data_dir(config_.data_dir, "up.lock"));
    CO_TRY(auto address, agent_address(run_dir_of(config_)));
    agent_ = std::make_unique<engine::RemoteAgent>(loop_, async::Endpoint{address});
    engine_ = std::make_unique<engine::EmbeddedEngine>(loop_, std::vector<engine::AgentPort*>{agent_.get()});
    co_await replace_other_agent();
    scope_.spawn(keep_agent());
    CO_TRY_VOID(co_await agent_answers());
    for (const char* order : {kShutdown, kRestartProxy}) unlink(order_file(order).c_str());
    fence_ = {"colony", static_cast<uint64_t>(to_ms(loop_.wall_now().time_since_epoch()))};

    RolePayload p;
    p.agent = address;
    p.node = config_.node;
    p.log_level = config_.log_level;
    CO_TRY(auto discovery, co_await run_role(kDiscovery, p));
    p.discovery = discovery.address;
    CO_TRY(auto master_host, co_await run_role(kMasterHost, p));
    p.master_host = master_host.address;
    p.listen = config_.control;
    p.data_dir = config_.data_dir;
    p.token_file = config_.token_file;
    CO_TRY(auto keeper, co_await run_role(kKeeper, p));
    p.listen = config_.http;
    p.tls_cert = config_.tls.cert;
    p.tls_key = config_.tls.key;
    p.tls_client_ca = config_.tls.client_ca;
    p.loops = config_.loops;
    p.trusted_proxies = config_.trusted_proxies;
    p.limits = config_.limits;
    proxy_payload_ = p;
    CO_TRY_VOID(co_await run_proxy());
    Addresses at;
    CO_TRY(at.control, co_await listens_on(kKeeper));
    CO_TRY(at.http, co_await listens_on(proxy_));
    scope_.spawn(look_for_orders());
    co_return at;
  }

  async::Task<void> stop(Deadline deadline) override {
    stopping_ = true;
    if (engine_ && fence_.epoch > 0) {
      // Requests first, then those who would start something new; the agent stops the rest.
      const Duration left = deadline.left(loop_.now());
      for (const auto& [row, grace] :
           {std::pair{proxy_, left + 1s}, {kKeeper, Duration(5s)}, {kMasterHost, Duration(5s)}})
        co_await stop_actor(row.id, fence_, grace);
    }
    co_await end_agent(15s);
    scope_.stop();
    if (agent_) co_await agent_->stop();
    co_await scope_.join();
    engine_.reset();
    agent_.reset();
    lock_.reset();
  }

  async::Task<void> kill() override {
    stopping_ = true;
    signal_agent(SIGINT);
    co_await end_agent(1s);
  }

 private:
  std::string order_file(const char* order) const { return run_dir_of(config_) + "/" + order; }
  std::string folder_of(const std::string& id) const { return run_dir_of(config_) + "/" + id; }

  // An agent that a launcher of another version has left: it lets go, and ours adopts what runs. Replicas do not notice.
  async::Task<void> replace_other_agent() {
    const pid_t pid = agent_pid();
    if (pid <= 0 || same_file(fmt::format("/proc/{}/exe", pid), "/proc/self/exe")) co_return;
    LOG(info, "agent: pid {} runs another binary; it makes room for ours", pid);
    ::kill(pid, SIGTERM);
    const auto limit = Deadline::after(loop_.now(), 5s);
    while (agent_pid() == pid && !limit.passed(loop_.now())) co_await loop_.sleep(10ms);
  }

  static bool same_file(const std::string& a, const std::string& b) {
    struct stat x{}, y{};
    return ::stat(a.c_str(), &x) == 0 && ::stat(b.c_str(), &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
  }

  // What distinguishes this program from an older one in the same place.
  static std::string build() {
    struct stat s{};
    if (::stat("/proc/self/exe", &s) != 0) return COLONY_VERSION;
    return fmt::format("{}-{}-{}", COLONY_VERSION, s.st_size, s.st_mtim.tv_sec);
  }

  // Agent: started, watched, started again. One that runs already (the launcher before us was killed) is used as found.
  async::Task<void> keep_agent() {
    Duration pause = Duration::zero();
    while (!scope_.stopping()) {
      auto node = co_await agent_->node();
      if (!node && !stopping_ && !child_alive()) {
        if (pause > Duration::zero() && !co_await scope_.sleep(pause)) co_return;
        pause = std::min<Duration>(pause * 2 + 100ms, 5s);
        launch_agent();
      } else if (node) {
        pause = Duration::zero();
      }
      if (!co_await scope_.sleep(kLook)) co_return;
    }
  }

  bool child_alive() const { return child_ && child_->alive(); }

  void launch_agent() {
    auto binary = own_binary();
    if (!binary) {
      LOG(error, "{}", binary.error().message);
      return;
    }
    std::error_code ec;
    fs::create_directories(log_dir_of(config_), ec);
    async::SpawnOptions o;
    o.argv = {*binary,
              "agent",
              "--run-dir",
              run_dir_of(config_),
              "--log-dir",
              log_dir_of(config_),
              "--node",
              config_.node,
              "--cpus",
              fmt::format("{}", config_.cpus),
              "--log-level",
              config_.log_level,
              "--orphan-timeout-s",
              fmt::format("{}", to_seconds(config_.orphan_timeout))};
    for (char** e = environ; *e; ++e) o.env.emplace_back(*e);
    o.stdout_path = o.stderr_path = log_dir_of(config_) + "/colony.agent.log";
    auto child = async::spawn(loop_, o, [this](const async::ExitStatus& status) {
      if (!stopping_) LOG(warn, "agent: {}; it is started again", status.text());
    });
    if (!child) {
      LOG(error, "agent: {}", child.error().message);
      return;
    }
    child_ = std::move(*child);
    LOG(info, "agent: pid {}", child_->pid());
  }

  async::Task<Result<void>> agent_answers() {
    const auto limit = Deadline::after(loop_.now(), kAgentPatience);
    while (!limit.passed(loop_.now())) {
      if (co_await agent_->node()) co_return Result<void>{};
      co_await loop_.sleep(20ms);
    }
    co_return fail(unavailable(fmt::format("the agent does not answer; see {}/colony.agent.log", log_dir_of(config_))));
  }

  async::Task<Result<engine::ActorStatus>> run_role(RoleRow row, RolePayload payload) {
    engine::ActorSpec spec;
    spec.id = row.id;
    spec.role = row.role;
    spec.payload = to_json(payload);
    spec.labels = labels_of(payload);
    spec.resources.num_cpus = 0;
    CO_TRY(auto all, co_await engine_->list(""));
    if (payload.take_over.empty() &&
        std::ranges::none_of(all, [&](const auto& actor) { return actor.spec.id == spec.id; }))
      CO_TRY_VOID(can_listen(payload.listen));
    for (const auto& actor : all)  // one that was started otherwise than wanted now is replaced
      if (actor.spec.id == spec.id && actor.spec.labels != spec.labels)
        CO_TRY_VOID(co_await engine_->stop(fence_, spec.id, 5s));
    CO_TRY(auto reservation, co_await engine_->reserve(fence_, spec));
    CO_TRY(auto status, co_await engine_->start(fence_, reservation));
    const uint64_t begun = status.incarnation;
    const auto limit = Deadline::after(loop_.now(), kRolePatience);
    while (status.state != engine::ActorState::kRunning) {
      if (limit.passed(loop_.now()) || status.incarnation > begun + 2) co_return fail(co_await why_not(row, status));
      co_await loop_.sleep(10ms);
      CO_TRY(auto now, co_await engine_->list(""));
      for (auto& actor : now)
        if (actor.spec.id == spec.id) status = actor;
    }
    co_return status;
  }

  static std::map<std::string, std::string> labels_of(RolePayload p) {
    p.take_over.clear();
    return {{"listen", p.listen}, {"loops", fmt::format("{}", p.loops)}, {"settings", to_json(p)}, {"build", build()}};
  }

  // The one that runs is adopted; one of another version, or with other settings than its address, is replaced.
  async::Task<Result<void>> run_proxy() {
    CO_TRY(const auto all, co_await engine_->list(""));
    std::vector<engine::ActorStatus> running;
    for (const auto& actor : all)
      if (actor.spec.role == kProxy.role && actor.state != engine::ActorState::kStopping) running.push_back(actor);
    std::ranges::sort(running, {}, [](const auto& actor) { return number_of(actor.spec.id); });
    for (size_t i = 0; i + 1 < running.size(); ++i)  // a launcher has ended while it replaced one
      scope_.spawn(stop_actor(running[i].spec.id, fence_, config_.drain_timeout));
    if (!running.empty()) {
      proxy_ = {running.back().spec.id, kProxy.role};
      const auto wanted = labels_of(proxy_payload_);
      auto now = running.back().spec.labels;
      if (now != wanted && now["listen"] == wanted.at("listen") && now["loops"] == wanted.at("loops") &&
          running.back().state == engine::ActorState::kRunning)
        co_return co_await replace_proxy();
    }
    CO_TRY_VOID(co_await run_role(proxy_, proxy_payload_));
    co_return Result<void>{};
  }

  // colony.proxy is the first, colony.proxy.2 the one that took over from it, and so on.
  static uint64_t number_of(std::string_view id) {
    const auto digits = id.substr(std::min(id.size(), kProxy.id.size() + 1));
    uint64_t n = 1;
    std::from_chars(digits.data(), digits.data() + digits.size(), n);
    return n;
  }

  // Both take requests for a moment; then the old one is told to end in order. When the new one does not come up, the old
  // one goes on.
  async::Task<Result<void>> replace_proxy() {
    const RoleRow old = proxy_;
    const RoleRow next{fmt::format("{}.{}", kProxy.id, number_of(old.id) + 1), kProxy.role};
    RolePayload payload = proxy_payload_;
    CO_TRY(const auto all, co_await engine_->list(""));
    for (const auto& actor : all)
      if (actor.spec.id == old.id) payload.take_over = engine::lender_path(actor.address);
    auto status = co_await run_role(next, payload);
    auto at = status ? co_await listens_on(next) : Result<std::string>(fail(status.error()));
    if (!at) {
      co_await stop_actor(next.id, fence_, 1s);
      co_return fail(std::move(at).error().within(fmt::format("{} cannot take over from {}", next.id, old.id)));
    }
    proxy_ = next;
    LOG(info, "{} has taken over from {}", next.id, old.id);
    std::ofstream(folder_of(old.id) + "/succeeded") << next.id << "\n";
    scope_.spawn(stop_actor(old.id, fence_, config_.drain_timeout));
    co_return Result<void>{};
  }

  // A port that is taken is said here and now, in the words and with the exit code of the other shape.
  Result<void> can_listen(const std::string& address) {
    if (address.empty()) return {};
    auto listener = loop_.listen({address}, [](std::unique_ptr<async::Stream>) {});
    if (!listener) return fail(std::move(listener).error());
    return {};
  }

  async::Task<Error> why_not(RoleRow row, const engine::ActorStatus& status) {
    auto log = co_await engine_->logs(row.id, 3);
    co_return unavailable(
        fmt::format("{} does not start: {}\n{}", row.role, status.last_exit, log ? *log : std::string()));
  }

  // Keeper and proxy write the address that they listen on beside their record.
  async::Task<Result<std::string>> listens_on(RoleRow row) {
    const auto limit = Deadline::after(loop_.now(), kRolePatience);
    const std::string folder = folder_of(row.id);
    uint64_t begun = 0;  // its incarnation at the first look
    while (true) {
      const auto file = read_listen_file(folder);
      CO_TRY(auto all, co_await engine_->list(""));
      for (const auto& actor : all) {
        if (actor.spec.id != row.id) continue;
        if (file && file->incarnation == actor.incarnation) co_return file->address;
        if (begun == 0) begun = actor.incarnation;
        if (actor.incarnation > begun + 2 || limit.passed(loop_.now())) co_return fail(co_await why_not(row, actor));
      }
      co_await loop_.sleep(10ms);
    }
  }

  // What the keeper was asked over the control API and cannot do itself.
  async::Task<void> look_for_orders() {
    while (co_await scope_.sleep(kLook)) {
      if (stopping_) continue;
      if (unlink(order_file(kShutdown).c_str()) == 0) on_shutdown_();
      if (unlink(order_file(kRestartProxy).c_str()) != 0 || stopping_) continue;
      if (auto replaced = co_await replace_proxy(); !replaced) LOG(error, "{}", replaced.error().message);
    }
  }

  async::Task<void> stop_actor(std::string id, engine::Fence fence, Duration grace) {
    auto stopped = co_await engine_->stop(fence, id, grace);
    if (!stopped) LOG(warn, "{}: stop: {}", id, stopped.error().message);
  }

  // SIGINT makes the agent stop every process of its node and end; a second one does it at once.
  async::Task<void> end_agent(Duration patience) {
    if (agent_pid() <= 0) co_return;
    signal_agent(SIGINT);
    const auto limit = Deadline::after(loop_.now(), patience);
    while (agent_pid() > 0 && !limit.passed(loop_.now())) co_await loop_.sleep(10ms);
    if (agent_pid() <= 0) co_return;
    LOG(warn, "agent: still there after {:.0f} s: everything is killed", to_seconds(patience));
    signal_agent(SIGINT);
    const auto last = Deadline::after(loop_.now(), 2s);
    while (agent_pid() > 0 && !last.passed(loop_.now())) co_await loop_.sleep(10ms);
    signal_agent(SIGKILL);
  }

  void signal_agent(int signo) {
    if (child_alive())
      child_->signal(signo);
    else if (const auto pid = agent_pid(); pid > 0)
      ::kill(pid, signo);
  }

  // Of our child, or of an agent that a launcher before us has started: its pid is in a file and its name is checked.
  pid_t agent_pid() const {
    if (child_) return child_->alive() ? child_->pid() : 0;
    if (!lock_) return 0;
    std::ifstream in(run_dir_of(config_) + "/agent.pid");
    pid_t pid = 0;
    if (!(in >> pid) || pid <= 1) return 0;
    std::ifstream comm(fmt::format("/proc/{}/comm", pid));
    std::string name;
    return std::getline(comm, name) && name == "colony/agent" ? pid : 0;
  }

  async::EpollLoop& loop_;
  Config config_;
  std::function<void()> on_shutdown_;
  async::Scope scope_;
  std::unique_ptr<store::DataDirLock> lock_;  // null: another Colony has the data dir, its agent is not ours to end
  std::unique_ptr<async::Process> child_;
  std::unique_ptr<engine::RemoteAgent> agent_;
  std::unique_ptr<engine::EmbeddedEngine> engine_;
  engine::Fence fence_;
  RolePayload proxy_payload_;
  RoleRow proxy_ = kProxy;  // the one that takes requests
  bool stopping_ = false;
};

}  // namespace

std::unique_ptr<House> make_launcher(async::EpollLoop& loop, const Config& config, std::function<void()> on_shutdown) {
  return std::make_unique<Launcher>(loop, config, std::move(on_shutdown));
}

}  // namespace colony::app
