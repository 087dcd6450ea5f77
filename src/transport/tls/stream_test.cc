// The server's side of TLS over simulated streams: whatever way the bytes come, whatever the client does.
#include "transport/tls/stream.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"
#include "transport/tls/acceptor.h"
#include "transport/tls/tls_test_support.h"

namespace colony::tls {
namespace {

using colony::testing::TempDir;
using testing::ClientOptions;
using testing::Identity;
using testing::TestClient;

// A service on the plain side: keeps what it is shown and what happened to the connection.
struct Session final : async::StreamHandler {
  explicit Session(std::unique_ptr<TlsStream> s) : stream(std::move(s)) { stream->set_handler(this); }
  size_t on_bytes(std::string_view data) override {
    shown.emplace_back(data);
    const size_t n = std::min(data.size(), appetite);
    text += data.substr(0, n);
    if (echo) stream->write(data.substr(0, n));
    return n;
  }
  void on_drained() override { ++drained; }
  void on_end() override { ended = true; }
  void on_end_follows() override { ++end_follows; }
  void on_closed(const Error& e) override {
    ++closed;
    error = e;
  }
  std::unique_ptr<TlsStream> stream;
  std::vector<std::string> shown;
  std::string text;
  size_t appetite = std::string::npos;
  bool echo = false, ended = false;
  int drained = 0, closed = 0, end_follows = 0;
  Error error;
};

struct World {
  explicit World(async::SimLoop::Options sim = {}, AcceptorOptions options = {}, bool ask_clients = false)
      : loop(async::SimLoop::create(sim)) {
    auto context = ServerContext::load(testing::write_files(folder.path(), server, ask_clients ? &clients : nullptr));
    CHECK(context.has_value());
    acceptor = std::make_unique<Acceptor>(*loop, *context, options, [this](std::unique_ptr<TlsStream> s) {
      sessions.push_back(std::make_unique<Session>(std::move(s)));
    });
    listener = *loop->listen({"server"}, [this](auto s) { acceptor->accept(std::move(s)); });
  }
  std::unique_ptr<TestClient> client(const ClientOptions& options = {}) {
    return std::make_unique<TestClient>(*loop, async::Endpoint{"server"}, options);
  }
  // Of what it has said the session has taken a half, and is paused.
  std::unique_ptr<TestClient> half_heard_client() {
    auto c = client();
    EXPECT_TRUE(c->handshake());
    loop->run_ready();
    session().appetite = 3;
    c->send("onetwo");
    loop->run_ready();
    session().stream->pause();
    return c;
  }
  Session& session() { return *sessions.back(); }

  TempDir folder;
  Identity authority{"authority"}, server{"server", &authority};
  Identity clients{"clients"}, ann{"ann", &clients}, stranger{"stranger", &authority};
  std::unique_ptr<async::SimLoop> loop;
  std::vector<std::unique_ptr<Session>> sessions;
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<async::Listener> listener;
};

class TlsCut : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Cut, TlsCut, ::testing::Values(0, 1, 7, 1000));

TEST_P(TlsCut, bytes_go_both_ways_however_the_records_are_cut) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    World w({.seed = 5, .max_chunk = GetParam(), .latency = 1ms});
    auto c = w.client({.max_version = version});
    c->send("hello");
    ASSERT_TRUE(w.loop->run_until([&] { return w.sessions.size() == 1 && w.session().text == "hello"; }, 10s));
    w.session().echo = true;
    std::string large;
    for (int i = 0; i < (GetParam() == 1 ? 2000 : 40000); ++i) large += std::to_string(i);
    c->send(large);
    w.session().stream->write_now("head ", "body ");
    EXPECT_TRUE(w.loop->run_until([&] { return c->text.size() >= large.size() + 10; }, 60s));
    EXPECT_EQ(c->text, "head body " + large);
    EXPECT_EQ(w.acceptor->stats().done, 1u);
  }
}

TEST_P(TlsCut, half_a_connection_is_ended_by_close_notify_and_the_other_half_goes_on) {
  World w({.seed = 5, .max_chunk = GetParam()});
  auto c = w.client();
  ASSERT_TRUE(c->handshake());
  c->send("last words");
  c->end();
  ASSERT_TRUE(w.loop->run_until([&] { return !w.sessions.empty() && w.session().ended; }, 5s));
  EXPECT_EQ(w.session().text, "last words");
  w.session().stream->write("answer");
  w.session().stream->shutdown_write();
  w.loop->run_until([&] { return c->notified && c->ended; }, 5s);
  EXPECT_EQ(c->text, "answer");
  EXPECT_TRUE(c->notified && c->ended);
  EXPECT_EQ(w.session().closed, 0);
}

TEST(TlsStream, what_is_not_consumed_is_shown_again_with_what_follows_and_after_resume) {
  World w;
  auto c = w.client();
  ASSERT_TRUE(c->handshake());
  w.loop->run_ready();
  w.session().appetite = 0;
  c->send("abc");
  w.loop->run_ready();
  c->send("def");
  w.loop->run_ready();
  ASSERT_EQ(w.session().shown.size(), 2u);
  EXPECT_EQ(w.session().shown[1], "abcdef");
  w.session().stream->pause();
  c->send("ghi");
  w.loop->run_ready();
  EXPECT_EQ(w.session().shown.size(), 2u) << "a paused stream shows nothing";
  w.session().appetite = std::string::npos;
  w.session().stream->resume();
  EXPECT_EQ(w.session().shown.size(), 2u) << "never inside the call";
  w.loop->run_ready();
  EXPECT_EQ(w.session().text, "abcdefghi");
}

TEST(TlsStream, a_handler_that_takes_nothing_and_asks_again_does_not_spin) {
  struct Asking final : async::StreamHandler {
    size_t on_bytes(std::string_view) override {
      if (++shown < 5) stream->resume();
      return 0;
    }
    void on_end() override {}
    void on_closed(const Error&) override {}
    async::Stream* stream = nullptr;
    int shown = 0;
  } asking;
  World w;
  auto c = w.client();
  ASSERT_TRUE(c->handshake());
  w.loop->run_ready();
  asking.stream = w.session().stream.get();
  asking.stream->set_handler(&asking);
  c->send("x");
  w.loop->run_for(1s);
  EXPECT_EQ(asking.shown, 5);
}

TEST(TlsStream, the_end_of_the_client_comes_after_what_it_said_also_to_a_paused_handler) {
  World w;
  const auto c = w.half_heard_client();
  c->end();
  w.loop->run_for(1s);
  EXPECT_FALSE(w.session().ended);
  w.session().stream->resume();
  w.loop->run_for(1s);
  EXPECT_EQ(w.session().text, "onetwo");
  EXPECT_TRUE(w.session().ended);
}

TEST(TlsStream, a_connection_that_is_cut_is_lost_after_what_was_kept_is_shown_to_a_handler_that_resumes) {
  World w;
  const auto c = w.half_heard_client();
  c->stream->shutdown_write();
  w.loop->run_for(1s);
  EXPECT_EQ(w.session().closed, 0);
  EXPECT_EQ(w.session().end_follows, 1);
  w.session().stream->resume();
  w.loop->run_for(1s);
  EXPECT_EQ(w.session().text, "onetwo");
  EXPECT_EQ(w.session().closed, 1);
  EXPECT_EQ(w.session().error.reason, "tls_truncated");
}

TEST(TlsStream, a_connection_that_is_cut_without_close_notify_is_lost_not_ended) {
  World w;
  auto c = w.client();
  c->send("half a reque");
  ASSERT_TRUE(w.loop->run_until([&] { return !w.sessions.empty() && !w.session().text.empty(); }, 5s));
  c->stream->shutdown_write();
  w.loop->run_for(1s);
  EXPECT_FALSE(w.session().ended);
  EXPECT_EQ(w.session().closed, 1);
  EXPECT_EQ(w.session().error.reason, "tls_truncated");
  EXPECT_TRUE(w.session().stream->is_closed());
}

TEST(TlsStream, a_record_that_was_changed_on_its_way_ends_the_connection_after_what_came_before) {
  World w;
  auto c = w.client();
  ASSERT_TRUE(c->handshake());
  w.loop->run_ready();
  c->hold = true;
  c->send("good");
  std::string bytes = c->wire();
  c->send("evil");
  std::string evil = c->wire();
  evil[evil.size() / 2] = static_cast<char>(evil[evil.size() / 2] ^ 1);
  c->stream->write(bytes + evil);
  w.loop->run_for(1s);
  EXPECT_EQ(w.session().text, "good");
  EXPECT_EQ(w.session().closed, 1);
  EXPECT_EQ(w.session().error.reason, "tls");
  EXPECT_TRUE(c->failed) << "the alert came";
  w.session().stream->write("into the void");
  w.loop->run_for(1s);
  EXPECT_EQ(w.session().closed, 1);
}

TEST(TlsStream, a_client_cannot_negotiate_anew) {
  World w;
  auto c = w.client({.max_version = TLS1_2_VERSION});
  ASSERT_TRUE(c->handshake());
  w.loop->run_ready();
  w.session().echo = true;
  ASSERT_EQ(SSL_renegotiate(c->ssl), 1);
  SSL_do_handshake(c->ssl);
  c->send("");
  w.loop->run_for(1s);
  c->send("still the old keys");
  w.loop->run_for(1s);
  // Either the client gives up, or it goes on as before: never a second handshake.
  EXPECT_EQ(SSL_num_renegotiations(c->ssl), 1L) << "it asked";
  EXPECT_TRUE(c->failed || c->text == "still the old keys") << c->why;
  EXPECT_EQ(w.acceptor->stats().done, 1u);
}

TEST(TlsStream, a_slow_reader_fills_the_outbox_and_drains_it) {
  World w({.stream_buffer = 64 * 1024});
  auto c = w.client();
  ASSERT_TRUE(c->handshake());
  w.loop->run_ready();
  c->stream->pause();
  const std::string much(1 << 20, 'm');
  w.session().stream->write_now(much);
  w.loop->run_ready();
  EXPECT_GT(w.session().stream->pending(), much.size() / 2);
  EXPECT_EQ(w.session().drained, 0);
  c->stream->resume();
  w.loop->run_ready();
  EXPECT_EQ(w.session().stream->pending(), 0u);
  EXPECT_EQ(w.session().drained, 1);
  EXPECT_EQ(c->text, much);
}

TEST(TlsStream, its_handler_may_destroy_it_in_every_callback) {
  struct Fatal final : async::StreamHandler {
    std::unique_ptr<async::Stream> stream;
    bool at_bytes = false;
    int calls = 0;
    size_t on_bytes(std::string_view data) override {
      ++calls;
      if (at_bytes) stream.reset();
      return data.size();
    }
    void on_end() override { ++calls, stream.reset(); }
    void on_closed(const Error&) override { ++calls, stream.reset(); }
  };
  for (const std::string how : {"bytes", "end", "cut"}) {
    World w;
    auto c = w.client();
    ASSERT_TRUE(c->handshake());
    w.loop->run_ready();
    Fatal fatal;
    fatal.at_bytes = how == "bytes";
    fatal.stream = std::move(w.session().stream);
    fatal.stream->set_handler(&fatal);
    if (how == "bytes") c->send("x");
    if (how == "end") c->end();
    if (how == "cut") c->stream->shutdown_write();
    w.loop->run_for(1s);
    EXPECT_EQ(fatal.calls, 1) << how;
    EXPECT_EQ(fatal.stream, nullptr) << how;
    EXPECT_TRUE(c->gone()) << how;
  }
}

}  // namespace
}  // namespace colony::tls
