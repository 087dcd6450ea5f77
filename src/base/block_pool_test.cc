#include "base/block_pool.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace colony {
namespace {

struct Counted {
  explicit Counted(std::shared_ptr<int> n) : counter(std::move(n)) {}
  std::shared_ptr<int> counter;
  char rest[40] = {};
};

TEST(BlockPool, ObjectsThatLiveTogetherHaveTheirOwnMemoryAndEndWhenDestroyed) {
  BlockPool<128, 2> pool;
  const auto counter = std::make_shared<int>(0);
  for (int round = 0; round < 3; ++round) {
    std::vector<Counted*> alive;
    for (int i = 0; i < 5; ++i) {
      alive.push_back(pool.make<Counted>(counter));
      alive.back()->rest[0] = static_cast<char>(i);
    }
    for (int i = 0; i < 5; ++i) EXPECT_EQ(alive[static_cast<size_t>(i)]->rest[0], i);
    EXPECT_EQ(counter.use_count(), 6);
    for (Counted* c : alive) pool.destroy(c);
    EXPECT_EQ(counter.use_count(), 1);
  }
}

}  // namespace
}  // namespace colony
