// The same proxy on real loops with threads of their own: slots stay exact across loops, hand-overs reach who waits, tables
// change meanwhile, and everything comes down in order. Short; its value is under ThreadSanitizer.
#include "request/proxy/threads_test_support.h"

#include "base/rng.h"

namespace colony::proxy::testing {
namespace {

TEST(ProxyThreads, BoundsHoldOverLoopsAndNothingIsLost) {
  {
    colony::testing::TempDir folder;
    LoopThread home, a, b, replicas;
    std::unique_ptr<SlowEcho> services[2];
    std::unique_ptr<http::Server> servers[2];
    std::unique_ptr<House> house;
    home.run([&] { house = std::make_unique<House>(*home.loop); });
    for (int i = 0; i < 2; ++i) house->addresses.push_back("unix:" + (folder / std::to_string(i)));
    replicas.run([&] {
      for (size_t i = 0; i < 2; ++i) {
        services[i] = std::make_unique<SlowEcho>(*replicas.loop);
        auto s = http::Server::listen(*replicas.loop, {house->addresses[i]}, *services[i], {.accept_frames = true});
        ASSERT_TRUE(s) << s.error().message;
        servers[i] = std::move(*s);
      }
    });
    home.run([&] {
      house->proxy =
          std::make_unique<Proxy>(*home.loop, house->registry, std::vector<async::Loop*>{a.loop.get(), b.loop.get()},
                                  ProxyOptions{.listen = {"127.0.0.1:0"}});
    });
    house->run(home, [&] { return house->up(); });
    std::atomic<int> good{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 8; ++i)
      clients.emplace_back([&] {
        for (int k = 0; k < 10; ++k) {
          Client client(house->port);
          std::string body;
          for (int n = 0; n < 10; ++n) good += client.ask("/echo", "hello", body) == 200 && body == "hello" ? 1 : 0;
        }
      });
    for (int i = 0; i < 10; ++i) house->run(home, [&] { return house->publish(2); });
    for (auto& c : clients) c.join();
    EXPECT_EQ(good.load(), 800);
    // The last requests are counted once their replies are out; whichever loop is asked tells what both have counted.
    std::string counts;
    for (int i = 0; i < 500 && counts.find(R"("success":{"count":800,)") == counts.npos; ++i) {
      std::this_thread::sleep_for(10ms);
      EXPECT_EQ(Client(house->port).ask("/v2/models/stats", "", counts, "GET"), 200);
    }
    EXPECT_TRUE(counts.find(R"("success":{"count":800,)") != counts.npos) << counts;
    house->run(home, [&] { return house->down(); });
    home.run([&] { house.reset(); });
    replicas.run([&] {
      for (size_t i = 0; i < 2; ++i) {
        EXPECT_LE(services[i]->most(), 2);
        EXPECT_GE(services[i]->most(), 1);
        servers[i].reset();
        services[i].reset();
      }
    });
  }
}

// Three loops, one replica for three at once, five may wait: of 40 requests at once, wherever they arrive, eight are taken.
TEST(ProxyThreads, ExactlyAsManyRunAndWaitAsTheBoundsSayOverAllLoops) {
  colony::testing::TempDir folder;
  LoopThread home, loops[3], replicas;
  std::unique_ptr<SlowEcho> service;
  std::unique_ptr<http::Server> server;
  std::unique_ptr<House> house;
  home.run([&] { house = std::make_unique<House>(*home.loop); });
  house->addresses.push_back("unix:" + (folder / "r"));
  replicas.run([&] {
    service = std::make_unique<SlowEcho>(*replicas.loop);
    service->close();
    auto s = http::Server::listen(*replicas.loop, {house->addresses[0]}, *service, {.accept_frames = true});
    ASSERT_TRUE(s) << s.error().message;
    server = std::move(*s);
  });
  home.run([&] {
    std::vector<async::Loop*> list;
    for (auto& l : loops) list.push_back(l.loop.get());
    house->proxy = std::make_unique<Proxy>(*home.loop, house->registry, list, ProxyOptions{.listen = {"127.0.0.1:0"}});
  });
  house->run(home, [&] { return house->publish(3, 5); });
  house->run(home, [&] { return house->listen(); });
  for (int round = 0; round < 5; ++round) {
    std::atomic<int> good{0}, full{0}, other{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 40; ++i)
      clients.emplace_back([&] {
        Client client(house->port);
        std::string body;
        const int status = client.ask("/echo", "x", body);
        ++(status == 200 ? good : status == 503 && body.find("queue_full") != body.npos ? full : other);
      });
    for (int k = 0; k < 2000 && full + other < 32; ++k) std::this_thread::sleep_for(5ms);
    EXPECT_EQ(full.load(), 32);
    replicas.run([&] { service->open(); });
    for (auto& c : clients) c.join();
    replicas.run([&] { service->close(); });
    EXPECT_EQ(good.load(), 8);
    EXPECT_EQ(other.load(), 0);
  }
  EXPECT_EQ(service->most(), 3);
  replicas.run([&] { service->open(); });
  house->run(home, [&] { return house->down(); });
  home.run([&] { house.reset(); });
  replicas.run([&] {
    server.reset();
    service.reset();
  });
}

// Apps come, go and come again, replicas too, some by kill; clients ask all the time. Every request ends, with its own body
// or with an error that says why, and no replica ever has more at once than its bound.
TEST(ProxyThreads, AppsAndReplicasThatComeAndGoUnderLoadLoseNoRequest) {
  colony::testing::TempDir folder;
  LoopThread home, a, b, replicas;
  constexpr size_t kReplicas = 4;
  std::unique_ptr<SlowEcho> services[kReplicas];
  std::unique_ptr<http::Server> servers[kReplicas];
  std::string at[kReplicas];
  const auto start = [&](size_t i) {
    auto s = http::Server::listen(*replicas.loop, {at[i]}, *services[i], {.accept_frames = true});
    ASSERT_TRUE(s) << s.error().message;
    servers[i] = std::move(*s);
  };
  std::unique_ptr<House> house;
  home.run([&] { house = std::make_unique<House>(*home.loop); });
  replicas.run([&] {
    for (size_t i = 0; i < kReplicas; ++i) {
      at[i] = "unix:" + (folder / std::to_string(i));
      services[i] = std::make_unique<SlowEcho>(*replicas.loop);
      start(i);
    }
  });
  home.run([&] {
    house->proxy =
        std::make_unique<Proxy>(*home.loop, house->registry, std::vector<async::Loop*>{a.loop.get(), b.loop.get()},
                                ProxyOptions{.listen = {"127.0.0.1:0"}});
  });
  house->run(home, [&] { return house->publish_app("x", "/x", {at[0], at[1]}, 2, 8); });
  house->run(home, [&] { return house->listen(); });

  std::atomic<bool> stop{false};
  std::atomic<int> good{0}, missing{0}, busy{0}, wrong{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i)
    clients.emplace_back([&, i] {
      Rng rng(static_cast<uint64_t>(i) + 1);
      Client client(house->port);
      while (!stop.load()) {
        const std::string sent(1 + rng.below(3000), static_cast<char>('a' + i));
        std::string body;
        const int status = client.ask(rng.below(2) ? "/x/echo" : "/y/echo", sent, body);
        if (status == 200 && body == sent)
          ++good;
        else if (status == 404)
          ++missing;
        else if (status == 503)
          ++busy;
        else
          ++wrong;
      }
    });
  const uint64_t seed = 4;
  SCOPED_TRACE(seed);
  Rng rng(seed);
  const auto some = [&] {
    std::vector<std::string> out;
    for (const auto& one : at)
      if (rng.below(3) > 0) out.push_back(one);
    return out;
  };
  for (int step = 0; step < 150; ++step) {
    const std::string app = rng.below(2) ? "x" : "y";
    switch (rng.below(4)) {
      case 0: house->run(home, [&] { return house->withdraw(app); }); break;
      case 1: {
        const size_t i = rng.below(kReplicas);
        replicas.run([&] {
          servers[i].reset();
          start(i);
        });
        break;
      }
      default:
        house->run(home, [&] { return house->publish_app(app, "/" + app, some(), 2, static_cast<int>(rng.below(9))); });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(rng.below(8)));
  }
  house->run(home, [&] { return house->publish_app("x", "/x", {at[0], at[1]}, 2, 8); });
  house->run(home, [&] { return house->withdraw("y"); });
  stop = true;
  for (auto& c : clients) c.join();
  EXPECT_EQ(wrong.load(), 0) << good << " good, " << missing << " without an app, " << busy << " told to come back";
  EXPECT_GT(good.load(), 50);
  EXPECT_GT(missing.load(), 0);
  house->run(home, [&] { return house->down(); });
  home.run([&] { house.reset(); });
  replicas.run([&] {
    for (size_t i = 0; i < kReplicas; ++i) {
      EXPECT_LE(services[i]->most(), 2) << i;
      servers[i].reset();
      services[i].reset();
    }
  });
}

TEST(ProxyThreads, APortThatOtherLoopsHoldIsRefusedAndNotShared) {
  LoopThread home, a, b, other;
  std::unique_ptr<async::Listener> held;
  std::string address;
  other.run([&] {
    auto l = other.loop->listen({"127.0.0.1:0"}, [](std::unique_ptr<async::Stream>) {}, {.reuse_port = true});
    ASSERT_TRUE(l);
    held = std::move(*l);
    address = held->endpoint().text;
  });
  std::unique_ptr<House> house;
  home.run([&] {
    house = std::make_unique<House>(*home.loop);
    house->proxy =
        std::make_unique<Proxy>(*home.loop, house->registry, std::vector<async::Loop*>{a.loop.get(), b.loop.get()},
                                ProxyOptions{.listen = {address}});
  });
  house->run(home, [&] { return house->refused(); });
  home.run([&] { house.reset(); });
  other.run([&] { held.reset(); });
}

}  // namespace
}  // namespace colony::proxy::testing
