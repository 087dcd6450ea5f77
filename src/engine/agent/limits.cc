// See limits.h.
#include "engine/agent/limits.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>

#include "base/log.h"
#include "engine/agent/file.h"

namespace colony::engine {
namespace {

constexpr size_t kSmallFile = 64 * 1024;

Result<void> put(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error("open " + path, errno));
  const ssize_t n = ::write(fd, text.data(), text.size());
  const int err = errno;
  ::close(fd);
  if (n != static_cast<ssize_t>(text.size())) return fail(errno_error("write " + path, err));
  return {};
}

// Path of our own cgroup in the hierarchy that limits memory; empty when there is none.
std::string own_cgroup(bool* v2) {
  const auto text = read_file("/proc/self/cgroup", kSmallFile);
  if (!text) return {};
  std::string unified;
  for (size_t at = 0; at < text->size();) {
    const size_t end = std::min(text->find('\n', at), text->size());
    const std::string_view line = std::string_view(*text).substr(at, end - at);
    at = end + 1;
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string path(line.substr(second + 1) == "/" ? "" : line.substr(second + 1));
    if (fmt::format(",{},", controllers).find(",memory,") != std::string::npos) {
      *v2 = false;
      return "/sys/fs/cgroup/memory" + path;
    }
    if (controllers.empty()) unified = "/sys/fs/cgroup" + path;
  }
  *v2 = true;
  return ::access((unified + "/cgroup.controllers").c_str(), R_OK) == 0 ? unified : std::string();
}

// The number after `key` in a file of "key number" lines; 0 if absent.
uint64_t counter(const std::string& path, std::string_view key) {
  const auto text = read_file(path, kSmallFile);
  if (!text) return 0;
  const size_t at = text->find(fmt::format("{} ", key));
  if (at == std::string::npos || (at > 0 && (*text)[at - 1] != '\n')) return 0;
  uint64_t n = 0;
  std::from_chars(text->data() + at + key.size() + 1, text->data() + text->size(), n);
  return n;
}

}  // namespace

Limits::Limits(std::string scope, std::string root) : scope_(std::move(scope)), root_(std::move(root)) {
  if (root_.empty()) {
    root_ = own_cgroup(&v2_);
  } else {
    v2_ = ::access((root_ + "/cgroup.controllers").c_str(), F_OK) == 0;
  }
}

std::string Limits::folder(const std::string& actor) const {
  return fmt::format("{}/colony-{}-{}", root_, scope_, actor);
}

Result<void> Limits::apply_cgroup(const std::string& actor, pid_t pid, uint64_t memory) const {
  if (root_.empty()) return fail(not_found("no cgroup that limits memory"));
  const std::string home = folder(actor);
  // Without it a v2 child has no memory.max; it is refused where our own cgroup holds processes.
  if (v2_) {
    if (auto allowed = put(root_ + "/cgroup.subtree_control", "+memory"); !allowed)
      LOG(debug, "{}", allowed.error().message);
  }
  if (::mkdir(home.c_str(), 0755) != 0 && errno != EEXIST) return fail(errno_error("make " + home, errno));
  auto done = put(home + (v2_ ? "/memory.max" : "/memory.limit_in_bytes"), std::to_string(memory));
  if (done) done = put(home + "/cgroup.procs", std::to_string(pid));
  if (!done) ::rmdir(home.c_str());
  return done;
}

Result<std::string> Limits::apply(const std::string& actor, pid_t pid, uint64_t memory) const {
  const auto limited = apply_cgroup(actor, pid, memory);
  if (limited) return "cgroup";
  const rlimit data{memory, memory};
  if (::prlimit(pid, RLIMIT_DATA, &data, nullptr) != 0) return fail(errno_error("limit the memory of " + actor, errno));
  LOG(debug, "{} has an rlimit and no cgroup: {}", actor, limited.error().message);
  return "rlimit";
}

std::string Limits::death_note(const std::string& actor, uint64_t memory) const {
  if (memory == 0 || root_.empty()) return {};
  const std::string home = folder(actor);
  const uint64_t kills = counter(home + (v2_ ? "/memory.events" : "/memory.oom_control"), "oom_kill");
  return kills == 0 ? std::string() : fmt::format("; over its memory limit of {} MiB", memory >> 20);
}

void Limits::remove(const std::string& actor) const {
  if (root_.empty()) return;
  const std::string home = folder(actor);
  if (::rmdir(home.c_str()) != 0 && errno != ENOENT) LOG(warn, "remove {}: errno {}", home, errno);
}

}  // namespace colony::engine
