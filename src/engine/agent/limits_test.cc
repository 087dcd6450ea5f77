// Memory limits on a folder that plays a cgroup (the kernel's files are plain ones there), and the fall-back to rlimit on
// a real process: this one's child.
#include "engine/agent/limits.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/agent/file.h"
#include "tests/support/temp_dir.h"

namespace colony::engine {
namespace {

using colony::testing::TempDir;

class Child {
 public:
  Child() : pid_(::fork()) {
    if (pid_ == 0) {
      ::pause();
      ::_exit(0);
    }
  }
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

TEST(Limits, WritesTheLimitAndTheProcessIntoACgroupOfVersionOne) {
  TempDir temp;
  const std::string home = temp / "colony-s-app.d.a";
  std::filesystem::create_directory(home);
  for (const char* name : {"memory.limit_in_bytes", "cgroup.procs"}) std::ofstream(home + "/" + name) << "";
  const Limits limits("s", temp.path());
  EXPECT_EQ(limits.apply("app.d.a", 4242, 1 << 20).value(), "cgroup");
  EXPECT_EQ(read_file(home + "/memory.limit_in_bytes", 100).value(), "1048576");
  EXPECT_EQ(read_file(home + "/cgroup.procs", 100).value(), "4242");
  EXPECT_EQ(limits.death_note("app.d.a", 1 << 20), "");
  std::ofstream(home + "/memory.oom_control") << "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n";
  EXPECT_EQ(limits.death_note("app.d.a", 1 << 20), "; over its memory limit of 1 MiB");
  EXPECT_EQ(limits.death_note("app.d.a", 0), "");
}

TEST(Limits, KnowsVersionTwoByItsControllers) {
  TempDir temp;
  std::ofstream(temp / "cgroup.controllers") << "cpu memory\n";
  std::ofstream(temp / "cgroup.subtree_control") << "";
  const std::string home = temp / "colony-s-a";
  std::filesystem::create_directory(home);
  for (const char* name : {"memory.max", "cgroup.procs"}) std::ofstream(home + "/" + name) << "";
  EXPECT_EQ(Limits("s", temp.path()).apply("a", 1, 4096).value(), "cgroup");
  EXPECT_EQ(read_file(home + "/memory.max", 100).value(), "4096");
}

TEST(Limits, WhereNoCgroupCanBeWrittenTheRlimitHolds) {
  TempDir temp;
  Child child;
  const Limits limits("s", temp / "absent");
  ASSERT_EQ(limits.apply("a", child.pid(), 64 << 20).value(), "rlimit");
  rlimit data{};
  ASSERT_EQ(::prlimit(child.pid(), RLIMIT_DATA, nullptr, &data), 0);
  EXPECT_EQ(data.rlim_cur, static_cast<rlim_t>(64 << 20));
  limits.remove("a");
  EXPECT_FALSE(std::filesystem::exists(temp / "absent"));
}

TEST(Limits, OnThisMachineALimitIsHeldOneWayOrTheOther) {
  Child child;
  const Limits limits("test" + std::to_string(::getpid()));
  const auto how = limits.apply("a", child.pid(), 256 << 20);
  ASSERT_TRUE(how.has_value()) << how.error().message;
  ::kill(child.pid(), SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT), 0);
  limits.remove("a");
  EXPECT_FALSE(*how == "cgroup" &&
               std::filesystem::exists(limits.root() + "/colony-test" + std::to_string(::getpid()) + "-a"));
}

}  // namespace
}  // namespace colony::engine
