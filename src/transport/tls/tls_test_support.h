// For the tests of TLS: an authority that makes certificates, and a client that is OpenSSL over two memory BIOs on a
// simulated loop, so that a test sees and shapes every byte. It shares no code with tls/stream.cc. Not part of the library.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <fstream>
#include <memory>
#include <string>

#include "async/sim_loop.h"
#include "base/check.h"
#include "transport/tls/context.h"

namespace colony::tls::testing {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

// A key and its certificate; with an issuer, signed by it.
struct Identity {
  explicit Identity(const std::string& name, const Identity* issuer = nullptr)
      : key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), EVP_PKEY_free), certificate(X509_new(), X509_free) {
    X509* c = certificate.get();
    static long serial = 1;
    X509_set_version(c, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(c), -3600);
    X509_gmtime_adj(X509_getm_notAfter(c), 86400);
    X509_set_pubkey(c, key.get());
    X509_NAME* subject = X509_get_subject_name(c);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()), -1,
                               -1, 0);
    X509_set_issuer_name(c, issuer ? X509_get_subject_name(issuer->certificate.get()) : subject);
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer ? issuer->certificate.get() : c, c, nullptr, nullptr, 0);
    add(context, NID_basic_constraints, issuer ? "CA:FALSE" : "critical,CA:TRUE");
    if (issuer) add(context, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    X509_sign(c, issuer ? issuer->key.get() : key.get(), EVP_sha256());
  }
  void add(X509V3_CTX& context, int what, const char* value) {
    X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, &context, what, value);
    X509_add_ext(certificate.get(), e, -1);
    X509_EXTENSION_free(e);
  }
  std::string certificate_pem() const {
    return pem([this](BIO* out) { PEM_write_bio_X509(out, certificate.get()); });
  }
  std::string key_pem() const {
    return pem([this](BIO* out) { PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr); });
  }
  template <class Write>
  static std::string pem(Write write) {
    BIO* out = BIO_new(BIO_s_mem());
    write(out);
    char* text = nullptr;
    const long size = BIO_get_mem_data(out, &text);
    std::string s(text, static_cast<size_t>(size));
    BIO_free(out);
    return s;
  }
  Key key;
  Certificate certificate;
};

inline void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

// Files of a server whose authority is `ca`, in `folder`; with `clients`, it asks clients for a certificate of theirs.
inline Files write_files(const std::string& folder, const Identity& server, const Identity* clients = nullptr) {
  Files files{folder + "/cert.pem", folder + "/key.pem", clients ? folder + "/clients.pem" : ""};
  write_file(files.cert, server.certificate_pem());
  write_file(files.key, server.key_pem());
  if (clients) write_file(files.client_ca, clients->certificate_pem());
  return files;
}

struct ClientOptions {
  std::string alpn;  // in wire form: "\x02h2\x08http/1.1"
  const Identity* certificate = nullptr;
  int max_version = TLS1_3_VERSION;
  int min_version = TLS1_VERSION;
  SSL_SESSION* session = nullptr;
  std::string server_name;
};

class TestClient final : public async::StreamHandler {
 public:
  TestClient(async::SimLoop& loop, const async::Endpoint& to, const ClientOptions& options = {})
      : loop_(loop), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_security_level(context_, 0);  // old versions are offered, so that they can be refused
    SSL_CTX_set_min_proto_version(context_, options.min_version);
    SSL_CTX_set_max_proto_version(context_, options.max_version);
    if (options.certificate) {
      SSL_CTX_use_certificate(context_, options.certificate->certificate.get());
      SSL_CTX_use_PrivateKey(context_, options.certificate->key.get());
    }
    ssl = SSL_new(context_);
    if (!options.alpn.empty())
      SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(options.alpn.data()),
                          static_cast<unsigned>(options.alpn.size()));
    if (options.session) SSL_set_session(ssl, options.session);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    loop.connect(to, Deadline::never(), [this](Result<std::unique_ptr<async::Stream>> s) {
      CHECK(s.has_value());
      stream = std::move(*s);
      stream->set_handler(this);
      step();
    });
    loop.run_until([this] { return stream != nullptr; }, 1s);
  }
  ~TestClient() override {
    stream.reset();
    SSL_free(ssl);
    SSL_CTX_free(context_);
  }

  // Until the handshake is done or has failed; true: done.
  bool handshake(Duration limit = 5s) {
    loop_.run_until([this] { return ready || failed || gone(); }, limit);
    return ready;
  }
  void send(std::string_view data) {
    unsent += data;
    step();
  }
  void end() {  // close_notify
    SSL_shutdown(ssl);
    flush();
  }
  std::string wire() {  // what send() and friends have produced, when `held`
    return std::exchange(held_bytes, {});
  }
  bool gone() const { return closed || ended; }
  std::string protocol() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl, &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }

  size_t on_bytes(std::string_view data) override {
    BIO_write(SSL_get_rbio(ssl), data.data(), static_cast<int>(data.size()));
    raw += data;
    step();
    return data.size();
  }
  void on_end() override { ended = true; }
  void on_closed(const Error&) override { closed = true; }

  SSL* ssl = nullptr;
  std::unique_ptr<async::Stream> stream;
  std::string text, raw, unsent, held_bytes, why;
  bool ready = false, failed = false;
  bool notified = false;               // the server's close_notify
  bool ended = false, closed = false;  // of the stream below
  bool hold = false;                   // what is to leave goes to held_bytes

 private:
  void step() {
    ERR_clear_error();
    if (!ready && !failed) {
      const int rc = SSL_do_handshake(ssl);
      if (rc == 1)
        ready = true;
      else
        note(rc);
    }
    if (ready && !unsent.empty()) {
      SSL_write(ssl, unsent.data(), static_cast<int>(unsent.size()));
      unsent.clear();
    }
    flush();
    char piece[16384];
    for (int n; ready && !failed && !notified;) {
      n = SSL_read(ssl, piece, sizeof piece);
      if (n <= 0) {
        note(n);
        break;
      }
      text.append(piece, static_cast<size_t>(n));
    }
    flush();
  }
  void note(int rc) {
    const int what = SSL_get_error(ssl, rc);
    if (what == SSL_ERROR_WANT_READ) return;
    if (what == SSL_ERROR_ZERO_RETURN) {
      notified = true;
      return;
    }
    failed = true;
    const char* reason = ERR_reason_error_string(ERR_peek_error());
    why = reason ? reason : "?";
  }
  void flush() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(ssl), &data);
    if (size <= 0) return;
    const std::string bytes(data, static_cast<size_t>(size));
    (void)BIO_reset(SSL_get_wbio(ssl));
    if (hold)
      held_bytes += bytes;
    else if (stream)
      stream->write(bytes);
  }

  async::SimLoop& loop_;
  SSL_CTX* context_;
};

}  // namespace colony::tls::testing
