// gRPC calls end to end in simulated time: a client on nghttp2, our HTTP/2, the Dispatcher, methods of every kind.
#include "transport/grpc/service.h"

#include <gtest/gtest.h>

#include "async/sim_loop.h"
#include "transport/grpc/framing.h"
#include "transport/grpc/health.h"
#include "transport/grpc/status.h"
#include "transport/http/h2_test_client.h"

namespace colony::grpc {
namespace {

using http::testing::H2TestCall;
using http::testing::H2TestClient;
using http::testing::H2TestServer;

std::string framed(std::string_view message) {
  std::string out;
  append_message(out, message);
  return out;
}

std::vector<std::string> messages(const H2TestCall& call) {
  MessageDecoder decoder(1 << 30);
  decoder.feed(call.body);
  std::vector<std::string> out;
  for (std::string_view m; decoder.next(m) == MessageDecoder::State::kMessage;) out.emplace_back(m);
  return out;
}

Result<void> outcome(const H2TestCall& call) {
  std::string lines;
  for (const auto* fields : {&call.trailers, &call.headers}) {
    for (const auto& [name, value] : *fields) lines.append(name).append(": ").append(value).append("\r\n");
  }
  return status_from_trailers(lines);
}

// Answers every message with it in brackets; "stop" finishes with an error, the half close with OK.
class EchoStream final : public StreamHandler {
 public:
  EchoStream(StreamCall& call, int& alive, int& cancelled) : call_(call), alive_(alive), cancelled_(cancelled) {
    ++alive_;
  }
  ~EchoStream() override { --alive_; }
  void on_message(std::string_view message) override {
    if (message == "stop") return call_.finish(failed_precondition("told to stop"));
    call_.send("[" + std::string(message) + "]");
  }
  void on_half_close() override { call_.finish(); }
  void on_cancel() override { ++cancelled_; }

 private:
  StreamCall& call_;
  int &alive_, &cancelled_;
};

class GrpcServiceTest : public ::testing::Test {
 protected:
  GrpcServiceTest() {
    dispatcher.unary("/t.S/Echo", [](std::string_view message, UnaryCall& call) {
      call.add_header("x-method", call.method());
      call.add_trailer("x-user", call.metadata("user").value_or("nobody"));
      call.finish("<" + std::string(message) + ">");
    });
    dispatcher.unary("/t.S/Fail", [](std::string_view, UnaryCall& call) { call.finish(not_found("no 100% match")); });
    dispatcher.unary("/t.S/Later", [this](std::string_view, UnaryCall& call) {
      call.on_cancel([this] { ++cancelled; });
      later.push_back(&call);
    });
    dispatcher.streaming("/t.S/Talk", [this](StreamCall& call) -> std::unique_ptr<StreamHandler> {
      streams.push_back(&call);
      return std::make_unique<EchoStream>(call, alive, cancelled);
    });
    connect();
  }
  void connect() {
    server = std::make_unique<H2TestServer>(*loop, async::Endpoint{"sim:80"}, dispatcher);
    client = std::make_unique<H2TestClient>(*loop, async::Endpoint{"sim:80"});
  }
  std::shared_ptr<H2TestCall> call(std::string path, std::string body, H2TestClient::Fields extra = {},
                                   bool end = true) {
    H2TestClient::Fields fields{{"content-type", "application/grpc"}, {"te", "trailers"}};
    fields.insert(fields.end(), extra.begin(), extra.end());
    return client->call("POST", std::move(path), std::move(fields), std::move(body), end);
  }
  void finish(H2TestCall& c) {
    ASSERT_TRUE(loop->run_until([&] { return c.closed; }, 100s));
  }

  std::unique_ptr<async::SimLoop> loop = async::SimLoop::create({.seed = 5, .max_chunk = 50});
  Dispatcher dispatcher{{.max_message = 1 << 20, .max_buffered = 3 << 20}};
  std::unique_ptr<H2TestServer> server;
  std::unique_ptr<H2TestClient> client;
  std::vector<UnaryCall*> later;
  std::vector<StreamCall*> streams;
  int alive = 0, cancelled = 0;
};

TEST_F(GrpcServiceTest, AUnaryCallIsAnswered) {
  auto c = call("/t.S/Echo", framed("hello"), {{"user", "ann"}});
  finish(*c);
  EXPECT_EQ(c->status, 200);
  EXPECT_EQ(c->headers["content-type"], "application/grpc");
  EXPECT_EQ(c->headers["x-method"], "/t.S/Echo");
  EXPECT_EQ(messages(*c), std::vector<std::string>{"<hello>"});
  EXPECT_EQ(c->trailers["grpc-status"], "0");
  EXPECT_EQ(c->trailers["x-user"], "ann");
  EXPECT_EQ(c->error, 0u);
  EXPECT_EQ(dispatcher.stats().open_calls, 0u);
}

TEST_F(GrpcServiceTest, ALargeMessageGoesBothWays) {
  const std::string big(900'000, 'x');
  auto c = call("/t.S/Echo", framed(big));
  finish(*c);
  ASSERT_EQ(messages(*c).size(), 1u);
  EXPECT_TRUE(messages(*c)[0] == "<" + big + ">");
  EXPECT_EQ(dispatcher.buffered_bytes(), 0u);
}

TEST_F(GrpcServiceTest, AnErrorIsTrailersOnly) {
  auto c = call("/t.S/Fail", framed("x"));
  finish(*c);
  EXPECT_EQ(c->status, 200);
  EXPECT_TRUE(c->body.empty());
  EXPECT_TRUE(c->trailers.empty());
  EXPECT_EQ(c->headers["grpc-status"], "5");
  EXPECT_EQ(c->headers["grpc-message"], "no 100%25 match");
}

TEST_F(GrpcServiceTest, ACallMayBeFinishedLater) {
  auto c = call("/t.S/Later", framed("x"));
  loop->run_for(5s);
  EXPECT_FALSE(c->closed);
  ASSERT_EQ(later.size(), 1u);
  later[0]->finish("done");
  finish(*c);
  EXPECT_EQ(messages(*c), std::vector<std::string>{"done"});
  EXPECT_EQ(cancelled, 0);
  EXPECT_EQ(dispatcher.stats().open_calls, 0u);
}

TEST_F(GrpcServiceTest, TheDeadlineEndsACallAndTheMethodLetsGoAfterwards) {
  auto c = call("/t.S/Later", framed("x"), {{"grpc-timeout", "2S"}});
  loop->run_for(1900ms);
  ASSERT_EQ(later.size(), 1u);
  EXPECT_FALSE(later[0]->cancelled());
  EXPECT_FALSE(c->closed);
  loop->run_for(200ms);
  EXPECT_TRUE(c->closed);
  EXPECT_EQ(outcome(*c).error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(outcome(*c).error().reason, "deadline");
  EXPECT_EQ(cancelled, 1);
  EXPECT_TRUE(later[0]->cancelled());
  EXPECT_EQ(dispatcher.stats().open_calls, 1u);
  later[0]->finish("too late");
  EXPECT_EQ(dispatcher.stats().open_calls, 0u);
}

TEST_F(GrpcServiceTest, AClientThatGoesCancelsItsCalls) {
  auto c = call("/t.S/Later", framed("x"));
  auto s = call("/t.S/Talk", framed("a"), {}, false);
  loop->run_ready();
  ASSERT_EQ(later.size(), 1u);
  EXPECT_EQ(alive, 1);
  client->reset(*c);
  client->reset(*s);
  loop->run_ready();
  EXPECT_EQ(cancelled, 2);
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(dispatcher.stats().open_calls, 1u);
  later[0]->finish(cancelled > 0 ? colony::cancelled("gone") : internal_error("?"));
  EXPECT_EQ(dispatcher.stats().open_calls, 0u);
  EXPECT_EQ(dispatcher.stats().cancelled, 2u);
}

TEST_F(GrpcServiceTest, CallsThatNobodyFinishesGoWithTheDispatcher) {
  Dispatcher own;
  own.unary("/t.S/Never", [](std::string_view, UnaryCall&) {});
  H2TestServer other(*loop, async::Endpoint{"sim:81"}, own);
  H2TestClient peer(*loop, async::Endpoint{"sim:81"});
  peer.call("POST", "/t.S/Never", {{"content-type", "application/grpc"}}, framed("x"), true);
  loop->run_ready();
  EXPECT_EQ(own.stats().open_calls, 1u);
}

TEST_F(GrpcServiceTest, ABidirectionalStreamTalksBothWays) {
  auto c = call("/t.S/Talk", framed("one"), {}, false);
  loop->run_ready();
  EXPECT_EQ(messages(*c), std::vector<std::string>{"[one]"});
  client->send(*c, framed("two") + framed("three"), false);
  loop->run_ready();
  EXPECT_EQ(messages(*c), (std::vector<std::string>{"[one]", "[two]", "[three]"}));
  client->send(*c, {}, true);
  finish(*c);
  EXPECT_EQ(c->trailers["grpc-status"], "0");
  EXPECT_EQ(alive, 0);
}

TEST_F(GrpcServiceTest, AStreamMayBeEndedByTheMethodWhileTheClientTalks) {
  auto c = call("/t.S/Talk", framed("a") + framed("stop") + framed("b"), {}, false);
  finish(*c);
  EXPECT_EQ(messages(*c), std::vector<std::string>{"[a]"});
  EXPECT_EQ(outcome(*c).error().code, Code::kFailedPrecondition);
  EXPECT_EQ(alive, 0);
}

TEST_F(GrpcServiceTest, APausedStreamClosesTheClientsWindow) {
  auto c = call("/t.S/Talk", framed("a"), {}, false);
  loop->run_ready();
  streams.at(0)->pause();
  std::string many;
  for (int i = 0; i < 100; ++i) many += framed(std::string(9000, 'p'));
  client->send(*c, many, true);
  loop->run_ready();
  EXPECT_EQ(messages(*c).size(), 1u);
  EXPECT_LE(dispatcher.buffered_bytes(), 256u * 1024);
  EXPECT_LT(c->sent, 400'000u);
  streams.at(0)->resume();
  finish(*c);
  EXPECT_EQ(messages(*c).size(), 101u);
}

TEST_F(GrpcServiceTest, WhatIsNotACallIsRefusedInItsOwnTerms) {
  auto plain = client->call("POST", "/t.S/Echo", {{"content-type", "text/plain"}}, "x", true);
  auto web = client->call("POST", "/t.S/Echo", {{"content-type", "application/grpc-web"}}, "x", true);
  auto get = client->call("GET", "/t.S/Echo", {{"content-type", "application/grpc"}}, {}, true);
  auto unknown = call("/t.S/Nothing", framed("x"));
  auto snappy = call("/t.S/Echo", framed("x"), {{"grpc-encoding", "snappy"}});
  auto timeout = call("/t.S/Echo", framed("x"), {{"grpc-timeout", "soon"}});
  finish(*timeout);
  EXPECT_EQ(plain->status, 415);
  EXPECT_EQ(web->status, 415);
  EXPECT_EQ(get->status, 405);
  EXPECT_EQ(outcome(*unknown).error().code, Code::kUnimplemented);
  EXPECT_EQ(outcome(*snappy).error().code, Code::kUnimplemented);
  EXPECT_EQ(snappy->headers["grpc-accept-encoding"], "identity, gzip, deflate, zstd");
  EXPECT_EQ(outcome(*timeout).error().code, Code::kInvalidArgument);
}

std::string packed(compress::Coding coding, std::string_view message) {
  std::string out;
  append_message(out, compress::compress(coding, message), Packed::kYes);
  return out;
}

TEST_F(GrpcServiceTest, CompressedMessagesAreUnpackedAndRepliesPackedForWhoReadsThem) {
  const std::string text(5000, 'x');
  for (const auto coding : {compress::Coding::kGzip, compress::Coding::kDeflate, compress::Coding::kZstd}) {
    const std::string name(compress::to_string(coding));
    auto both = call("/t.S/Echo", packed(coding, text),
                     {{"grpc-encoding", name}, {"grpc-accept-encoding", "identity," + name}});
    auto one_way = call("/t.S/Echo", packed(coding, text), {{"grpc-encoding", name}});
    auto small = call("/t.S/Echo", framed("plain"), {{"grpc-encoding", name}, {"grpc-accept-encoding", name}});
    auto stream = call("/t.S/Talk", packed(coding, "a") + framed("b") + packed(coding, text),
                       {{"grpc-encoding", name}, {"grpc-accept-encoding", name}});
    for (auto* c : {&both, &one_way, &small, &stream}) finish(**c);
    EXPECT_EQ(both->headers["grpc-encoding"], name);
    EXPECT_EQ(both->body[0], 1);
    EXPECT_EQ(compress::decompress(coding, std::string_view(both->body).substr(5), 1 << 20), "<" + text + ">");
    EXPECT_EQ(one_way->headers.count("grpc-encoding"), 0u);
    EXPECT_EQ(messages(*one_way), std::vector<std::string>{"<" + text + ">"});
    EXPECT_EQ(messages(*small), std::vector<std::string>{"<plain>"});
    EXPECT_TRUE(stream->body.starts_with(framed("[a]") + framed("[b]"))) << stream->body;
    EXPECT_TRUE(outcome(*stream));
  }
}

TEST_F(GrpcServiceTest, CompressedMessagesThatAreBrokenOrExplodeEndTheirCall) {
  const H2TestClient::Fields gzip{{"grpc-encoding", "gzip"}};
  auto broken = call("/t.S/Echo", std::string("\x01\0\0\0\x05rubbish", 10), gzip);
  auto bomb = call("/t.S/Echo", packed(compress::Coding::kGzip, std::string((1 << 20) + 1, '\0')), gzip);
  auto stream =
      call("/t.S/Talk", framed("a") + packed(compress::Coding::kGzip, std::string((1 << 20) + 1, '\0')), gzip);
  auto good = call("/t.S/Echo", packed(compress::Coding::kGzip, std::string(10'000, '\0')), gzip);
  for (auto* c : {&broken, &bomb, &stream, &good}) finish(**c);
  EXPECT_EQ(outcome(*broken).error().code, Code::kInvalidArgument);
  EXPECT_EQ(outcome(*bomb).error().code, Code::kResourceExhausted);
  EXPECT_EQ(messages(*stream), std::vector<std::string>{"[a]"});
  EXPECT_EQ(outcome(*stream).error().code, Code::kResourceExhausted);
  EXPECT_TRUE(outcome(*good));
  EXPECT_EQ(dispatcher.stats().open_calls, 0u);
}

TEST_F(GrpcServiceTest, AMethodMayTakeMessagesAsTheyWereSent) {
  dispatcher.unary(
      "/t.S/Raw",
      [](std::string_view message, UnaryCall& call) {
        EXPECT_EQ(call.reply_coding(), compress::Coding::kGzip);
        call.finish(message, call.message_coding() == compress::Coding::kGzip ? Packed::kYes : Packed::kNo);
      },
      Messages::kAsSent);
  const H2TestClient::Fields gzip{{"grpc-encoding", "gzip"}, {"grpc-accept-encoding", "gzip"}};
  const std::string wire = packed(compress::Coding::kGzip, "hello");
  auto as_sent = call("/t.S/Raw", wire, gzip);
  auto plain = call("/t.S/Raw", framed(std::string(5000, 'x')), gzip);
  finish(*as_sent);
  finish(*plain);
  EXPECT_EQ(as_sent->body, wire);
  EXPECT_EQ(plain->body, framed(std::string(5000, 'x')));
}

TEST_F(GrpcServiceTest, BrokenFramingEndsItsCallOnly) {
  auto compressed = call("/t.S/Echo", std::string("\x01\0\0\0\x01x", 6));
  auto cut = call("/t.S/Echo", framed("hello").substr(0, 7));
  auto none = call("/t.S/Echo", {});
  auto two = call("/t.S/Echo", framed("a") + framed("b"));
  auto second_later = call("/t.S/Later", framed("a"), {}, false);
  loop->run_ready();
  client->send(*second_later, framed("b"), true);
  auto huge = call("/t.S/Echo", std::string("\0\x7f\xff\xff\xff", 5));
  auto cut_stream = call("/t.S/Talk", framed("a").substr(0, 5));
  auto good = call("/t.S/Echo", framed("fine"));
  for (auto* c : {&compressed, &cut, &none, &two, &second_later, &huge, &cut_stream, &good}) finish(**c);
  EXPECT_EQ(outcome(*compressed).error().code, Code::kInternal);
  EXPECT_EQ(outcome(*cut).error().code, Code::kInvalidArgument);
  EXPECT_EQ(outcome(*none).error().code, Code::kUnimplemented);
  EXPECT_EQ(outcome(*two).error().code, Code::kUnimplemented);
  EXPECT_EQ(outcome(*second_later).error().code, Code::kUnimplemented);
  EXPECT_EQ(outcome(*huge).error().code, Code::kResourceExhausted);
  EXPECT_EQ(outcome(*cut_stream).error().code, Code::kInvalidArgument);
  EXPECT_EQ(messages(*good), std::vector<std::string>{"<fine>"});
  EXPECT_EQ(cancelled, 1);
  later.at(0)->finish("let go");
  EXPECT_EQ(dispatcher.stats().open_calls, 0u);
}

TEST_F(GrpcServiceTest, UnfinishedMessagesOfAllCallsTogetherAreBounded) {
  std::vector<std::shared_ptr<H2TestCall>> calls;
  for (int i = 0; i < 8; ++i) {
    std::string part;
    append_prefix(part, 1'000'000);
    part.append(900'000, 'x');
    calls.push_back(call("/t.S/Echo", part, {}, false));
    loop->run_ready();
  }
  size_t refused = 0;
  for (const auto& c : calls) refused += c->ended && outcome(*c).error().code == Code::kUnavailable;
  EXPECT_EQ(refused, 5u);
  EXPECT_LE(dispatcher.buffered_bytes(), 3u << 20);
}

TEST_F(GrpcServiceTest, TheirBoundMayBeOneThatOthersCountAgainst) {
  size_t held = 0;
  Dispatcher own{{.max_buffered = 100'000, .full_reason = "house_full", .buffered = &held}};
  own.unary("/t.S/Echo", [](std::string_view message, UnaryCall& call) { call.finish(message); });
  own.streaming("/t.S/Talk", [this](StreamCall& call) -> std::unique_ptr<StreamHandler> {
    return std::make_unique<EchoStream>(call, alive, cancelled);
  });
  H2TestServer other(*loop, async::Endpoint{"sim:83"}, own);
  H2TestClient peer(*loop, async::Endpoint{"sim:83"});
  const auto begin = [&](const char* path, const std::string& body, bool end) {
    auto c = peer.call("POST", path, {{"content-type", "application/grpc"}, {"te", "trailers"}}, body, end);
    loop->run_ready();
    return c;
  };
  const std::string whole = framed(std::string(60'000, 'x'));
  auto part = begin("/t.S/Echo", whole.substr(0, 50'000), false);
  EXPECT_EQ(held, 50'000u);
  for (const char* path : {"/t.S/Echo", "/t.S/Talk"}) {
    const auto refused = begin(path, whole, true);
    EXPECT_EQ(outcome(*refused).error().code, Code::kUnavailable) << path;
    EXPECT_EQ(outcome(*refused).error().reason, "house_full");
    EXPECT_EQ(held, 50'000u);
  }
  peer.send(*part, whole.substr(50'000), true);
  finish(*part);
  EXPECT_TRUE(outcome(*part));
  EXPECT_EQ(held, 0u);
  held = 90'000;
  EXPECT_EQ(outcome(*begin("/t.S/Echo", whole, true)).error().code, Code::kUnavailable) << "what others hold counts";
  held = 0;
  EXPECT_TRUE(outcome(*begin("/t.S/Talk", whole, true)));
}

TEST_F(GrpcServiceTest, AMethodThatAsksSmallQuestionsTakesSmallMessages) {
  Dispatcher own{{.max_plain = 1000}};
  for (const auto kind : {Messages::kPlain, Messages::kAsSent})
    own.unary(
        kind == Messages::kPlain ? "/t.S/Small" : "/t.S/Large",
        [](std::string_view message, UnaryCall& call) { call.finish(message); }, kind);
  H2TestServer other(*loop, async::Endpoint{"sim:84"}, own);
  H2TestClient peer(*loop, async::Endpoint{"sim:84"});
  const auto ask = [&](const char* path, const std::string& body) {
    auto c = peer.call("POST", path, {{"content-type", "application/grpc"}, {"grpc-encoding", "gzip"}}, body, true);
    loop->run_ready();
    return outcome(*c) ? Code::kOk : outcome(*c).error().code;
  };
  EXPECT_EQ(ask("/t.S/Small", framed(std::string(1000, 'x'))), Code::kOk);
  EXPECT_EQ(ask("/t.S/Small", framed(std::string(1001, 'x'))), Code::kResourceExhausted);
  EXPECT_EQ(ask("/t.S/Small", packed(compress::Coding::kGzip, std::string(1001, 'x'))), Code::kResourceExhausted);
  EXPECT_EQ(ask("/t.S/Large", framed(std::string(5000, 'x'))), Code::kOk);
}

TEST_F(GrpcServiceTest, HealthTellsTheStatusAndItsChanges) {
  Health health;
  Dispatcher own;
  health.register_on(own);
  health.set("", Serving::kServing);
  H2TestServer other(*loop, async::Endpoint{"sim:82"}, own);
  H2TestClient peer(*loop, async::Endpoint{"sim:82"});
  const auto ask = [&](const char* method, std::string_view request) {
    return peer.call("POST", std::string("/grpc.health.v1.Health/") + method, {{"content-type", "application/grpc"}},
                     framed(request), true);
  };
  auto whole = ask("Check", "");
  auto unknown = ask("Check", "\x0a\x03llm");
  auto watch = ask("Watch", "\x0a\x03llm");
  auto broken = ask("Check", "\x0a\x7f");
  loop->run_ready();
  EXPECT_EQ(messages(*whole), std::vector<std::string>{"\x08\x01"});
  EXPECT_EQ(outcome(*unknown).error().code, Code::kNotFound);
  EXPECT_EQ(outcome(*broken).error().code, Code::kInvalidArgument);
  EXPECT_EQ(messages(*watch), std::vector<std::string>{"\x08\x03"});
  health.set("llm", Serving::kServing);
  health.set("llm", Serving::kServing);
  health.remove("llm");
  health.set("llm", Serving::kServing);
  health.shut_down();
  health.set("llm", Serving::kServing);
  loop->run_ready();
  EXPECT_EQ(messages(*watch), (std::vector<std::string>{"\x08\x03", "\x08\x01", "\x08\x03", "\x08\x01", "\x08\x02"}));
  EXPECT_FALSE(watch->closed);
}

}  // namespace
}  // namespace colony::grpc
