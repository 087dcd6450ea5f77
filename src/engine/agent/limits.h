// The memory limit of an actor's process: a cgroup (v1 or v2) of its own where we may write one, else RLIMIT_DATA. Only
// actors that ask for memory are limited; cpus are accounted, not limited. Blocking, a few small files.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace colony::engine {

class Limits {
 public:
  // `root`: the folder under which cgroups are made; empty: ours is looked up in /proc/self/cgroup. `scope` keeps the
  // cgroups of two agents apart.
  explicit Limits(std::string scope, std::string root = {});
  // How the limit is held: "cgroup" or "rlimit".
  Result<std::string> apply(const std::string& actor, pid_t pid, uint64_t memory) const;
  // "; over its memory limit of 512 MiB" when the kernel ended something in the actor's cgroup for that, else empty.
  std::string death_note(const std::string& actor, uint64_t memory) const;
  void remove(const std::string& actor) const;  // after the process has ended
  const std::string& root() const { return root_; }

 private:
  std::string folder(const std::string& actor) const;
  Result<void> apply_cgroup(const std::string& actor, pid_t pid, uint64_t memory) const;

  std::string scope_, root_;
  bool v2_ = false;
};

}  // namespace colony::engine
