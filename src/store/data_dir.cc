#include "store/data_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace colony::store {
namespace {

class Lock : public DataDirLock {
 public:
  explicit Lock(int fd) : fd_(fd) {}
  ~Lock() override { ::close(fd_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int fd_;
};

std::string holder(int fd) {
  char text[32] = {};
  const ssize_t n = ::pread(fd, text, sizeof text - 1, 0);
  std::string pid(text, n > 0 ? static_cast<size_t>(n) : 0);
  while (!pid.empty() && (pid.back() == '\n' || pid.back() == ' ')) pid.pop_back();
  return pid.empty() ? "another process" : "process " + pid;
}

}  // namespace

Result<std::unique_ptr<DataDirLock>> lock_data_dir(const std::string& dir, const std::string& name) {
  std::error_code ec;
  std::filesystem::create_directories(dir, ec);
  if (ec) return fail(errno_error(fmt::format("cannot make the data directory {}", dir), ec.value()));
  ::chmod(dir.c_str(), 0700);  // what others own stays as it is; opening the file below tells
  const std::string path = dir + "/" + name;
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return fail(errno_error(fmt::format("cannot write to the data directory {}", dir), errno));
  auto lock = std::make_unique<Lock>(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      return fail(failed_precondition(
          fmt::format("the data directory {} is in use by {}; stop it (colony down) or give another --data-dir", dir,
                      holder(fd)),
          "data_dir_in_use"));
    return fail(errno_error("cannot lock " + path, errno));
  }
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    return fail(errno_error(fmt::format("cannot write to the data directory {}", dir), errno == 0 ? ENOSPC : errno));
  return lock;
}

}  // namespace colony::store
