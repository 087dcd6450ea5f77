// Placement: what fits, where it goes, the words when nothing fits; and a random walk against a naive model.
#include "policy/place.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/rng.h"

namespace colony::policy {
namespace {

Demand demand(std::string actor, double cpus, std::string deployment = "d") {
  Demand d{.actor = std::move(actor), .app = "app", .deployment = std::move(deployment)};
  d.need.num_cpus = cpus;
  return d;
}

TEST(Place, FillsANodeExactlyEvenInTenths) {
  Ledger ledger;
  ledger.set_node({.id = "n", .cpus = 1});
  for (int i = 0; i < 10; ++i) {
    auto d = demand(std::to_string(i), 0.1);
    auto node = ledger.choose(d);
    ASSERT_TRUE(node.has_value()) << i << node.error().message;
    ledger.hold(d, *node);
  }
  EXPECT_DOUBLE_EQ(ledger.usage("n").cpus, 1);
  EXPECT_EQ(ledger.choose(demand("last", 0.1)).error().code, Code::kResourceExhausted);
  EXPECT_TRUE(ledger.choose(demand("free", 0)).has_value()) << "what needs nothing always fits";
}

TEST(Place, SaysWhatIsNeededAndWhatIsFree) {
  Ledger ledger;
  ledger.set_node({.id = "node-1", .cpus = 16, .cpu_note = "8 per core"});
  ledger.hold(demand("a", 14), "node-1");
  auto refused = ledger.choose(demand("b", 4));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message, "node-1: needs 4 cpus, 2 of 16 (8 per core) are free");
  EXPECT_EQ(refused.error().reason, "no_capacity");
  EXPECT_EQ(ledger.choose(demand("c", 17)).error().reason, "too_large");
  auto gpu = demand("g", 0);
  gpu.need.num_gpus = 1;
  EXPECT_EQ(ledger.choose(gpu).error().message, "node-1: needs 1 gpu, 0 of 0 are free");
  auto custom = demand("t", 0);
  custom.need.resources["tpu"] = 2;
  EXPECT_EQ(ledger.choose(custom).error().message, "node-1: needs 2 tpus, 0 of 0 are free");
}

TEST(Place, CountsMemoryOnlyWhereTheNodeSaysHowMuchItHas) {
  Ledger ledger;
  ledger.set_node({.id = "a", .cpus = 8, .memory = 4ULL << 30});
  auto d = demand("x", 0);
  d.need.memory = 3ULL << 30;
  ledger.hold(d, *ledger.choose(d));
  d.actor = "y";
  EXPECT_EQ(ledger.choose(d).error().message, "a: needs 3 GiB of memory, 1 GiB of 4 GiB are free");
  ledger.set_node({.id = "b", .cpus = 8});
  EXPECT_EQ(ledger.choose(d).value(), "b");
}

TEST(Place, SpreadTakesTheNodeWithTheFewestOfThisDeploymentAndPackTheFullest) {
  Ledger ledger;
  ledger.set_node({.id = "a", .cpus = 8});
  ledger.set_node({.id = "b", .cpus = 8});
  ledger.hold(demand("1", 1), "a");
  EXPECT_EQ(ledger.choose(demand("2", 1)).value(), "b");
  auto pack = demand("2", 1);
  pack.spread = false;
  EXPECT_EQ(ledger.choose(pack).value(), "a");
  ledger.hold(demand("other", 4, "other"), "b");
  EXPECT_EQ(ledger.choose(demand("2", 1)).value(), "b") << "another deployment's actors do not count";
}

TEST(Place, KeepsTheBoundPerNode) {
  Ledger ledger;
  ledger.set_node({.id = "a", .cpus = 8});
  auto d = demand("1", 1);
  d.max_per_node = 1;
  ledger.hold(d, "a");
  d.actor = "2";
  EXPECT_EQ(ledger.choose(d).error().message,
            "a: it has 1 of this deployment already, the most that max_replicas_per_node allows");
}

TEST(Place, ANamedNodeIsTakenOrRefusedByName) {
  Ledger ledger;
  ledger.set_node({.id = "a", .cpus = 8});
  ledger.set_node({.id = "b", .cpus = 8, .alive = false});
  auto d = demand("1", 1);
  d.node = "a";
  EXPECT_EQ(ledger.choose(d).value(), "a");
  d.node = "b";
  EXPECT_EQ(ledger.choose(d).error().message, "node 'b' does not answer");
  d.node = "c";
  EXPECT_EQ(ledger.choose(d).error().message, "node 'c' is not known");
  EXPECT_EQ(Ledger().choose(demand("1", 0)).error().reason, "no_such_node");
}

TEST(Place, NamesAFewNodesAndCountsTheRest) {
  Ledger ledger;
  for (int i = 0; i < 9; ++i) ledger.set_node({.id = "n" + std::to_string(i), .cpus = 1});
  const auto refused = ledger.choose(demand("x", 2));
  EXPECT_NE(refused.error().message.find("n3: needs"), std::string::npos);
  EXPECT_EQ(refused.error().message.find("n4: needs"), std::string::npos);
  EXPECT_TRUE(refused.error().message.ends_with("; and 5 more nodes")) << refused.error().message;
}

// A model that knows nothing of the code: integers in tenths, nodes in a vector.
TEST(Place, AgreesWithANaiveModelOverRandomActions) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    Ledger ledger;
    constexpr int kNodes = 4;
    struct Model {
      int64_t capacity = 0;
      bool alive = true;
      std::map<std::string, int64_t> held;
      std::map<std::string, std::string> deployment_of;
      int64_t used() const {
        int64_t sum = 0;
        for (const auto& [id, n] : held) sum += n;
        return sum;
      }
      int count(const std::string& deployment) const {
        int n = 0;
        for (const auto& [id, d] : deployment_of) n += d == deployment;
        return n;
      }
    };
    std::map<std::string, Model> model;
    std::map<std::string, std::string> where;
    for (int i = 0; i < kNodes; ++i) {
      const std::string id = "n" + std::to_string(i);
      model[id].capacity = static_cast<int64_t>(rng.below(60));
      ledger.set_node({.id = id, .cpus = static_cast<double>(model[id].capacity) / 10});
    }
    for (int step = 0; step < 400; ++step) {
      const auto action = rng.below(10);
      if (action < 6) {
        const int64_t need = static_cast<int64_t>(rng.below(25));
        auto d = demand("a" + std::to_string(step), static_cast<double>(need) / 10, rng.below(2) == 0 ? "d" : "e");
        d.spread = rng.below(2) == 0;
        d.max_per_node = static_cast<int>(rng.below(3)) * 2;
        std::set<std::string> fits;
        for (const auto& [id, m] : model) {
          if (m.alive && (need == 0 || m.used() + need <= m.capacity) &&
              (d.max_per_node == 0 || m.count(d.deployment) < d.max_per_node)) {
            fits.insert(id);
          }
        }
        const auto chosen = ledger.choose(d);
        ASSERT_EQ(chosen.has_value(), !fits.empty());
        if (!chosen) {
          ASSERT_FALSE(chosen.error().message.empty());
          continue;
        }
        ASSERT_TRUE(fits.contains(*chosen));
        for (const auto& id : fits) {
          if (d.spread) {
            ASSERT_LE(model[*chosen].count(d.deployment), model[id].count(d.deployment));
          } else {
            ASSERT_LE(model[*chosen].capacity - model[*chosen].used(), model[id].capacity - model[id].used());
          }
        }
        ledger.hold(d, *chosen);
        model[*chosen].held[d.actor] = need;
        model[*chosen].deployment_of[d.actor] = d.deployment;
        where[d.actor] = *chosen;
        ASSERT_EQ(ledger.choose(d).value(), *chosen) << "a held demand stays where it is";
      } else if (action < 9 && !where.empty()) {
        auto it = std::next(where.begin(), static_cast<ptrdiff_t>(rng.below(where.size())));
        ledger.release(it->first);
        model[it->second].held.erase(it->first);
        model[it->second].deployment_of.erase(it->first);
        where.erase(it);
      } else {
        auto it = std::next(model.begin(), static_cast<ptrdiff_t>(rng.below(model.size())));
        it->second.alive = !it->second.alive;
        ledger.set_node(
            {.id = it->first, .cpus = static_cast<double>(it->second.capacity) / 10, .alive = it->second.alive});
      }
      for (const auto& [id, m] : model) {
        ASSERT_EQ(std::llround(ledger.usage(id).cpus * 10), m.used());
        ASSERT_EQ(ledger.usage(id).actors, static_cast<int>(m.held.size()));
      }
    }
  }
}

}  // namespace
}  // namespace colony::policy
