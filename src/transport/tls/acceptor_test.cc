// Handshakes: what is agreed, who is refused, how long and how many.
#include "transport/tls/acceptor.h"

#include <gmock/gmock.h>

#include "tests/support/temp_dir.h"
#include "transport/tls/tls_test_support.h"

namespace colony::tls {
namespace {

using colony::testing::TempDir;
using testing::ClientOptions;
using ::testing::HasSubstr;
using testing::Identity;
using testing::TestClient;

struct World {
  explicit World(AcceptorOptions options = {}, bool ask_clients = false)
      : loop(async::SimLoop::create({.seed = 2, .latency = 1ms})) {
    auto context = ServerContext::load(testing::write_files(folder.path(), server, ask_clients ? &clients : nullptr));
    CHECK(context.has_value());
    acceptor = std::make_unique<Acceptor>(*loop, *context, options,
                                          [this](std::unique_ptr<TlsStream> s) { ready.push_back(std::move(s)); });
    listener = *loop->listen({"server"}, [this](auto s) { acceptor->accept(std::move(s)); });
  }
  std::unique_ptr<TestClient> client(const ClientOptions& options = {}) {
    return std::make_unique<TestClient>(*loop, async::Endpoint{"server"}, options);
  }
  std::unique_ptr<async::Stream> plain() {
    std::unique_ptr<async::Stream> out;
    loop->connect({"server"}, Deadline::never(), [&](auto s) { out = std::move(*s); });
    loop->run_until([&] { return out != nullptr; }, 1s);
    return out;
  }

  TempDir folder;
  Identity authority{"authority"}, server{"server", &authority};
  Identity clients{"clients"}, ann{"ann", &clients}, stranger{"ann", &authority};
  std::unique_ptr<async::SimLoop> loop;
  std::vector<std::unique_ptr<TlsStream>> ready;
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<async::Listener> listener;
};

TEST(TlsAcceptor, the_protocol_is_the_clients_wish_in_our_order) {
  World w;
  const std::string h2("\x02h2"), h1("\x08http/1.1"), other("\x03xyz");
  struct Row {
    std::string offer;
    Protocol agreed;
  };
  for (const Row& row : {Row{h1 + h2, Protocol::kHttp2}, Row{h1, Protocol::kHttp1}, Row{"", Protocol::kNone},
                         Row{other + h1, Protocol::kHttp1}}) {
    auto c = w.client({.alpn = row.offer});
    ASSERT_TRUE(c->handshake()) << c->why;
    w.loop->run_for(10ms);
    EXPECT_EQ(w.ready.back()->protocol(), row.agreed);
  }
  auto c = w.client({.alpn = other});
  EXPECT_FALSE(c->handshake());
  EXPECT_THAT(c->why, HasSubstr("no application protocol"));
}

TEST(TlsAcceptor, old_versions_are_refused_with_an_alert) {
  World w;
  for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    auto c = w.client({.max_version = version});
    EXPECT_FALSE(c->handshake());
    EXPECT_THAT(c->why, HasSubstr("protocol version"));
    w.loop->run_for(2s);
    EXPECT_TRUE(c->gone());
  }
  EXPECT_EQ(w.acceptor->stats().failed, 2u);
  EXPECT_EQ(w.acceptor->open(), 0u);
  EXPECT_TRUE(w.ready.empty());
}

TEST(TlsAcceptor, clients_are_told_apart_by_their_certificates) {
  World w({}, true);
  auto good = w.client({.certificate = &w.ann});
  ASSERT_TRUE(good->handshake()) << good->why;
  w.loop->run_for(10ms);
  ASSERT_EQ(w.ready.size(), 1u);
  EXPECT_EQ(w.ready[0]->peer_subject(), "CN=ann");
  // With TLS 1.3 a client believes in its handshake before the server has looked at its certificate.
  for (const auto& [who, alert] :
       {std::pair<const Identity*, const char*>{nullptr, "certificate required"}, {&w.stranger, "unknown ca"}}) {
    auto c = w.client({.certificate = who});
    w.loop->run_for(2s);
    EXPECT_TRUE(c->failed);
    EXPECT_THAT(c->why, HasSubstr(alert));
    EXPECT_TRUE(c->gone());
  }
  EXPECT_EQ(w.ready.size(), 1u);
  EXPECT_EQ(w.acceptor->stats().failed, 2u);
}

TEST(TlsAcceptor, garbage_ends_its_connection_only) {
  World w;
  auto good = w.client();
  auto bad = w.plain();
  bad->write(std::string(200, '\x16'));
  auto other = w.plain();
  other->write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  w.loop->run_for(2s);
  EXPECT_EQ(w.acceptor->stats().failed, 2u);
  EXPECT_EQ(w.acceptor->open(), 0u);
  EXPECT_TRUE(good->ready);
}

TEST(TlsAcceptor, who_speaks_plain_http_is_told_so_in_plain_http) {
  World w;
  struct Reader final : async::StreamHandler {
    std::string text;
    bool over = false;
    size_t on_bytes(std::string_view data) override {
      text += data;
      return data.size();
    }
    void on_end() override { over = true; }
    void on_closed(const Error&) override { over = true; }
  } reader;
  auto c = w.plain();
  c->set_handler(&reader);
  c->write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  w.loop->run_for(2s);
  EXPECT_THAT(reader.text, HasSubstr("HTTP/1.1 400"));
  EXPECT_THAT(reader.text, HasSubstr("this port speaks TLS"));
  const size_t body = reader.text.find("\r\n\r\n") + 4;
  EXPECT_THAT(reader.text, HasSubstr("content-length: " + std::to_string(reader.text.size() - body) + "\r\n"));
  EXPECT_TRUE(reader.over);
}

TEST(TlsAcceptor, a_slow_handshake_has_a_deadline_however_it_dribbles) {
  World w({.handshake_timeout = 5s});
  auto mute = w.plain();
  auto slow = w.plain();
  for (int i = 0; i < 20; ++i) {
    slow->write(i == 0 ? "\x16" : i < 3 ? "\x03" : "\x01");
    w.loop->run_for(300ms);
  }
  EXPECT_EQ(w.acceptor->stats().timed_out, 2u);
  EXPECT_EQ(w.acceptor->open(), 0u);
}

TEST(TlsAcceptor, too_many_handshakes_end_the_oldest) {
  World w({.max_handshakes = 3});
  std::vector<std::unique_ptr<async::Stream>> mute;
  for (int i = 0; i < 10; ++i) mute.push_back(w.plain());
  w.loop->run_for(10ms);
  EXPECT_EQ(w.acceptor->open(), 3u);
  EXPECT_EQ(w.acceptor->stats().crowded_out, 7u);
  auto good = w.client();
  EXPECT_TRUE(good->handshake());
}

// A record of a handshake that never ends: 64 KiB are enough for everybody.
TEST(TlsAcceptor, a_client_may_not_send_without_end_before_its_handshake_is_done) {
  World w({.handshake_timeout = 60s});
  auto c = w.plain();
  // One ClientHello of 16 MiB, announced in its first four bytes, in records of 16 KiB.
  std::string hello("\x01\xff\xff\xff", 4);
  hello += std::string(16380, 'x');
  for (int i = 0; i < 8; ++i) {
    c->write(std::string("\x16\x03\x01\x40\x00", 5) + hello);
    w.loop->run_for(10ms);
  }
  EXPECT_EQ(w.acceptor->stats().failed, 1u);
}

TEST(TlsAcceptor, a_session_is_resumed_by_its_ticket_and_asks_nobody_twice) {
  World w({}, true);
  SSL_SESSION* session = nullptr;
  {
    auto c = w.client({.certificate = &w.ann});
    ASSERT_TRUE(c->handshake()) << c->why;
    w.loop->run_for(10ms);
    session = SSL_get1_session(c->ssl);
    c->end();  // what is dropped without a goodbye is not resumed
  }
  auto again = w.client({.session = session});
  ASSERT_TRUE(again->handshake()) << again->why;
  w.loop->run_for(10ms);
  EXPECT_TRUE(w.ready.back()->resumed());
  EXPECT_EQ(w.ready.back()->peer_subject(), "CN=ann");
  EXPECT_EQ(w.acceptor->stats().resumed, 1u);
  // Under other certificates the ticket is worth nothing.
  w.acceptor->use(*ServerContext::load(testing::write_files(w.folder.path(), w.server, &w.clients)));
  auto late = w.client({.session = session});
  w.loop->run_for(2s);
  EXPECT_TRUE(late->failed);
  EXPECT_EQ(w.acceptor->stats().resumed, 1u);
  SSL_SESSION_free(session);
}

TEST(TlsAcceptor, its_end_ends_every_handshake) {
  World w;
  auto mute = w.plain();
  auto c = w.client();
  w.acceptor.reset();
  w.loop->run_for(1s);
  EXPECT_TRUE(c->gone());
}

}  // namespace
}  // namespace colony::tls
