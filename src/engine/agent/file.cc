// See file.h.
#include "engine/agent/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/log.h"

namespace colony::engine {
namespace {

Result<void> write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(errno_error("write " + path, n < 0 ? errno : EIO));
    text.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

void sync_folder_of(const std::string& path) {
  const int fd = ::open(std::filesystem::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

Result<std::string> read_file(const std::string& path, size_t max_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail(errno_error("open " + path, errno));
  std::string out;
  char chunk[16 * 1024];
  for (;;) {
    const ssize_t n = ::read(fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int err = errno;
      ::close(fd);
      return fail(errno_error("read " + path, err));
    }
    if (n == 0) break;
    out.append(chunk, static_cast<size_t>(n));
    if (out.size() > max_bytes) {
      ::close(fd);
      return fail(data_loss(fmt::format("{} has more than {} bytes", path, max_bytes), "file_too_large"));
    }
  }
  ::close(fd);
  return out;
}

Result<void> write_file_atomic(const std::string& path, std::string_view text, Sync sync) {
  const std::string temporary = path + ".new";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return fail(errno_error("write " + temporary, errno));
  auto written = write_all(fd, text, temporary);
  if (written && sync == Sync::kYes && ::fdatasync(fd) != 0) written = fail(errno_error("sync " + temporary, errno));
  ::close(fd);
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0)
    written = fail(errno_error("rename " + temporary, errno));
  if (!written) {
    ::unlink(temporary.c_str());
    return written;
  }
  if (sync == Sync::kYes) sync_folder_of(path);
  return {};
}

Result<void> make_private_folder(const std::string& path) {
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  if (::mkdir(path.c_str(), 0700) == 0) return {};
  if (errno != EEXIST) return fail(errno_error("make the folder " + path, errno));
  struct stat s{};
  if (::lstat(path.c_str(), &s) != 0) return fail(errno_error("look at " + path, errno));
  if (!S_ISDIR(s.st_mode)) return fail(already_exists(fmt::format("{} is in the way: it is no folder", path)));
  if (s.st_uid != ::geteuid()) {
    return fail(failed_precondition(fmt::format("{} belongs to user {}, not to us ({})", path, s.st_uid, ::geteuid())));
  }
  if ((s.st_mode & 077) != 0 && ::chmod(path.c_str(), 0700) != 0)
    return fail(errno_error("close " + path + " to others", errno));
  return {};
}

void remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) LOG(warn, "remove {}: {}", path, error.message());
}

}  // namespace colony::engine
