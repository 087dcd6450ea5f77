// The same replica on a real loop with a real pool: what the simulated tests cannot show, threads. Run under TSan too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "request/replica/replica_test_support.h"
#include "tests/support/epoll_drive.h"

namespace colony::replica::testing {
namespace {

struct Load {
  int left = 0, ok = 0, late = 0, other = 0;
};

async::Task<void> worker(http::Client* client, async::Endpoint to, async::Loop* loop, int requests, Load* load) {
  for (int i = 0; i < requests; ++i) {
    // Every seventh gives up almost at once.
    const auto deadline = i % 7 == 0 ? Deadline::after(loop->now(), 1ms) : Deadline::never();
    auto reply = co_await client->fetch(to, {"POST", "/v2/models/m/infer", {}, question("x")}, deadline);
    if (!reply)
      ++load->late;
    else if (reply->status == 200)
      ++load->ok;
    else
      ++load->other;
  }
  --load->left;
}

async::Task<void> changer(Replica* replica, int rounds, int* done) {
  for (int i = 0; i < rounds; ++i) {
    auto changed = co_await replica->reconfigure(
        {"app", fake_spec("v" + std::to_string(i + 2), 64), {"m"}, static_cast<uint64_t>(i + 2), 5});
    EXPECT_TRUE(changed.has_value()) << changed.error().message;
    ++*done;
  }
}

async::Task<void> finish(Replica* replica, bool* done) {
  co_await replica->stop();
  *done = true;
}

TEST(ReplicaThreads, RequestsCancellationsAndReconfigurationsMeet) {
  FakeWorld fake;
  {
    auto loop = async::EpollLoop::create({.seed = 1});
    auto pool = async::BlockingPool::threads({.name = "infer", .threads = 4});
    ReplicaOptions options{
        .id = "app.d.1", .app = "app", .spec = fake_spec("v1", 64), .model_names = {"m"}, .epoch = 5};
    options.make_runtime = [&](const std::string&) -> Result<std::unique_ptr<runtime::Runtime>> {
      return std::make_unique<FakeRuntime>(fake);
    };
    auto replica = Replica::create(*loop, *pool, std::move(options));
    auto server = http::Server::listen(*loop, {"127.0.0.1:0"}, *replica, {.accept_frames = true});
    ASSERT_TRUE(server) << server.error().message;
    replica->start();
    ASSERT_TRUE(
        colony::testing::run_until(*loop, [&] { return replica->report().state == ReplicaState::kReady; }, 30s));

    async::Scope scope(*loop);
    http::Client client(*loop);
    Load load{.left = 16};
    int changes = 0;
    for (int i = 0; i < 16; ++i) scope.spawn(worker(&client, (*server)->endpoint(), loop.get(), 60, &load));
    scope.spawn(changer(replica.get(), 20, &changes));
    ASSERT_TRUE(colony::testing::run_until(*loop, [&] { return load.left == 0 && changes == 20; }, 120s));
    EXPECT_EQ(load.other, 0);
    EXPECT_GE(load.ok, 16 * 50);
    EXPECT_EQ(load.ok + load.late, 16 * 60);

    client.close();
    server->reset();
    bool stopped = false;
    scope.spawn(finish(replica.get(), &stopped));
    ASSERT_TRUE(colony::testing::run_until(*loop, [&] { return stopped && scope.running() == 0; }, 30s));
    replica.reset();
    pool.reset();
  }
  EXPECT_EQ(fake.live, 0) << "every model was given back";
}

}  // namespace
}  // namespace colony::replica::testing
