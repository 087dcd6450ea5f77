// Calls and streams between a router and a client in simulated time: errors that travel whole, keep-alives, silence,
// partial reads, peers that go away, owners that close.
#include "transport/rpc/rpc.h"

#include <gtest/gtest.h>

#include <vector>

#include "async/sim_loop.h"
#include "transport/http/server.h"
#include "transport/rpc/envelope.h"

namespace colony::rpc {
namespace {

const async::Endpoint kAt{"peer:1"};

async::Task<Result<std::string>> echo(std::string request) { co_return "echo " + request; }
async::Task<Result<std::string>> refuse(std::string) {
  Error e = failed_precondition("epoch 3 is over", "stale_epoch");
  e.retry = Retry::kIfFresh;
  co_return fail(std::move(e));
}

async::Task<void> collect(Client& client, std::string method, std::string request, std::vector<std::string>* out,
                          size_t stop_at, std::optional<Result<void>>* result) {
  result->emplace(co_await client.stream("t.S", method, std::move(request), [out, stop_at](std::string_view message) {
    out->emplace_back(message);
    return out->size() < stop_at;
  }));
}

async::Task<void> do_call(Client& client, std::string method, std::optional<Result<std::string>>* result) {
  result->emplace(co_await client.call("t.S", method, "x", Deadline::never()));
}

class Rpc : public ::testing::Test {
 protected:
  explicit Rpc(async::SimLoop::Options options = {})
      : loop_(async::SimLoop::create(options)),
        router_(*loop_, {}),
        scope_(*loop_),
        tick_(*loop_),
        client_(*loop_, kAt) {
    mount(router_, "t.S", "Echo", echo);
    mount(router_, "t.S", "Refuse", refuse);
    mount(router_, "t.S", "Hang", [this](std::string) { return hang(); });
    mount_stream(router_, "t.S", "Count",
                 [this](std::string n, SendFn send) { return count(std::move(n), std::move(send)); });
    mount_stream(router_, "t.S", "Quiet", [this](std::string, SendFn send) { return quiet(std::move(send)); });
    auto server = http::Server::listen(*loop_, kAt, router_);
    CHECK(server.has_value());
    server_ = std::move(*server);
  }
  ~Rpc() override {
    client_.close();
    scope_.stop();
    server_.reset();
    loop_->run(router_.stop());
    loop_->run_ready();
  }

  async::Task<Result<std::string>> hang() {
    co_await tick_.wait(scope_);
    co_return std::string();
  }
  async::Task<void> count(std::string n, SendFn send) {
    for (int i = 1; i <= std::stoi(n); ++i) {
      if (!co_await send(std::string(static_cast<size_t>(i) * 1000, 'a'))) co_return;
    }
  }
  async::Task<void> quiet(SendFn send) {
    ++quiet_streams_;
    while (!scope_.stopping()) {
      if (co_await tick_.wait(scope_, Deadline::after(loop_->now(), 3s))) {
        co_await send("tick");
      } else if (!co_await send("")) {
        break;
      }
    }
    --quiet_streams_;
  }

  std::unique_ptr<async::SimLoop> loop_;
  http::Router router_;
  async::Scope scope_;
  async::Signal tick_;
  std::unique_ptr<http::Server> server_;
  Client client_;
  int quiet_streams_ = 0;
};

TEST_F(Rpc, ACallComesBackAndAnErrorTravelsWhole) {
  EXPECT_EQ(loop_->run(client_.call("t.S", "Echo", std::string("a\0b", 3), Deadline::never())).value(),
            std::string("echo a\0b", 8));
  EXPECT_EQ(loop_->run(client_.call("t.S", "Echo", "", Deadline::never())).value(), "echo ");
  const auto refused = loop_->run(client_.call("t.S", "Refuse", "x", Deadline::never()));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
  EXPECT_EQ(refused.error().reason, "stale_epoch");
  EXPECT_EQ(refused.error().message, "epoch 3 is over");
  EXPECT_EQ(refused.error().retry, Retry::kIfFresh);
  EXPECT_EQ(loop_->run(client_.call("t.S", "Nothing", "x", Deadline::never())).error().code, Code::kNotFound);
  EXPECT_EQ(loop_->run(client_.call("t.S", "Hang", "x", Deadline::after(loop_->now(), 1s))).error().code,
            Code::kDeadlineExceeded);
}

TEST_F(Rpc, NobodyThereIsUnavailable) {
  Client nobody(*loop_, {"nobody:1"});
  EXPECT_EQ(loop_->run(nobody.call("t.S", "Echo", "x", Deadline::after(loop_->now(), 5s))).error().code,
            Code::kUnavailable);
}

TEST_F(Rpc, AStreamEndsWhenItsMethodReturns) {
  std::vector<std::string> got;
  std::optional<Result<void>> result;
  loop_->run(collect(client_, "Count", "300", &got, 1000, &result));
  ASSERT_TRUE(result->has_value()) << result->error().message;
  ASSERT_EQ(got.size(), 300U);
  EXPECT_EQ(got[299].size(), 300'000U);
}

TEST_F(Rpc, AMessageBeyondTheLimitEndsItsStreamWithAnError) {
  mount_stream(router_, "t.S", "Large",
               [](std::string n, SendFn send) -> async::Task<void> { co_await send(std::string(std::stoul(n), 'a')); });
  std::vector<std::string> got;
  std::optional<Result<void>> result;
  loop_->run(collect(client_, "Large", std::to_string(kMaxMessage), &got, 1000, &result));
  EXPECT_TRUE(result->has_value());
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].size(), kMaxMessage);
  loop_->run(collect(client_, "Large", std::to_string(kMaxMessage + 1), &got, 1000, &result));
  ASSERT_FALSE(result->has_value());
  EXPECT_EQ(result->error().code, Code::kResourceExhausted);
  EXPECT_EQ(result->error().reason, "message_too_large");
  EXPECT_EQ(got.size(), 1U);
  loop_->run(collect(client_, "Count", std::string(kMaxMessage + 1, '1'), &got, 1000, &result));
  ASSERT_FALSE(result->has_value());
  EXPECT_EQ(result->error().reason, "message_too_large");
}

async::Task<void> go_on_after_the_end(http::ReplyStream& out, uint64_t& written) {
  out.start(200, "application/connect+proto");
  std::string end;
  EXPECT_TRUE(append_envelope(end, kEndOfStream, "{}"));
  co_await out.write(end);
  const std::string more(64 * 1024, 'x');
  while (written < 64 * 1024 * 1024 && co_await out.write(more)) written += more.size();
}

TEST_F(Rpc, AStreamThatGoesOnAfterItsEndIsBroken) {
  uint64_t written = 0;
  router_.stream("POST", "/t.S/Endless", [&written](const http::Request&, http::ReplyStream& out) {
    return go_on_after_the_end(out, written);
  });
  std::vector<std::string> got;
  std::optional<Result<void>> result;
  loop_->run(collect(client_, "Endless", "x", &got, 1000, &result));
  ASSERT_FALSE(result->has_value());
  EXPECT_EQ(result->error().reason, "bad_envelope");
  loop_->run_for(1s);
  EXPECT_LT(written, 4u * 1024 * 1024);
}

TEST_F(Rpc, AStreamMayBeStoppedByItsReader) {
  std::vector<std::string> got;
  std::optional<Result<void>> result;
  loop_->run(collect(client_, "Count", "300", &got, 3, &result));
  EXPECT_TRUE(result->has_value());
  EXPECT_EQ(got.size(), 3U);
}

TEST_F(Rpc, AQuietStreamIsKeptAliveAndABrokenOneIsNoticed) {
  std::vector<std::string> got;
  std::optional<Result<void>> result;
  async::Scope scope(*loop_);
  scope.spawn(collect(client_, "Quiet", "x", &got, 1000, &result));
  loop_->run_for(60s);
  EXPECT_FALSE(result.has_value());
  EXPECT_TRUE(got.empty()) << "keep-alives are not shown";
  tick_.notify();
  loop_->run_for(1s);
  EXPECT_EQ(got, std::vector<std::string>{"tick"});
  loop_->partition(kAt);
  loop_->run_for(11s);
  ASSERT_TRUE(result.has_value());
  EXPECT_FALSE(result->has_value());
  loop_->heal(kAt);
  loop_->run_for(10s);
  EXPECT_EQ(quiet_streams_, 0) << "the method has learnt that its reader is gone";
}

TEST_F(Rpc, AResetStreamIsUnavailable) {
  std::vector<std::string> got;
  std::optional<Result<void>> result;
  async::Scope scope(*loop_);
  scope.spawn(collect(client_, "Quiet", "x", &got, 1000, &result));
  loop_->run_for(1s);
  loop_->reset_all(kAt);
  loop_->run_for(1s);
  ASSERT_TRUE(result.has_value());
  EXPECT_FALSE(result->has_value());
}

TEST_F(Rpc, AStreamOfAMethodThatIsNotThereSaysSo) {
  std::vector<std::string> got;
  std::optional<Result<void>> result;
  loop_->run(collect(client_, "Nothing", "x", &got, 10, &result));
  ASSERT_FALSE(result->has_value());
  EXPECT_EQ(result->error().code, Code::kNotFound) << result->error().message;
}

TEST_F(Rpc, ClosingEndsWhatRunsAndRefusesWhatComes) {
  std::vector<std::string> got;
  std::optional<Result<void>> stream;
  std::optional<Result<std::string>> call, connecting;
  async::Scope scope(*loop_);
  Client held(*loop_, {"peer:2"});
  auto listener = loop_->listen({"peer:2"}, [](std::unique_ptr<async::Stream>) {});
  loop_->partition({"peer:2"});
  scope.spawn(do_call(held, "Echo", &connecting));
  scope.spawn(collect(client_, "Quiet", "x", &got, 1000, &stream));
  scope.spawn(do_call(client_, "Hang", &call));
  loop_->run_for(1s);
  client_.close();
  held.close();
  EXPECT_FALSE(stream.has_value()) << "never from inside close()";
  loop_->run_ready();
  ASSERT_TRUE(stream && call && connecting);
  EXPECT_EQ(stream->error().code, Code::kCancelled);
  EXPECT_EQ(call->error().code, Code::kCancelled);
  EXPECT_EQ(connecting->error().code, Code::kCancelled);
  EXPECT_EQ(loop_->run(client_.call("t.S", "Echo", "x", Deadline::never())).error().code, Code::kCancelled);
  loop_->heal({"peer:2"});
  loop_->run_for(1s);
}

class RpcInPieces : public Rpc {
 protected:
  RpcInPieces() : Rpc({.seed = 7, .max_chunk = 7}) {}
};

TEST_F(RpcInPieces, MessagesAreCutFromAnyPieces) {
  std::vector<std::string> got;
  std::optional<Result<void>> result;
  loop_->run(collect(client_, "Count", "5", &got, 1000, &result));
  ASSERT_TRUE(result->has_value());
  ASSERT_EQ(got.size(), 5U);
  EXPECT_EQ(got[4].size(), 5000U);
}

}  // namespace
}  // namespace colony::rpc
