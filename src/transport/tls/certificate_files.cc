// See certificate_files.h.
#include "transport/tls/certificate_files.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <set>
#include <utility>

#include "base/log.h"

namespace colony::tls {
namespace {

constexpr Duration kSettle = 200ms;  // certificate and key are written one after the other
constexpr Duration kLookAnyway = 10s;

std::string in_words(const ServerContext& context) {
  return fmt::format("{}, good {} {:%Y-%m-%d}", context.subject(),
                     context.expires() == WallTime::max() ? "beyond" : "until",
                     std::chrono::floor<std::chrono::seconds>(context.expires()));
}

}  // namespace

CertificateFiles::CertificateFiles(async::Loop& loop, Files files, ReloadFn on_reload)
    : loop_(loop), files_(std::move(files)), on_reload_(std::move(on_reload)), timer_(loop, [this] { look(); }) {}

CertificateFiles::~CertificateFiles() {
  watch_.reset();
  if (inotify_ >= 0) ::close(inotify_);
}

Result<std::unique_ptr<CertificateFiles>> CertificateFiles::open(async::Loop& loop, Files files, ReloadFn on_reload) {
  std::unique_ptr<CertificateFiles> out(new CertificateFiles(loop, std::move(files), std::move(on_reload)));
  out->watch_folders();  // before the first reading: a change meanwhile is seen
  out->seen_ = out->fingerprint();
  TRY(out->current_, ServerContext::load(out->files_));
  LOG(info, "TLS certificate: {}", in_words(*out->current_));
  out->timer_.arm_after(kLookAnyway);
  return out;
}

// Without inotify (none left, or a loop that watches no descriptors) the slow look remains.
void CertificateFiles::watch_folders() {
  inotify_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (inotify_ < 0) return;
  std::set<std::string> folders;
  for (const std::string* file : {&files_.cert, &files_.key, &files_.client_ca})
    if (!file->empty()) folders.insert(std::filesystem::path(*file).parent_path().string());
  for (const auto& folder : folders)
    ::inotify_add_watch(inotify_, folder.empty() ? "." : folder.c_str(),
                        IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ATTRIB);
  auto watch = loop_.watch_fd(inotify_, [this] { folders_changed(); });
  if (watch) watch_ = std::move(*watch);
}

void CertificateFiles::folders_changed() {
  std::array<char, 4096> events;
  while (::read(inotify_, events.data(), events.size()) > 0) continue;
  if (timer_.at() > loop_.now() + kSettle) timer_.arm_after(kSettle);
}

std::string CertificateFiles::fingerprint() const {
  std::string out;
  for (const std::string* file : {&files_.cert, &files_.key, &files_.client_ca}) {
    struct stat s{};
    if (file->empty() || ::stat(file->c_str(), &s) != 0) {
      out += "-;";
      continue;
    }
    out += fmt::format("{}.{}.{}.{}.{}.{}.{}.{:o}.{};", s.st_dev, s.st_ino, s.st_size, s.st_mtim.tv_sec,
                       s.st_mtim.tv_nsec, s.st_ctim.tv_sec, s.st_ctim.tv_nsec, s.st_mode, s.st_uid);
  }
  return out;
}

void CertificateFiles::look() {
  timer_.arm_after(kLookAnyway);
  std::string now = fingerprint();
  const bool changed = now != seen_;
  // WHY again what has failed: the reason may pass without a trace in the files (no descriptor was free, a folder was closed).
  if (!changed && failure_.empty()) return;
  seen_ = std::move(now);
  auto context = ServerContext::load(files_);
  if (!context) {
    if (std::exchange(failure_, context.error().message) == context.error().message && !changed) return;
    LOG(warn, "TLS certificate: the files have changed and are not taken, the old one stays: {}",
        context.error().message);
    on_reload_(Reload::kFailed);
    return;
  }
  failure_.clear();
  current_ = std::move(*context);
  LOG(info, "TLS certificate: read again: {}", in_words(*current_));
  on_reload_(Reload::kDone);
}

}  // namespace colony::tls
