// Router and Client against each other over a server on the simulated loop, and the client against peers that misbehave.
#include "transport/http/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transport/http/http_test_support.h"
#include "transport/http/server.h"
#include "transport/http/unary.h"

namespace colony::http {
namespace {

using ::testing::HasSubstr;

async::Task<Reply> describe(Request r) {
  Reply reply;
  reply.content_type = "text/plain";
  reply.body = r.method + " " + r.path + " name=" + std::string(r.header("path.name")) +
               " rest=" + std::string(r.header("path.rest")) + " q=" + r.param("q").value_or("-") + " body=" + r.body;
  reply.headers.emplace_back("x-seen", std::string(r.header("x-sent")));
  co_return reply;
}

async::Task<Reply> large(Request r) {
  Reply reply;
  reply.body = std::string(std::stoul(std::string(r.header("path.name"))), 'x');
  co_return reply;
}

async::Task<void> count(async::Loop* loop, int* written, Request, ReplyStream& out) {
  out.start(200, "text/event-stream");
  for (int i = 0; i < 5; ++i) {
    if (!co_await out.write("data: " + std::to_string(i) + "\n\n")) co_return;
    ++*written;
    co_await loop->sleep(1s);
  }
}

async::Task<void> flood(bool* gone, Request, ReplyStream& out) {
  out.start(200, "application/octet-stream");
  const std::string piece(50000, 'f');
  while (co_await out.write(piece)) {
  }
  *gone = true;
}

struct Bench {
  explicit Bench(size_t chunk = 0) {
    loop = async::SimLoop::create({.seed = 9, .max_chunk = chunk});
    router = std::make_unique<Router>(*loop, Router::Options{.max_body = 100'000});
    router->unary("GET", "/apps/{name}", describe);
    router->unary("PUT", "/apps/{name}", describe);
    router->unary("GET", "/apps/all", [](Request) -> async::Task<Reply> { co_return Reply{.body = "literal"}; });
    router->unary("GET", "/files/{rest...}", describe);
    router->unary("GET", "/large/{name}", large);
    router->unary("POST", "/", describe);
    router->stream("GET", "/count",
                   [this](Request r, ReplyStream& out) { return count(loop.get(), &written, std::move(r), out); });
    router->stream("GET", "/flood", [this](Request r, ReplyStream& out) { return flood(&gone, std::move(r), out); });
    listen();
    client = std::make_unique<Client>(*loop, 1'000'000);
  }
  ~Bench() {
    loop->run(router->stop());
    server.reset();
  }
  void listen() {
    auto s = Server::listen(*loop, {"server"}, *router);
    EXPECT_TRUE(s.has_value());
    server = std::move(*s);
  }
  Result<ClientReply> fetch(ClientRequest request, Duration limit = 10s) {
    return loop->run(client->fetch({"server"}, std::move(request), Deadline::after(loop->now(), limit)));
  }
  ClientReply get(std::string target) {
    auto r = fetch({.target = std::move(target)});
    EXPECT_TRUE(r.has_value()) << r.error().message;
    return r ? *r : ClientReply{};
  }

  std::unique_ptr<async::SimLoop> loop;
  std::unique_ptr<Router> router;
  std::unique_ptr<Server> server;
  std::unique_ptr<Client> client;
  int written = 0;
  bool gone = false;
};

class ClientCut : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Cut, ClientCut, ::testing::Values(0, 1, 3, 7));

TEST_P(ClientCut, requests_are_routed_and_answered_on_one_kept_connection) {
  Bench b(GetParam());
  for (int i = 0; i < 3; ++i) {
    auto r =
        b.fetch({.method = "PUT", .target = "/apps/a%20b?x=1&q=c+d%21", .headers = {{"X-Sent", "v"}}, .body = "hello"});
    ASSERT_TRUE(r.has_value()) << r.error().message;
    EXPECT_EQ(r->status, 200);
    EXPECT_EQ(r->body, "PUT /apps/a%20b name=a b rest= q=c d! body=hello");
    EXPECT_EQ(r->header("x-seen"), "v");
    EXPECT_EQ(r->header("content-type"), "text/plain");
  }
  EXPECT_EQ(b.server->stats().accepted, 1u);
  EXPECT_EQ(b.get("/apps/all").body, "literal");
  EXPECT_THAT(b.get("/files/x/y%2fz").body, HasSubstr("rest=x/y/z "));
  EXPECT_THAT(b.get("/files/").body, HasSubstr("rest= "));
  EXPECT_EQ(b.fetch({.method = "HEAD", .target = "/apps/all"})->body, "");
  EXPECT_EQ(b.get("/large/300000").body.size(), 300000u);
  EXPECT_EQ(b.server->stats().accepted, 1u);
}

TEST(Router, what_it_does_not_know_is_refused_with_what_it_knows) {
  Bench b;
  ClientReply r = b.get("/nothing");
  EXPECT_EQ(r.status, 404);
  EXPECT_THAT(r.body, HasSubstr("/apps/{name}, /apps/all, /files/{rest...}"));
  EXPECT_THAT(r.body, HasSubstr("\"code\":\"NOT_FOUND\""));
  r = *b.fetch({.method = "DELETE", .target = "/apps/x"});
  EXPECT_EQ(r.status, 405);
  EXPECT_EQ(r.header("allow"), "GET, PUT");
  EXPECT_EQ(b.get("/apps/").status, 404);
  EXPECT_EQ(b.get("/apps/%zz").status, 400);
  r = *b.fetch({.method = "PUT", .target = "/apps/x", .body = std::string(100'001, 'x')});
  EXPECT_EQ(r.status, 413);
  EXPECT_THAT(r.body, HasSubstr("100000 bytes"));
  EXPECT_EQ(b.fetch({.method = "PUT", .target = "/apps/x", .body = std::string(100'000, 'x')})->status, 200);
}

TEST(Router, a_client_cannot_pretend_a_path_parameter) {
  Bench b;
  auto r = b.fetch({.target = "/apps/real", .headers = {{"path.name", "fake"}, {"Path.Name", "fake"}}});
  EXPECT_THAT(r->body, HasSubstr("name=real "));
}

TEST(Router, a_guard_is_asked_first) {
  Bench b;
  b.router->guard([](const Request& r) -> Result<void> {
    if (r.header("authorization") == "Bearer x") return {};
    return fail({Code::kUnauthenticated, "a token is needed", "no_token", Origin::kClient});
  });
  EXPECT_EQ(b.get("/nothing").status, 401);
  EXPECT_EQ(b.fetch({.target = "/apps/all", .headers = {{"Authorization", "Bearer x"}}})->status, 200);
}

TEST(Router, a_stopping_router_answers_503) {
  Bench b;
  b.loop->run(b.router->stop());
  const ClientReply r = b.get("/apps/all");
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.header("retry-after"), "1");
}

async::Task<Result<ClientReply>> read_stream(Client* client, async::Loop* loop, std::string target, std::string* text,
                                             size_t stop_at, Duration idle) {
  std::function<bool(std::string_view)> on_chunk = [text, stop_at](std::string_view piece) {
    text->append(piece);
    return text->size() < stop_at;
  };
  co_return co_await client->stream({"server"}, {.target = target}, Deadline::after(loop->now(), 5s), idle, on_chunk);
}

TEST_P(ClientCut, a_stream_is_seen_piece_by_piece) {
  Bench b(GetParam());
  std::string text;
  auto r = b.loop->run(read_stream(b.client.get(), b.loop.get(), "/count", &text, 1000, 3s));
  ASSERT_TRUE(r.has_value()) << r.error().message;
  EXPECT_EQ(r->status, 200);
  EXPECT_EQ(text, "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n");
}

TEST(Client, a_reader_that_has_enough_ends_the_stream_and_its_writer_hears_it) {
  Bench b;
  std::string text;
  auto r = b.loop->run(read_stream(b.client.get(), b.loop.get(), "/flood", &text, 3'000'000, 3s));
  ASSERT_TRUE(r.has_value());
  EXPECT_GE(text.size(), 3'000'000u);
  EXPECT_TRUE(b.loop->run_until([&] { return b.gone; }));
}

TEST(Client, silence_in_a_stream_is_an_error) {
  Bench b;
  std::string text;
  auto r = b.loop->run(read_stream(b.client.get(), b.loop.get(), "/count", &text, 1000, 500ms));
  ASSERT_FALSE(r.has_value());
  EXPECT_EQ(r.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(text, "data: 0\n\n");
}

TEST(Client, an_idle_connection_that_died_is_replaced_once) {
  Bench b;
  EXPECT_EQ(b.get("/apps/all").status, 200);
  b.loop->reset_all({"server"});  // the client may or may not have heard
  EXPECT_EQ(b.get("/apps/all").status, 200);
  b.server.reset();
  b.listen();
  EXPECT_EQ(b.get("/apps/all").status, 200);
}

// Answers its first request, swallows the second and ends the connection: it may have done what was asked.
struct Quitter final : async::StreamHandler {
  Quitter(std::unique_ptr<async::Stream> s, int* n) : stream(std::move(s)), asked(n) { stream->set_handler(this); }
  size_t on_bytes(std::string_view data) override {
    ++*asked;
    if (std::exchange(answered, true))
      stream.reset();
    else
      stream->write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    return data.size();
  }
  void on_end() override {}
  void on_closed(const Error&) override {}
  std::unique_ptr<async::Stream> stream;
  int* asked;
  bool answered = false;
};

TEST(Client, what_may_not_be_done_twice_is_asked_once) {
  struct Case {
    const char* method;
    std::optional<bool> idempotent;
    int asked, connections;
  };
  const Case kCases[] = {{"POST", {}, 2, 2}, {"PATCH", {}, 2, 2},  {"GET", false, 2, 2},
                         {"GET", {}, 3, 2},  {"POST", true, 3, 2}, {"PUT", {}, 3, 2}};
  for (const Case& c : kCases) {
    auto loop = async::SimLoop::create({.seed = 4});
    int asked = 0;
    std::vector<std::unique_ptr<Quitter>> peers;
    auto listener = loop->listen({"server"}, [&](std::unique_ptr<async::Stream> s) {
      peers.push_back(std::make_unique<Quitter>(std::move(s), &asked));
    });
    Client client(*loop);
    for (int i = 0; i < 2; ++i) {
      auto r = loop->run(
          client.fetch({"server"}, {.method = c.method, .idempotent = c.idempotent}, Deadline::after(loop->now(), 5s)));
      EXPECT_TRUE(r.has_value()) << c.method << (r ? "" : r.error().message);
    }
    EXPECT_EQ(asked, c.asked) << c.method;
    EXPECT_EQ(static_cast<int>(peers.size()), c.connections) << c.method;
  }
}

TEST(Client, nobody_there_is_unavailable_and_a_hung_peer_a_deadline) {
  Bench b;
  b.server.reset();
  auto r = b.fetch({.target = "/x"});
  ASSERT_FALSE(r.has_value());
  EXPECT_EQ(r.error().code, Code::kUnavailable);
  EXPECT_THAT(r.error().message, HasSubstr("GET /x at server"));
  b.listen();
  b.loop->partition({"server"});
  const TimePoint before = b.loop->now();
  r = b.fetch({.target = "/x"}, 2s);
  ASSERT_FALSE(r.has_value());
  EXPECT_EQ(r.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(b.loop->now() - before, 2s);
  b.loop->heal({"server"});
}

TEST(Client, a_reply_above_the_limit_is_refused) {
  Bench b;
  auto r = b.fetch({.target = "/large/1000001"});
  ASSERT_FALSE(r.has_value());
  EXPECT_EQ(r.error().reason, "reply_too_large");
  EXPECT_EQ(b.get("/large/1000000").body.size(), 1'000'000u);
}

TEST(Client, a_malformed_request_is_refused_here) {
  Bench b;
  EXPECT_EQ(b.fetch({.target = "/a b"}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(b.fetch({.method = "G T"}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(b.fetch({.headers = {{"x", "a\r\nb: c"}}}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(b.fetch({.headers = {{"Content-Length", "3"}}}).error().code, Code::kInvalidArgument);
}

// A peer that answers every request with the same bytes and then, perhaps, ends.
struct Parrot final : async::StreamHandler {
  Parrot(std::unique_ptr<async::Stream> s, std::string t, bool e) : stream(std::move(s)), text(std::move(t)), end(e) {
    stream->set_handler(this);
  }
  size_t on_bytes(std::string_view data) override {
    if (!data.ends_with("\r\n\r\n")) return 0;
    stream->write(text);
    if (end) stream->shutdown_write();
    return data.size();
  }
  void on_end() override {}
  void on_closed(const Error&) override {}
  std::unique_ptr<async::Stream> stream;
  std::string text;
  bool end;
};

TEST_P(ClientCut, replies_of_every_framing_are_read_and_broken_ones_are_errors) {
  struct Case {
    const char* text;
    bool end;
    const char* body;  // null: an error
    const char* reason = "";
  };
  const Case kCases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, "abc"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: 1\r\n\r\n", false, "abc"},
      {"HTTP/1.1 200 OK\r\n\r\nuntil the end", true, "until the end"},
      {"HTTP/1.0 200 OK\r\n\r\nold", true, "old"},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", false, "x"},
      {"HTTP/1.1 204 No Content\r\n\r\n", false, ""},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", true, nullptr, "cut_reply"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", true, nullptr, "cut_reply"},
      {"HTTP/1.1 200 OK\r\nContent-Len", true, nullptr, "cut_reply"},
      {"", true, nullptr, "connection"},
      {"hello", false, nullptr, "bad_reply"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", false, nullptr, "bad_reply"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false, nullptr, "bad_reply"},
  };
  for (const Case& c : kCases) {
    auto loop = async::SimLoop::create({.seed = 4, .max_chunk = GetParam()});
    std::vector<std::unique_ptr<Parrot>> parrots;
    auto listener = loop->listen({"server"}, [&](std::unique_ptr<async::Stream> s) {
      parrots.push_back(std::make_unique<Parrot>(std::move(s), c.text, c.end));
    });
    Client client(*loop);
    for (int i = 0; i < 2; ++i) {
      auto r = loop->run(client.fetch({"server"}, {}, Deadline::after(loop->now(), 5s)));
      ASSERT_EQ(r.has_value(), c.body != nullptr) << c.text << (r ? "" : r.error().message);
      if (r)
        EXPECT_EQ(r->body, c.body) << c.text;
      else
        EXPECT_EQ(r.error().reason, c.reason) << c.text << r.error().message;
    }
  }
}

}  // namespace
}  // namespace colony::http
