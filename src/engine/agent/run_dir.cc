// See run_dir.h.
#include "engine/agent/run_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "engine/agent/file.h"

namespace colony::engine {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kMaxSocketPath = 100;               // sun_path holds 108 with its NUL
constexpr size_t kMaxTailBytes = 1024 * 1024;        // LIMIT: of one answer with log lines
constexpr size_t kMaxEpochBytes = 16 * 1024 * 1024;  // LIMIT

// FNV-1a: names short folders, guards nothing.
std::string short_hash(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return fmt::format("{:016x}", h);
}

// Where sockets go whose path would be too long beside their actor's folder.
std::string short_root() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const std::string base =
      runtime != nullptr && runtime[0] == '/' && std::string_view(runtime).size() < 40 ? runtime : "/tmp";
  return fmt::format("{}/colony-{}", base, ::geteuid());
}

std::string tail_of(const std::string& path, size_t bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return {};
  std::string out;
  if (const off_t end = ::lseek(fd, 0, SEEK_END); end > 0) {
    const auto take = std::min(static_cast<size_t>(end), bytes);
    out.resize(take);
    const ssize_t n = ::pread(fd, out.data(), take, end - static_cast<off_t>(take));
    out.resize(n > 0 ? static_cast<size_t>(n) : 0);
    if (static_cast<size_t>(end) > take) {
      const size_t line = out.find('\n');  // begin with a whole line
      out.erase(0, line == std::string::npos ? 0 : line + 1);
    }
  }
  ::close(fd);
  return out;
}

std::string rotated(const std::string& log, int n) { return fmt::format("{}.{}", log, n); }

}  // namespace

std::vector<std::string> last_lines(std::string_view text, size_t lines) {
  std::vector<std::string> out;
  if (text.ends_with('\n')) text.remove_suffix(1);
  while (out.size() < lines && !text.empty()) {
    const size_t at = text.rfind('\n');
    out.emplace_back(at == std::string_view::npos ? text : text.substr(at + 1));
    text = at == std::string_view::npos ? std::string_view() : text.substr(0, at);
  }
  std::ranges::reverse(out);
  return out;
}

RunDir::~RunDir() { ::close(lock_); }

Result<std::unique_ptr<RunDir>> RunDir::open(std::string run, std::string logs, LogOptions options) {
  if (!run.starts_with('/') || !logs.starts_with('/')) {
    return fail(invalid_argument(fmt::format("'{}' and '{}': both folders must be absolute", run, logs)));
  }
  TRY_VOID(make_private_folder(run));
  TRY_VOID(make_private_folder(logs));
  const std::string path = run + "/agent.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return fail(errno_error("open " + path, errno));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int err = errno;
    ::close(fd);
    if (err == EWOULDBLOCK) {
      return fail(already_exists(fmt::format("another agent uses {}: stop it, or give another data dir", run),
                                 "run_dir_in_use"));
    }
    return fail(errno_error("lock " + path, err));
  }
  return std::unique_ptr<RunDir>(new RunDir(std::move(run), std::move(logs), options, fd));
}

Result<Fences> RunDir::read_epochs() const {
  Fences fences;
  auto text = read_file(run_ + "/epochs.json", kMaxEpochBytes);
  if (!text && text.error().code == Code::kNotFound) return fences;
  if (!text) return fail(std::move(text).error());
  try {
    for (const auto& [owner, epoch] : Json::parse(*text).items()) fences.restore(owner, epoch.get<uint64_t>());
  } catch (const Json::exception& e) {
    return fail(data_loss(fmt::format("{}/epochs.json cannot be read: {}", run_, e.what()), "bad_epochs"));
  }
  return fences;
}

Result<void> RunDir::write_epochs(const Fences& fences) const {
  Json j = Json::object();
  for (const auto& [owner, epoch] : fences.highest()) j[owner] = epoch;
  return write_file_atomic(run_ + "/epochs.json", j.dump(), Sync::kYes);
}

std::string RunDir::folder(std::string_view actor) const { return fmt::format("{}/{}", run_, actor); }
std::string RunDir::log_path(std::string_view actor) const { return fmt::format("{}/{}.log", logs_, actor); }

std::vector<std::string> RunDir::actors() const {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator it(run_, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored) && !it->is_symlink(ignored) && check_id(it->path().filename().string())) {
      out.push_back(it->path().filename().string());
    }
  }
  std::ranges::sort(out);
  return out;
}

Result<std::string> socket_path(const std::string& run, const std::string& wanted) {
  if (wanted.size() <= kMaxSocketPath) return wanted;
  const std::string root = short_root();
  TRY_VOID(make_private_folder(root));
  const std::string mine = fmt::format("{}/{}", root, short_hash(run));
  TRY_VOID(make_private_folder(mine));
  return fmt::format("{}/{}.sock", mine, short_hash(wanted));
}

Result<void> RunDir::prepare(ActorRecord& record) const {
  const std::string home = folder(record.spec.id);
  TRY_VOID(make_private_folder(home));
  record.log = log_path(record.spec.id);
  TRY(record.socket, socket_path(run_, home + "/sock"));
  return {};
}

void RunDir::forget(const std::string& actor, const std::string& socket) const {
  ::unlink(socket.c_str());
  remove_tree(folder(actor));
  if (!socket.starts_with(run_)) {
    // Empty folders only: rmdir refuses the others.
    const fs::path mine = fs::path(socket).parent_path();
    if (::rmdir(mine.c_str()) == 0) ::rmdir(mine.parent_path().c_str());
  }
  sweep_logs();
}

bool RunDir::has_log(std::string_view actor) const { return ::access(log_path(actor).c_str(), F_OK) == 0; }

std::string RunDir::tail_log(std::string_view actor, size_t lines) const {
  const std::string log = log_path(actor);
  std::string text;
  for (int n = 0; n <= options_.max_rotated && text.size() < kMaxTailBytes; ++n) {
    text.insert(0, tail_of(n == 0 ? log : rotated(log, n), kMaxTailBytes - text.size()));
    if (static_cast<size_t>(std::ranges::count(text, '\n')) >= lines) break;
  }
  std::string out;
  for (const auto& line : last_lines(text, lines)) out += line + "\n";
  return out;
}

void RunDir::rotate_log(std::string_view actor) const {
  const std::string log = log_path(actor);
  struct stat s{};
  if (::stat(log.c_str(), &s) != 0 || static_cast<size_t>(s.st_size) <= options_.max_bytes) return;
  std::error_code error;
  for (int n = options_.max_rotated; n > 1; --n) fs::rename(rotated(log, n - 1), rotated(log, n), error);
  if (options_.max_rotated > 0) fs::copy_file(log, rotated(log, 1), fs::copy_options::overwrite_existing, error);
  if (error) LOG(warn, "rotate {}: {}", log, error.message());
  if (::truncate(log.c_str(), 0) != 0) LOG(warn, "truncate {}: errno {}", log, errno);
}

void RunDir::sweep_logs() const {
  std::vector<std::pair<fs::file_time_type, fs::path>> ended;
  std::error_code error;
  for (fs::directory_iterator it(logs_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const size_t cut = name.rfind(".log");
    // The house's own logs are few and never swept.
    if (cut == std::string::npos || name.starts_with("colony.") ||
        ::access(record_path(folder(name.substr(0, cut))).c_str(), F_OK) == 0)
      continue;
    std::error_code ignored;
    ended.emplace_back(it->last_write_time(ignored), it->path());
  }
  if (ended.size() <= options_.max_ended) return;
  std::ranges::sort(ended);
  for (size_t i = 0; i < ended.size() - options_.max_ended; ++i) fs::remove(ended[i].second, error);
}

}  // namespace colony::engine
