// Requests that come together: which replicas they wake. In simulated time; how long a request keeps a replica's loop busy
// is what its service says (async::spend).
#include <algorithm>
#include <numeric>

#include "async/sim_spend.h"
#include "request/proxy/test_world.h"

namespace colony::proxy::testing {
namespace {

using std::string;

constexpr int kReplicas = 4;
constexpr size_t kPlaces = 10;  // of a burst, that they have earned

class World {
 public:
  explicit World(Duration each, int max_ongoing = 100) {
    std::vector<ReplicaRecord> records;
    for (int i = 0; i < kReplicas; ++i) {
      records.push_back(replica(i).record());
      replica(i).service.work = [this, each] { async::spend(w.loop(), each); };
    }
    w.deploy("app", "/", records, [&](DeploymentRecord& d) { d.max_ongoing_requests = max_ongoing; });
    for (int k = 0; k < 12; ++k) clients.push_back(w.client());
  }
  TestReplica& replica(int i) { return w.replica("r" + std::to_string(i)); }
  // A few in a turn, with time between: until bursts may be as long as this, and every replica has said something.
  void acquaint() {
    for (size_t k = 0; k < kPlaces * policy::Bursts::kPerPlace; k += 8) burst(8);
    for (int i = 0; i < kReplicas; ++i) EXPECT_GT(replica(i).service.calls.size(), 10u) << "each gets its share";
  }
  // How many of n requests of one turn each replica got, the most first; zeros are left out.
  std::vector<size_t> burst(size_t n, const string& path = "/echo") {
    std::vector<size_t> before, got;
    for (int i = 0; i < kReplicas; ++i) before.push_back(replica(i).service.calls.size());
    for (size_t k = 0; k < n; ++k) clients[k]->send(ProxyWorld::text("POST", path, "x"));
    w.loop().run_ready();
    for (int i = 0; i < kReplicas; ++i) {
      auto& calls = replica(i).service.calls;
      for (size_t k = before[static_cast<size_t>(i)]; k < calls.size(); ++k)
        if (!calls[k]->done) calls[k]->release("late");
      const size_t more = calls.size() - before[static_cast<size_t>(i)];
      if (more > 0) got.push_back(more);
    }
    for (size_t k = 0; k < n; ++k) EXPECT_EQ(w.reply(*clients[k]).status, 200);
    w.loop().run_for(2ms);
    std::sort(got.rbegin(), got.rend());
    return got;
  }
  ProxyWorld w;
  std::vector<std::unique_ptr<RawPeer>> clients;
};

TEST(ProxyBurst, CheapRequestsOfOneTurnGoToOneReplicaUpToTheTimeOfAWakeUp) {
  World b(20us);
  EXPECT_GT(b.burst(4).size(), 1u) << "nothing is known yet";
  b.acquaint();
  EXPECT_EQ(b.burst(5), std::vector<size_t>{5});
  const auto large = b.burst(12);
  EXPECT_EQ(large.size(), 3u);
  EXPECT_LE(large.front(), 6u) << "of two that have their five, one may be chosen";
}

TEST(ProxyBurst, RequestsThatTakeLongerAreSpread) {
  World b(60us);
  b.acquaint();
  EXPECT_LE(b.burst(4).front(), 2u);
}

TEST(ProxyBurst, AReplicaThatAnswersLaterThanInTheTurnGetsNoBurst) {
  World b(2us);
  b.acquaint();
  EXPECT_EQ(b.burst(8).front(), 8u);
  for (int i = 0; i < 8; ++i) b.burst(8, "/hold");  // by now all have answered so
  EXPECT_LE(b.burst(8, "/hold").front(), 3u) << "two choices";
  EXPECT_LE(b.burst(8).front(), 3u) << "and it is not forgotten at once";
}

TEST(ProxyBurst, AReplicaTakesNoMoreThanItsBound) {
  World b(2us, 3);
  b.acquaint();
  EXPECT_EQ(b.burst(9), (std::vector<size_t>{3, 3, 3}));
}

TEST(ProxyBurst, AReplicaThatIsGoneTakesNoBurstWithIt) {
  World b(2us);
  b.acquaint();
  for (int i = 0; i < kReplicas - 1; ++i) {
    b.replica(i).kill();
    const auto got = b.burst(8);  // in the same turn in which its last burst may have been
    EXPECT_EQ(std::accumulate(got.begin(), got.end(), size_t{0}), 8u);
  }
  EXPECT_EQ(b.burst(8), std::vector<size_t>{8});
}

}  // namespace
}  // namespace colony::proxy::testing
