// Child processes on a loop: spawn with a clean environment, learn of the death within milliseconds (pidfd). Also for
// processes that are not our children (adopted ones), whose exit status nobody can know.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/loop.h"

namespace colony::async {

struct SpawnOptions {
  std::vector<std::string> argv;         // argv[0] is the file to execute, absolute
  std::vector<std::string> env;          // the whole environment, "NAME=value"
  std::string cwd;                       // empty: unchanged
  std::string stdout_path, stderr_path;  // opened O_APPEND|O_CREAT 0600; empty: inherited
  bool new_session = true;               // setsid: signals to the parent's group do not reach it
  bool die_with_parent = false;          // PDEATHSIG SIGKILL; the kernel means the thread that calls spawn()
  std::vector<int> inherit;              // become 3, 4, ... in the child, in this order
  int nofile = 0;                        // RLIMIT_NOFILE to set, 0: unchanged
};

struct ExitStatus {
  bool known = false;        // false: the process was not our child
  int code = 0;              // exit code, when it exited
  int signal = 0;            // the signal that ended it, or 0
  std::string text() const;  // "exit code 3", "killed by signal 9 (SIGKILL)", "ended (not our child)"
};

class Process {
 public:
  virtual ~Process() = default;  // forgets it; never kills
  virtual pid_t pid() const = 0;
  virtual void signal(int signo) = 0;  // through the pidfd: never hits a reused pid
  virtual bool alive() const = 0;
};

using ExitFn = std::function<void(const ExitStatus&)>;
// Descriptors other than 0 (always /dev/null), 1, 2 and those of `inherit` are not inherited; signal mask and dispositions are the defaults.
// Returns when the program has replaced the child, or with the reason why it could not. The end of a Process object that
// was dropped before its child ended is not reaped: keep it.
Result<std::unique_ptr<Process>> spawn(Loop& loop, const SpawnOptions& options, ExitFn on_exit);
// kNotFound when no such process exists or its start time (field 22 of /proc/PID/stat) differs.
Result<std::unique_ptr<Process>> adopt(Loop& loop, pid_t pid, uint64_t start_time, ExitFn on_exit);
Result<uint64_t> process_start_time(pid_t pid);

}  // namespace colony::async
