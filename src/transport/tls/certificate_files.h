// Keeps the server's certificates in step with their files: a pair that was replaced is in use a moment later, one that is
// broken is said, tried again and the old one stays. Watched by inotify on the folders (so a file that is renamed over, and the link
// swaps of Kubernetes, are seen), and looked at every ten seconds for what inotify cannot see (network file systems, a
// link's target elsewhere). Any number of loops may use what it hands out.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "async/loop.h"
#include "transport/tls/context.h"

namespace colony::tls {

enum class Reload : uint8_t { kDone, kFailed };  // kFailed: what was there before stays in use

// Lives on its loop, where it also reads: small files. Destroyed before the loop.
class CertificateFiles {
 public:
  using ReloadFn = std::function<void(Reload)>;
  // The first reading; its error is final. `on_reload` comes for every change that was seen later.
  static Result<std::unique_ptr<CertificateFiles>> open(async::Loop& loop, Files files, ReloadFn on_reload);
  ~CertificateFiles();
  CertificateFiles(const CertificateFiles&) = delete;
  CertificateFiles& operator=(const CertificateFiles&) = delete;

  const std::shared_ptr<const ServerContext>& current() const { return current_; }

 private:
  CertificateFiles(async::Loop& loop, Files files, ReloadFn on_reload);
  void watch_folders();
  void folders_changed();
  void look();
  std::string fingerprint() const;  // changes when a file is written, replaced or linked elsewhere

  async::Loop& loop_;
  const Files files_;
  ReloadFn on_reload_;
  std::shared_ptr<const ServerContext> current_;
  std::string seen_;     // fingerprint of what was read last, well or not
  std::string failure_;  // of the last reading; empty: it went well
  int inotify_ = -1;
  std::unique_ptr<async::FdWatch> watch_;
  async::Timer timer_;
};

}  // namespace colony::tls
