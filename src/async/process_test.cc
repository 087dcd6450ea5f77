// Child processes: how they start, what they inherit, how their end is learnt.
#include "async/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "async/loop_test_support.h"

namespace colony::async::test {
namespace {

std::string read(const std::string& path) {
  std::ifstream in(path);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

class ProcessTest : public ::testing::Test {
 protected:
  // Runs a shell line to its end.
  ExitStatus sh(const std::string& line, SpawnOptions options = {}) {
    options.argv = {"/bin/sh", "-c", line};
    options.stdout_path = dir.file("out");
    options.stderr_path = dir.file("err");
    std::optional<ExitStatus> status;
    auto process = spawn(*driver.loop, options, [&](const ExitStatus& s) { status = s; });
    EXPECT_TRUE(process) << (process ? "" : process.error().message);
    EXPECT_TRUE(driver.run_until([&] { return status.has_value(); }));
    return status.value_or(ExitStatus{});
  }
  EpollDriver driver;
  TempDir dir;
};

TEST_F(ProcessTest, TellsTheExitCode) {
  const ExitStatus s = sh("exit 3");
  EXPECT_TRUE(s.known);
  EXPECT_EQ(s.code, 3);
  EXPECT_EQ(s.signal, 0);
  EXPECT_EQ(s.text(), "exit code 3");
}

TEST_F(ProcessTest, TellsTheSignalThatEndedIt) {
  const ExitStatus s = sh("kill -9 $$");
  EXPECT_TRUE(s.known);
  EXPECT_EQ(s.signal, SIGKILL);
  EXPECT_EQ(s.text(), "killed by signal 9 (SIGKILL)");
}

TEST_F(ProcessTest, ItsEnvironmentFolderAndSessionAreWhatWasAsked) {
  ::setenv("COLONY_TEST_SECRET", "leaks", 1);
  sh("echo $A; echo \"[$COLONY_TEST_SECRET]\"; pwd; ulimit -n; read -r _ _ _ _ _ sid _ < /proc/$$/stat; [ $sid = $$ ] "
     "&& echo session",
     {.env = {"A=b c"}, .cwd = "/usr", .nofile = 77});
  ::unsetenv("COLONY_TEST_SECRET");
  EXPECT_EQ(read(dir.file("out")), "b c\n[]\n/usr\n77\nsession\n");
}

TEST_F(ProcessTest, ItInheritsNoDescriptorAndNoIgnoredOrBlockedSignal) {
  const int leaky = ::open("/dev/null", O_RDONLY);  // not close-on-exec
  ASSERT_GE(leaky, 3);
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  sh("ls -l /proc/self/fd | grep -c -- '->'; grep -E '^Sig(Ign|Blk)' /proc/self/status");
  ::signal(SIGPIPE, before);
  ::close(leaky);
  // 0, 1, 2 and the folder that ls reads itself. The shell ignores nothing either.
  EXPECT_EQ(read(dir.file("out")), "4\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

// In reverse of their own numbers, so that one is in the place that another is to get.
TEST_F(ProcessTest, WhatIsHandedOnIsThereInItsOrderAndNothingElse) {
  std::vector<int> opened;
  for (int i = 0; i < 6; ++i) opened.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  SpawnOptions options;
  for (const char* text : {"c", "b", "a"}) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    ASSERT_EQ(::write(ends[1], text, 1), 1);
    ::close(ends[1]);
    options.inherit.insert(options.inherit.begin(), ends[0]);
  }
  sh("cat <&3; cat <&4; cat <&5; echo; ls /proc/self/fd | tr '\\n' ' '", options);
  // `ls` itself opens the folder that it reads.
  EXPECT_EQ(read(dir.file("out")), "abc\n0 1 2 3 4 5 6 ");
  EXPECT_EQ(read(dir.file("err")), "");
  for (const int fd : opened) ::close(fd);
  for (const int fd : options.inherit) ::close(fd);
}

TEST_F(ProcessTest, ItsOutputIsAppendedToPrivateFiles) {
  sh("echo one; echo bad >&2");
  sh("echo two");
  EXPECT_EQ(read(dir.file("out")), "one\ntwo\n");
  EXPECT_EQ(read(dir.file("err")), "bad\n");
  struct stat file{};
  ASSERT_EQ(::stat(dir.file("out").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
}

TEST_F(ProcessTest, AProgramThatCannotRunIsAnErrorWithItsPath) {
  struct Case {
    SpawnOptions options;
    Code code;
    std::string names;
  };
  const std::string plain = dir.file("plain.txt");
  std::ofstream(plain) << "no program";
  const std::vector<Case> cases = {
      {{.argv = {"/no/such/program"}}, Code::kNotFound, "/no/such/program"},
      {{.argv = {plain}}, Code::kPermissionDenied, plain},
      {{.argv = {"relative"}}, Code::kInvalidArgument, "relative"},
      {{.argv = {}}, Code::kInvalidArgument, "absolute"},
      {{.argv = {"/bin/true"}, .cwd = "/no/such/folder"}, Code::kNotFound, "/no/such/folder"},
      {{.argv = {"/bin/true"}, .stdout_path = "/no/such/log"}, Code::kNotFound, "/no/such/log"},
  };
  for (const auto& c : cases) {
    bool called = false;
    auto process = spawn(*driver.loop, c.options, [&](const ExitStatus&) { called = true; });
    ASSERT_FALSE(process);
    EXPECT_EQ(process.error().code, c.code) << process.error().message;
    EXPECT_NE(process.error().message.find(c.names), std::string::npos) << process.error().message;
    driver.settle();
    EXPECT_FALSE(called);
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a failed start leaves no zombie";
}

TEST_F(ProcessTest, SignalsReachItUntilItIsGone) {
  std::optional<ExitStatus> status;
  std::unique_ptr<Process> process;
  auto started = spawn(*driver.loop, {.argv = {"/bin/sleep", "1000"}}, [&](const ExitStatus& s) {
    status = s;
    process.reset();
  });
  ASSERT_TRUE(started);
  process = std::move(*started);
  EXPECT_TRUE(process->alive());
  process->signal(SIGTERM);
  EXPECT_TRUE(driver.run_until([&] { return status.has_value(); }));
  EXPECT_EQ(status->signal, SIGTERM);
  EXPECT_EQ(process, nullptr);
}

TEST_F(ProcessTest, AForgottenProcessLivesOnAndCanBeAdoptedByPidAndStartTime) {
  auto started = spawn(*driver.loop, {.argv = {"/bin/sleep", "1000"}}, [](const ExitStatus&) { FAIL(); });
  ASSERT_TRUE(started);
  const pid_t pid = (*started)->pid();
  auto start_time = process_start_time(pid);
  ASSERT_TRUE(start_time);
  started->reset();
  EXPECT_EQ(::kill(pid, 0), 0);

  auto wrong = adopt(*driver.loop, pid, *start_time + 1, [](const ExitStatus&) { FAIL(); });
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Code::kNotFound);

  std::optional<ExitStatus> status;
  auto adopted = adopt(*driver.loop, pid, *start_time, [&](const ExitStatus& s) { status = s; });
  ASSERT_TRUE(adopted) << adopted.error().message;
  EXPECT_TRUE((*adopted)->alive());
  (*adopted)->signal(SIGKILL);
  EXPECT_TRUE(driver.run_until([&] { return status.has_value(); }));
  EXPECT_FALSE((*adopted)->alive());
  (*adopted)->signal(SIGKILL);

  auto gone = adopt(*driver.loop, pid, *start_time, [](const ExitStatus&) { FAIL(); });
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::kNotFound);
}

TEST_F(ProcessTest, TheEndOfAProcessThatIsNobodysChildHereIsLearntWithoutItsStatus) {
  // The shell ends at once; its child is then the child of another process.
  sh("/bin/sleep 1000 > /dev/null 2>&1 & echo $!");
  const pid_t pid = std::stoi(read(dir.file("out")));
  auto start_time = process_start_time(pid);
  ASSERT_TRUE(start_time);
  std::optional<ExitStatus> status;
  auto adopted = adopt(*driver.loop, pid, *start_time, [&](const ExitStatus& s) { status = s; });
  ASSERT_TRUE(adopted) << adopted.error().message;
  (*adopted)->signal(SIGKILL);
  EXPECT_TRUE(driver.run_until([&] { return status.has_value(); }));
  EXPECT_FALSE(status->known);
  EXPECT_EQ(status->text(), "ended (not our child)");
}

TEST_F(ProcessTest, DieWithParentEndsTheChildOfADeadParent) {
  // This process forks a parent that spawns a tied child, prints its pid and dies.
  const std::string note = dir.file("pid");
  const pid_t parent = ::fork();
  if (parent == 0) {
    EpollDriver own;
    auto child = spawn(*own.loop, {.argv = {"/bin/sleep", "1000"}, .die_with_parent = true}, [](const ExitStatus&) {});
    std::ofstream(note) << (child ? (*child)->pid() : -1) << std::flush;
    ::kill(::getpid(), SIGKILL);
  }
  ASSERT_EQ(::waitpid(parent, nullptr, 0), parent);
  const pid_t child = std::stoi(read(note));
  ASSERT_GT(child, 0);
  EXPECT_TRUE(driver.run_until([&] {
    const std::string stat = read("/proc/" + std::to_string(child) + "/stat");
    return stat.empty() || stat.find(") Z") != std::string::npos;
  }));
}

TEST_F(ProcessTest, ASimulatedLoopRefusesAndLeavesNoProcess) {
  auto sim = SimLoop::create({});
  auto process = spawn(*sim, {.argv = {"/bin/sleep", "1000"}}, [](const ExitStatus&) {});
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().code, Code::kUnimplemented);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

TEST_F(ProcessTest, OurOwnStartTimeIsKnown) {
  auto mine = process_start_time(::getpid());
  ASSERT_TRUE(mine);
  EXPECT_GT(*mine, 0u);
  EXPECT_FALSE(process_start_time(0x3fffffff));
}

}  // namespace
}  // namespace colony::async::test
