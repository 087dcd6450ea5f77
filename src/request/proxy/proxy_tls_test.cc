// A proxy whose port speaks TLS: what a replica learns of that, HTTP/2 by agreement, and certificates that change.
#include <gmock/gmock.h>

#include "request/proxy/test_world.h"
#include "tests/support/temp_dir.h"
#include "transport/tls/tls_test_support.h"

namespace colony::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::ProxyWorld;
using testing::take_reply;
using tls::testing::Identity;
using tls::testing::TestClient;

struct TlsWorld {
  TlsWorld() { world.deploy("echo", "/", {world.replica("r1").record()}); }
  colony::testing::TempDir folder;
  Identity first{"first"}, second{"second"};
  observe::Metrics metrics;
  ProxyWorld world{{.proxy = {.tls = tls::testing::write_files(folder.path(), first), .metrics = &metrics}}};
  std::unique_ptr<TestClient> client(const tls::testing::ClientOptions& options = {}) {
    return std::make_unique<TestClient>(world.loop(), async::Endpoint{"proxy:80"}, options);
  }
};

TEST(ProxyTls, a_replica_learns_that_the_request_came_over_tls) {
  TlsWorld w;
  auto c = w.client({.alpn = "\x08http/1.1"});
  c->send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nping");
  ASSERT_TRUE(w.world.until([&] { return c->text.ends_with("ping"); }, 5s)) << c->text << c->why;
  EXPECT_EQ(take_reply(c->text, false).status, 200);
  const std::string head = w.world.replica("r1").service.calls.back()->head;
  EXPECT_THAT(head, HasSubstr("x-forwarded-proto: https\r\n"));
  EXPECT_THAT(head, HasSubstr("x-forwarded-for: 127.0.0.1\r\n"));
}

TEST(ProxyTls, agreed_http2_is_spoken_and_what_is_no_http2_ends_the_connection) {
  TlsWorld w;
  auto c = w.client({.alpn = "\x02h2\x08http/1.1"});
  ASSERT_TRUE(c->handshake());
  EXPECT_EQ(c->protocol(), "h2");
  c->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string("\0\0\0\4\0\0\0\0\0", 9));
  ASSERT_TRUE(w.world.until([&] { return c->text.size() >= 9; }, 5s));
  EXPECT_EQ(c->text[3], 4) << "a SETTINGS frame";
  auto liar = w.client({.alpn = "\x02h2"});
  liar->send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nping");
  w.world.until([&] { return liar->gone(); }, 30s);
  EXPECT_TRUE(liar->gone());
  EXPECT_TRUE(w.world.replica("r1").service.calls.empty());
}

TEST(ProxyTls, new_certificates_are_for_new_connections_and_counted) {
  TlsWorld w;
  const auto shown = [](TestClient& c) {
    std::unique_ptr<X509, decltype(&X509_free)> x(SSL_get1_peer_certificate(c.ssl), X509_free);
    char name[64] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(x.get()), NID_commonName, name, sizeof name);
    return std::string(name);
  };
  auto old = w.client();
  ASSERT_TRUE(old->handshake());
  EXPECT_EQ(shown(*old), "first");
  tls::testing::write_file(w.folder / "key.pem", "broken");
  w.world.loop().run_for(15s);
  tls::testing::write_files(w.folder.path(), w.second);
  w.world.loop().run_for(15s);
  auto fresh = w.client();
  ASSERT_TRUE(fresh->handshake());
  EXPECT_EQ(shown(*fresh), "second");
  old->send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nping");
  EXPECT_TRUE(w.world.until([&] { return old->text.ends_with("ping"); }, 5s)) << "an open connection goes on";
  w.world.loop().run_for(2s);
  const std::string text = w.metrics.text();
  EXPECT_THAT(text, HasSubstr("colony_tls_certificate_reloads_total{result=\"failed\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("colony_tls_certificate_reloads_total{result=\"ok\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("colony_tls_handshakes_total{result=\"full\"} 2\n"));
  EXPECT_THAT(text, Not(HasSubstr("colony_tls_certificate_expiry_timestamp_seconds 0\n")));
}

}  // namespace
}  // namespace colony::proxy
