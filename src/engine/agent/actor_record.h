// What an agent writes down about one actor, RUN/ID/actor.json: read by the actor's process at its start and by the next
// agent when it adopts. Written whole to a temporary file and renamed, so a reader sees the old or the new one.
// Not synced to disk: after a loss of power no process of it lives, and an unreadable one is swept.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "engine/contract.h"

namespace colony::engine {

struct ActorRecord {
  ActorSpec spec;
  Fence fence;  // under which it was reserved
  std::string node;
  std::string cookie;        // of this incarnation; whoever knows it is this actor
  uint64_t incarnation = 0;  // 0: never started
  int64_t pid = 0;           // 0: none, or it was being started when the agent died
  uint64_t start_time = 0;   // field 22 of /proc/PID/stat
  std::string socket;        // path of the unix socket that the process serves
  std::string log;           // path of its output
  std::string last_exit;
  bool started = false;   // start() was called: it is to run
  bool stopping = false;  // stop() was called: it is to end
};

std::string record_path(const std::string& folder);  // "FOLDER/actor.json"
Result<void> write_record(const std::string& folder, const ActorRecord& record);
Result<ActorRecord> read_record(const std::string& folder);

// RUN/ID/lock is held by the actor's process for as long as it lives (fcntl, so the kernel knows by whom): two
// incarnations never run at once, and a process whose pid nobody wrote down is still found.
class ActorLock {
 public:
  ~ActorLock();
  ActorLock(ActorLock&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  ActorLock& operator=(ActorLock&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  // kAlreadyExists when another process holds it. One per process and folder: a second open would drop the lock.
  static Result<ActorLock> take(const std::string& folder);
  // Who holds it; nullopt: nobody. Not for use in the process that holds it.
  static std::optional<pid_t> holder(const std::string& folder);

 private:
  explicit ActorLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace colony::engine
