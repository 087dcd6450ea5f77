// The conformance suite on the embedded engine with a real agent and real processes, called in this process and by
// address; and what only a real agent promises: adoption, clean-up, a clean environment, no leaks.
#include "engine/embedded/embedded.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "async/process.h"
#include "engine/agent/agent.h"
#include "engine/agent/file.h"
#include "engine/agent/remote.h"
#include "engine/agent/service.h"
#include "tests/conformance/engine_conformance.h"
#include "tests/support/epoll_drive.h"
#include "tests/support/temp_dir.h"
#include "transport/http/server.h"

namespace colony::testing {
namespace {

namespace fs = std::filesystem;
using engine::ActorState;
using ::testing::HasSubstr;
using ::testing::Not;

std::string test_actor() { return (fs::read_symlink("/proc/self/exe").parent_path() / "test_actor").string(); }

// An agent and an engine in front of it. The agent may be taken away and brought back; processes go on meanwhile.
class RealHarness : public EngineHarness {
 public:
  enum class Access : bool { kDirect, kByAddress };
  explicit RealHarness(Access access = Access::kDirect) : access_(access), loop_(async::EpollLoop::create()) { up(); }
  ~RealHarness() override {
    if (agent_ == nullptr) up();
    drive(agent_->stop_all(1s));
    down();
  }

  async::Loop& loop() override { return *loop_; }
  engine::Engine& engine() override { return *engine_; }
  bool run_until(std::function<bool()> done, Duration limit) override {
    return testing::run_until(*loop_, done, limit);
  }
  std::string node() const override { return "node-1"; }
  void crash(const std::string& actor) override {
    auto all = run(agent_->list(""));
    for (const auto& a : *all) {
      if (a.spec.id == actor && a.pid > 0) ::kill(static_cast<pid_t>(a.pid), SIGKILL);
    }
  }

  engine::AgentOptions options() const {
    engine::AgentOptions o;
    o.run_dir = temp_ / "run";
    o.log_dir = temp_ / "logs";
    o.host = "localhost";
    o.capacity = {.id = "node-1", .cpus = 16};
    o.actors.binary = test_actor();
    o.actors.restart = {.first = 200ms, .longest = 60s, .stable = 60s};
    o.actors.start_timeout = start_timeout;
    o.actors.env = {{"TEST_AGENT", "said"}};
    return o;
  }
  void up() {
    auto opened = run(engine::Agent::open(*loop_, options()));
    CHECK(opened.has_value());
    agent_ = std::move(*opened);
    if (access_ == Access::kDirect) {
      engine_ = std::make_unique<engine::EmbeddedEngine>(*loop_, std::vector<engine::AgentPort*>{agent_.get()});
      return;
    }
    router_ = std::make_unique<http::Router>(*loop_, http::Router::Options{});
    service_ = std::make_unique<engine::AgentService>(*router_, *agent_);
    auto server = http::Server::listen(*loop_, {"unix:" + (temp_ / "run/agent.sock")}, *router_);
    CHECK(server.has_value());
    server_ = std::move(*server);
    if (remote_ == nullptr) {
      remote_ = std::make_unique<engine::RemoteAgent>(*loop_, async::Endpoint{"unix:" + (temp_ / "run/agent.sock")});
      engine_ = std::make_unique<engine::EmbeddedEngine>(*loop_, std::vector<engine::AgentPort*>{remote_.get()});
    }
  }
  // What kill -9 of an agent leaves: processes that run, nobody who watches.
  void agent_down() {
    if (service_) service_->stop();
    drive(agent_->close());
    if (router_) drive(router_->stop());
    server_.reset();
    service_.reset();
    router_.reset();
    if (access_ == Access::kDirect) engine_.reset();
    agent_.reset();
  }
  void down() {
    agent_down();
    if (remote_) drive(remote_->stop());
    engine_.reset();
    remote_.reset();
  }
  void drive(async::Task<void> task) {
    async::Scope scope(*loop_);
    scope.spawn(std::move(task));
    CHECK(run_until([&] { return scope.running() == 0; }, 20s));
  }

  engine::Agent& agent() { return *agent_; }
  const TempDir& temp() const { return temp_; }
  Duration start_timeout = 10s;

 private:
  TempDir temp_;
  Access access_;
  std::unique_ptr<async::EpollLoop> loop_;
  std::unique_ptr<engine::Agent> agent_;
  std::unique_ptr<http::Router> router_;
  std::unique_ptr<engine::AgentService> service_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<engine::RemoteAgent> remote_;
  std::unique_ptr<engine::EmbeddedEngine> engine_;
};

INSTANTIATE_TEST_SUITE_P(
    Embedded, EngineConformance,
    ::testing::Values(
        EngineAdapter{"in_process", [] { return std::make_unique<RealHarness>(RealHarness::Access::kDirect); }},
        EngineAdapter{"by_address", [] { return std::make_unique<RealHarness>(RealHarness::Access::kByAddress); }}),
    [](const auto& param) { return param.param.name; });

bool process_lives(int64_t pid) {
  auto text = engine::read_file(fmt::format("/proc/{}/stat", pid), 4096);
  return text && text->find(") Z ") == std::string::npos;
}

size_t open_descriptors() {
  size_t n = 0;
  DIR* dir = ::opendir("/proc/self/fd");
  while (::readdir(dir) != nullptr) ++n;
  ::closedir(dir);
  return n;
}

class AgentWithProcesses : public ::testing::Test {
 protected:
  engine::ActorSpec spec(std::string id, std::string script = {}) {
    engine::ActorSpec s;
    s.id = std::move(id);
    s.role = "replica";
    s.app = "app";
    s.payload = std::move(script);
    return s;
  }
  engine::ActorStatus status(const std::string& id) {
    auto all = h.run(h.agent().list(""));
    for (auto& a : *all) {
      if (a.spec.id == id) return a;
    }
    CHECK(false);
  }
  bool wait_for(const std::string& id, ActorState state, uint64_t incarnation = 1) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < end) {
      const auto s = status(id);
      if (s.state == state && s.incarnation >= incarnation) return true;
      int turns = 0;
      h.run_until([&] { return ++turns > 3; }, 1s);
    }
    return false;
  }
  engine::ActorStatus start(engine::ActorSpec s) {
    const std::string id = s.id;
    auto reserved = h.run(h.agent().reserve(fence, std::move(s)));
    CHECK(reserved.has_value());
    CHECK(h.run(h.agent().start(fence, *reserved)).has_value());
    return status(id);
  }
  engine::ActorStatus run_actor(engine::ActorSpec s) {
    const std::string id = s.id;
    start(std::move(s));
    CHECK(wait_for(id, ActorState::kRunning));
    return status(id);
  }

  RealHarness h;
  const engine::Fence fence{.owner = "app", .epoch = 5};
};

TEST_F(AgentWithProcesses, TheNextAgentAdoptsWhatRunsWithTheSamePids) {
  const auto a = run_actor(spec("app.d.a"));
  const auto b = run_actor(spec("app.d.b"));
  ASSERT_TRUE(h.run(h.agent().reserve(fence, spec("app.d.c"))).has_value());
  h.agent_down();
  EXPECT_TRUE(process_lives(a.pid));
  h.up();
  EXPECT_EQ(status("app.d.a").pid, a.pid);
  EXPECT_EQ(status("app.d.b").pid, b.pid);
  EXPECT_EQ(status("app.d.a").state, ActorState::kRunning) << "known when open() has returned";
  EXPECT_EQ(status("app.d.a").incarnation, 1U);
  EXPECT_EQ(status("app.d.a").spec.app, "app");
  EXPECT_EQ(status("app.d.c").state, ActorState::kReserved);
  EXPECT_DOUBLE_EQ(h.run(h.agent().node())->status.cpus_used, 3);
  EXPECT_EQ(h.run(h.agent().reserve({.owner = "app", .epoch = 4}, spec("x"))).error().reason, "stale_epoch");
  // Its death is known although it is no child of this agent's own making.
  ::kill(static_cast<pid_t>(a.pid), SIGKILL);
  ASSERT_TRUE(wait_for("app.d.a", ActorState::kRunning, 2));
  EXPECT_NE(status("app.d.a").pid, a.pid);
}

TEST_F(AgentWithProcesses, WhatDiedWhileNoAgentWasThereIsRestartedInPlace) {
  const auto a = run_actor(spec("app.d.a"));
  h.agent_down();
  ::kill(static_cast<pid_t>(a.pid), SIGKILL);
  h.up();
  ASSERT_TRUE(wait_for("app.d.a", ActorState::kRunning, 2));
  EXPECT_EQ(status("app.d.a").last_exit.empty(), false);
  EXPECT_NE(status("app.d.a").pid, a.pid);
}

TEST_F(AgentWithProcesses, AProcessWhosePidNobodyWroteDownIsFoundByItsLock) {
  const auto a = run_actor(spec("app.d.a"));
  h.agent_down();
  auto record = engine::read_record(h.temp() / "run/app.d.a");
  ASSERT_TRUE(record.has_value());
  record->pid = 0;
  record->start_time = 0;
  ASSERT_TRUE(engine::write_record(h.temp() / "run/app.d.a", *record).has_value());
  h.up();
  ASSERT_TRUE(wait_for("app.d.a", ActorState::kRunning));
  EXPECT_EQ(status("app.d.a").pid, a.pid);
  EXPECT_EQ(status("app.d.a").incarnation, 1U);
}

TEST_F(AgentWithProcesses, AProcessThatDoesNotKnowTheCookieIsNotAdopted) {
  const auto a = run_actor(spec("app.d.a"));
  h.agent_down();
  auto record = engine::read_record(h.temp() / "run/app.d.a");
  record->cookie = "another";
  ASSERT_TRUE(engine::write_record(h.temp() / "run/app.d.a", *record).has_value());
  h.start_timeout = 2s;  // also what the next incarnation has, on a machine under load
  h.up();
  EXPECT_NE(status("app.d.a").state, ActorState::kRunning);
  ASSERT_TRUE(wait_for("app.d.a", ActorState::kRunning, 2));
  EXPECT_FALSE(process_lives(a.pid)) << "two processes are never one actor";
}

TEST_F(AgentWithProcesses, AReusedPidIsNotTheActor) {
  const auto a = run_actor(spec("app.d.a"));
  h.agent_down();
  ::kill(static_cast<pid_t>(a.pid), SIGKILL);
  auto record = engine::read_record(h.temp() / "run/app.d.a");
  record->pid = ::getpid();
  ASSERT_TRUE(engine::write_record(h.temp() / "run/app.d.a", *record).has_value());
  h.up();
  ASSERT_TRUE(wait_for("app.d.a", ActorState::kRunning, 2));
  EXPECT_NE(status("app.d.a").pid, ::getpid());
}

TEST_F(AgentWithProcesses, AStopThatWasBegunIsFinishedByTheNextAgent) {
  const auto a = run_actor(spec("app.d.a"));
  h.agent_down();
  auto record = engine::read_record(h.temp() / "run/app.d.a");
  record->stopping = true;
  ASSERT_TRUE(engine::write_record(h.temp() / "run/app.d.a", *record).has_value());
  h.up();
  ASSERT_TRUE(h.run_until([&] { return !process_lives(a.pid); }, 10s));
  ASSERT_TRUE(h.run_until([&] { return !fs::exists(h.temp() / "run/app.d.a"); }, 10s));
  EXPECT_TRUE(h.run(h.agent().list(""))->empty());
}

TEST_F(AgentWithProcesses, AFolderThatCannotBeReadIsSweptWithItsProcess) {
  const auto a = run_actor(spec("app.d.a"));
  h.agent_down();
  std::ofstream(h.temp() / "run/app.d.a/actor.json") << "{";
  h.up();
  EXPECT_TRUE(h.run(h.agent().list(""))->empty());
  EXPECT_TRUE(h.run_until([&] { return !process_lives(a.pid); }, 10s));
  EXPECT_FALSE(fs::exists(h.temp() / "run/app.d.a"));
}

TEST_F(AgentWithProcesses, ASocketThatStaysMuteIsAFailedStart) {
  h.agent_down();
  h.start_timeout = 300ms;
  h.up();
  start(spec("app.d.a", "mute"));
  ASSERT_TRUE(wait_for("app.d.a", ActorState::kBackoff, 2));
  EXPECT_EQ(status("app.d.a").last_exit, "its socket did not answer within 0.3 s");
}

TEST_F(AgentWithProcesses, AProgramThatIsNotThereIsSaidAndTriedAgain) {
  h.agent_down();
  auto options = h.options();
  options.actors.binary = "/no/such/colony";
  auto opened = h.run(engine::Agent::open(h.loop(), options));
  ASSERT_TRUE(opened.has_value());
  auto reserved = h.run((*opened)->reserve(fence, spec("app.d.a")));
  ASSERT_TRUE(reserved.has_value());
  const auto started = h.run((*opened)->start(fence, *reserved));
  ASSERT_TRUE(started.has_value());
  EXPECT_EQ(started->state, ActorState::kBackoff);
  EXPECT_THAT(started->last_exit, HasSubstr("/no/such/colony"));
  EXPECT_TRUE(h.run((*opened)->stop(fence, "app.d.a", 1s)).has_value());
  h.drive((*opened)->close());
}

TEST_F(AgentWithProcesses, TheEnvironmentIsCleanAndTheFilesArePrivate) {
  ::setenv("TEST_SECRET", "leaked", 1);
  auto s = spec("app.d.a");
  s.env = {{"TEST_SPEC", "given"}};
  run_actor(std::move(s));
  ::unsetenv("TEST_SECRET");
  const auto log = h.run(h.agent().logs("app.d.a", 100)).value();
  EXPECT_THAT(log, HasSubstr("TEST_AGENT=said\n"));
  EXPECT_THAT(log, HasSubstr("TEST_SPEC=given\n"));
  EXPECT_THAT(log, Not(HasSubstr("TEST_SECRET")));
  struct stat s1{};
  for (const char* path : {"run/app.d.a/actor.json", "run/app.d.a/sock", "logs/app.d.a.log", "run/app.d.a"}) {
    ASSERT_EQ(::stat((h.temp() / path).c_str(), &s1), 0) << path;
    EXPECT_EQ(s1.st_mode & 077, 0U) << path;
  }
}

TEST_F(AgentWithProcesses, NothingIsLeftBehindByActorsThatAreGone) {
  run_actor(spec("app.d.warm"));
  ASSERT_TRUE(h.run(h.agent().stop(fence, "app.d.warm", 5s)).has_value());
  const size_t before = open_descriptors();
  for (int round = 0; round < 3; ++round) {
    const auto a = run_actor(spec("app.d.a"));
    ::kill(static_cast<pid_t>(a.pid), SIGKILL);
    ASSERT_TRUE(wait_for("app.d.a", ActorState::kRunning, 2));
    const auto again = status("app.d.a");
    ASSERT_TRUE(h.run(h.agent().stop(fence, "app.d.a", 5s)).has_value());
    EXPECT_FALSE(process_lives(a.pid));
    EXPECT_FALSE(process_lives(again.pid));
  }
  EXPECT_TRUE(h.run_until([&] { return open_descriptors() <= before; }, 10s))
      << open_descriptors() << " are open, before it were " << before;
  for (const auto& entry : fs::directory_iterator(h.temp() / "run")) {
    EXPECT_FALSE(entry.is_directory()) << entry.path();
  }
}

std::vector<std::string> cgroups_of(const std::string& actor) {
  std::vector<std::string> out;
  const engine::Limits limits("x");
  std::error_code error;
  if (limits.root().empty()) return out;
  for (fs::directory_iterator it(limits.root(), error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with("colony-") && name.ends_with("-" + actor)) out.push_back(name);
  }
  return out;
}

TEST_F(AgentWithProcesses, AMemoryLimitGoesWithItsActorAndComesBackAfterADeath) {
  const std::string id = fmt::format("app.d.limited{}", ::getpid());
  auto s = spec(id);
  s.resources.memory = 1ULL << 45;  // more than the machine has, so that a sanitizer's shadow fits an rlimit too
  const auto a = run_actor(std::move(s));
  const bool by_cgroup = !cgroups_of(id).empty();
  ::kill(static_cast<pid_t>(a.pid), SIGKILL);
  ASSERT_TRUE(wait_for(id, ActorState::kRunning, 2));
  EXPECT_EQ(status(id).last_exit, "killed by signal 9 (SIGKILL)") << "not the limit's doing";
  EXPECT_EQ(!cgroups_of(id).empty(), by_cgroup);
  ASSERT_TRUE(h.run(h.agent().stop(fence, id, 5s)).has_value());
  EXPECT_TRUE(cgroups_of(id).empty());
}

TEST_F(AgentWithProcesses, ALongRunDirectoryServesFromAShortSocket) {
  h.agent_down();
  auto options = h.options();
  options.run_dir = h.temp() / (std::string(90, 'l') + "/run");
  {
    auto opened = h.run(engine::Agent::open(h.loop(), options));
    ASSERT_TRUE(opened.has_value());
    auto reserved = h.run((*opened)->reserve(fence, spec("app.d.a")));
    ASSERT_TRUE(h.run((*opened)->start(fence, *reserved)).has_value());
    engine::ActorStatus s;
    for (int i = 0; i < 1000 && s.state != ActorState::kRunning; ++i) {
      int turns = 0;
      h.run_until([&] { return ++turns > 3; }, 1s);
      s = h.run((*opened)->list(""))->at(0);
    }
    EXPECT_EQ(s.state, ActorState::kRunning);
    EXPECT_THAT(s.address, HasSubstr("/colony-"));
    h.drive((*opened)->stop_all(5s));
    EXPECT_FALSE(fs::exists(s.address.substr(5)));
    h.drive((*opened)->close());
  }
}

TEST_F(AgentWithProcesses, OnlyOneAgentHasARunDirectory) {
  const auto second = h.run(engine::Agent::open(h.loop(), h.options()));
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().reason, "run_dir_in_use");
}

TEST_F(AgentWithProcesses, AFullOrClosedDiskIsAnErrorOfTheVerbAndNotOfTheAgent) {
  run_actor(spec("app.d.a"));
  fs::create_directory(h.temp() / "run/app.d.b");
  std::ofstream(h.temp() / "run/app.d.b/actor.json.new") << "";
  fs::remove(h.temp() / "run/app.d.b/actor.json.new");
  fs::create_directory(h.temp() / "run/app.d.b/actor.json.new");  // nothing can be written there
  const auto refused = h.run(h.agent().reserve(fence, spec("app.d.b")));
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("actor.json"));
  EXPECT_EQ(status("app.d.a").state, ActorState::kRunning);
  EXPECT_TRUE(h.run(h.agent().reserve(fence, spec("app.d.b"))).has_value()) << "the folder in the way was cleared";
}

TEST(AgentByAddress, AWatchSurvivesTheAgentAndListsAgain) {
  RealHarness h(RealHarness::Access::kByAddress);
  int resyncs = 0;
  const auto subscription =
      h.engine().watch([&](const engine::Event& e) { resyncs += e.kind == engine::Event::Kind::kResync; });
  ASSERT_TRUE(h.run_until([&] { return resyncs == 1; }, 10s));
  const engine::Fence fence{.owner = "app", .epoch = 1};
  engine::ActorSpec spec;
  spec.id = "app.d.a";
  spec.role = "replica";
  auto reserved = h.run(h.engine().reserve(fence, spec));
  ASSERT_TRUE(h.run(h.engine().start(fence, *reserved)).has_value());
  const int64_t pid = h.run(h.engine().list(""))->at(0).pid;
  h.agent_down();
  EXPECT_EQ(h.run(h.engine().list("")).error().code, Code::kUnavailable);
  EXPECT_FALSE(h.run(h.engine().nodes())->at(0).alive);
  h.up();
  ASSERT_TRUE(h.run_until([&] { return resyncs >= 2; }, 10s));
  EXPECT_EQ(h.run(h.engine().list(""))->at(0).pid, pid);
}

}  // namespace
}  // namespace colony::testing
