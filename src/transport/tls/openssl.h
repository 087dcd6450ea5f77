// What the files of this room share about OpenSSL: its errors as text, names of certificates. Internal; only .cc files
// of transport/tls include it.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <string>

namespace colony::tls {

// The last error of this thread's queue in a few words ("certificate verify failed"); the queue is empty afterwards. It
// never holds key material.
std::string last_error(std::string_view otherwise);
// "CN=ann,O=acme" (RFC 2253: special characters escaped, printable ASCII only), at most 1 KiB.
std::string subject_of(const X509& certificate);

}  // namespace colony::tls
