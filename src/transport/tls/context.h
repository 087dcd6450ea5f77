// The certificate, key and client authorities that a server shows and asks for, read once and never changed: a reload
// makes a new one (certificate_files.h), and connections that are open keep the one that they began with.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/time.h"

struct ssl_ctx_st;

namespace colony::tls {

// Paths of PEM files. `client_ca` empty: clients are not asked for a certificate.
struct Files {
  std::string cert;  // the server's certificate, then what leads to its authority
  std::string key;   // not encrypted
  std::string client_ca;
  bool empty() const { return cert.empty(); }
};

// TLS 1.2 and 1.3, forward secrecy and authenticated ciphers only, no renegotiation, no compression, no early data.
// Sessions are resumed by tickets (nothing is kept here per client), for ten minutes and only under the same context.
// Shared by loops on several threads.
class ServerContext {
 public:
  // kInvalidArgument names the setting, the file and what is wrong with it.
  static Result<std::shared_ptr<const ServerContext>> load(const Files& files);
  ~ServerContext();
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  const std::string& subject() const { return subject_; }  // of the server's certificate
  WallTime expires() const { return expires_; }            // of the server's certificate
  bool asks_clients() const { return asks_clients_; }
  ssl_ctx_st* get() const { return context_; }

 private:
  ServerContext() = default;
  Result<void> read(const Files& files);
  ssl_ctx_st* context_ = nullptr;
  std::string subject_;
  WallTime expires_{};
  bool asks_clients_ = false;
};

}  // namespace colony::tls
