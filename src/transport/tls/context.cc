// See context.h.
#include "transport/tls/context.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <ctime>

#include "transport/tls/openssl.h"

namespace colony::tls {
namespace {

constexpr long kTicketSeconds = 600;
constexpr long kMaxPeerChain = 32 * 1024;  // LIMIT: bytes of a client's certificates
constexpr size_t kMaxSubject = 1024;       // LIMIT: bytes of a subject as text
constexpr unsigned char kSessionContext[] = "colony";

// TLS 1.2; those of 1.3 are all good. HTTP/2 (RFC 9113, 9.2.2) refuses everything else.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";

constexpr unsigned char kOurs[] = "\x02h2\x08http/1.1";

// The client's list, in our order. A client that offers none of ours gets the alert that says so (RFC 7301, 3.2).
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                    unsigned int offered_size, void*) {
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kOurs, sizeof kOurs - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// WHY: without it OpenSSL asks on the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

// Said in the words of the operating system; OpenSSL's are "no such file" for everything.
Result<void> readable(std::string_view setting, const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    Error e = errno_error(fmt::format("{} {}: cannot be read", setting, path), errno);
    e.code = Code::kInvalidArgument;
    e.reason = "bad_certificate";
    return fail(std::move(e));
  }
  ::close(fd);
  return {};
}

Error wrong(std::string_view setting, const std::string& path, std::string_view what) {
  return invalid_argument(fmt::format("{} {}: {} ({})", setting, path, what, last_error("no more is known")),
                          "bad_certificate");
}

// A certificate may last longer than WallTime does: 99991231235959Z says that it has no end (RFC 5280, 4.1.2.5).
WallTime wall_time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return WallTime::max();
  const std::chrono::sys_seconds at{std::chrono::seconds(::timegm(&parts))};
  if (at > std::chrono::floor<std::chrono::seconds>(WallTime::max())) return WallTime::max();
  if (at < std::chrono::ceil<std::chrono::seconds>(WallTime::min())) return WallTime::min();
  return at;
}

}  // namespace

std::string last_error(std::string_view otherwise) {
  const unsigned long code = ERR_peek_error();
  const char* text = code ? ERR_reason_error_string(code) : nullptr;
  ERR_clear_error();
  return text ? text : std::string(otherwise);
}

std::string subject_of(const X509& certificate) {
  BIO* out = BIO_new(BIO_s_mem());
  X509_NAME_print_ex(out, X509_get_subject_name(&certificate), 0, XN_FLAG_RFC2253);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out, &text);
  std::string subject(text, static_cast<size_t>(std::max(size, 0L)));
  BIO_free(out);
  if (subject.size() > kMaxSubject) subject.resize(kMaxSubject);
  return subject;
}

ServerContext::~ServerContext() { SSL_CTX_free(context_); }

Result<std::shared_ptr<const ServerContext>> ServerContext::load(const Files& files) {
  std::shared_ptr<ServerContext> out(new ServerContext);
  TRY_VOID(out->read(files));
  return out;
}

Result<void> ServerContext::read(const Files& files) {
  TRY_VOID(readable("tls_cert", files.cert));
  TRY_VOID(readable("tls_key", files.key));
  ERR_clear_error();
  context_ = SSL_CTX_new(TLS_server_method());
  if (context_ == nullptr) return fail(internal_error("TLS cannot be set up: " + last_error("out of memory")));
  SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
  SSL_CTX_set_options(context_, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // An idle connection gives its record buffers back; what is given to write may move between calls.
  SSL_CTX_set_mode(context_,
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_cipher_list(context_, kCiphers);
  SSL_CTX_set_alpn_select_cb(context_, choose_protocol, nullptr);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(context_, kSessionContext, sizeof kSessionContext - 1);
  SSL_CTX_set_timeout(context_, kTicketSeconds);
  SSL_CTX_set_num_tickets(context_, 1);
  SSL_CTX_set_max_cert_list(context_, kMaxPeerChain);
  SSL_CTX_set_default_passwd_cb(context_, no_passphrase);

  if (SSL_CTX_use_certificate_chain_file(context_, files.cert.c_str()) != 1)
    return fail(wrong("tls_cert", files.cert, "is no certificate in PEM form"));
  if (SSL_CTX_use_PrivateKey_file(context_, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const bool other = ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH;
    return fail(wrong("tls_key", files.key,
                      other ? fmt::format("does not belong to the certificate in {}", files.cert)
                            : std::string("is no private key in PEM form without a passphrase")));
  }
  if (SSL_CTX_check_private_key(context_) != 1)
    return fail(wrong("tls_key", files.key, fmt::format("does not belong to the certificate in {}", files.cert)));
  const X509* own = SSL_CTX_get0_certificate(context_);
  subject_ = subject_of(*own);
  expires_ = wall_time_of(X509_get0_notAfter(own));

  if (files.client_ca.empty()) return {};
  TRY_VOID(readable("tls_client_ca", files.client_ca));
  STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(files.client_ca.c_str());
  if (names == nullptr || SSL_CTX_load_verify_file(context_, files.client_ca.c_str()) != 1) {
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return fail(wrong("tls_client_ca", files.client_ca, "holds no certificate in PEM form"));
  }
  SSL_CTX_set_client_CA_list(context_, names);
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  asks_clients_ = true;
  return {};
}

}  // namespace colony::tls
