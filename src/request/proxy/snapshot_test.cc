#include "request/proxy/snapshot.h"

#include <gtest/gtest.h>

namespace colony::proxy {
namespace {

std::map<std::string, AppRecord> apps(int max_ongoing, std::vector<ReplicaRecord> replicas) {
  DeploymentRecord d;
  d.name = "d";
  d.models = {"app"};
  d.max_ongoing_requests = max_ongoing;
  d.replicas = std::move(replicas);
  return {{"app", AppRecord{.app = "app", .epoch = 1, .version = 1, .deployments = {d}}}};
}

ReplicaRecord replica(uint64_t incarnation) {
  ReplicaRecord r;
  r.id = "r";
  r.incarnation = incarnation;
  r.address = "unix:/r";
  return r;
}

TEST(Snapshot, AReplicaThatStaysKeepsItsCountAndGetsTheNewBound) {
  SnapshotBuilder builder({nullptr});
  auto slots = builder.build(1, apps(2, {replica(1)}))->shared[0].slots[0];
  ASSERT_TRUE(slots->try_acquire());
  EXPECT_EQ(builder.build(2, apps(5, {replica(1)}))->shared[0].slots[0], slots);
  EXPECT_EQ(slots->limit(), 5u);
  EXPECT_NE(builder.build(3, apps(5, {replica(2)}))->shared[0].slots[0], slots) << "another process";
}

// Its requests of before still run there: counted anew, they would run beyond the bound.
TEST(Snapshot, AReplicaThatComesBackIntoTheTableHasTheSlotsThatAreStillInUse) {
  SnapshotBuilder builder({nullptr});
  auto slots = builder.build(1, apps(2, {replica(1)}))->shared[0].slots[0];
  ASSERT_TRUE(slots->try_acquire());
  builder.build(2, apps(2, {}));
  EXPECT_EQ(builder.build(3, apps(2, {replica(1)}))->shared[0].slots[0], slots);
  builder.build(4, {});
  EXPECT_EQ(builder.build(5, apps(2, {replica(1)}))->shared[0].slots[0], slots) << "deleted and back";
  slots->release();
  slots.reset();
  builder.build(6, {});
  builder.build(7, {});
  EXPECT_EQ(builder.build(8, apps(2, {replica(1)}))->shared[0].slots[0]->outstanding(), 0u);
}

}  // namespace
}  // namespace colony::proxy
