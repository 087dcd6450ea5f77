// The clean environment: what is taken over, what is not, who wins.
#include "engine/agent/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace colony::engine {
namespace {

using ::testing::ElementsAre;

TEST(Environment, TakesOverAShortListAndNothingElse) {
  const char* const own[] = {
      "PATH=/bin",    "HOME=/root", "RAY_ADDRESS=x", "OMP_NUM_THREADS=1",          "CUDA_VISIBLE_DEVICES=0",
      "SECRET=token", "LC_ALL=C",   "COLONY_HTTP=1", "COLONY_ORT_LIBRARY=/ort.so", "NOEQUALS",
      nullptr};
  EXPECT_THAT(actor_environment(own, {}, {}),
              ElementsAre("COLONY_ORT_LIBRARY=/ort.so", "HOME=/root", "LC_ALL=C", "PATH=/bin"));
}

TEST(Environment, TheSpecWinsOverTheAgentAndTheAgentOverItsOwn) {
  const char* const own[] = {"PATH=/bin", "LANG=C", nullptr};
  EXPECT_THAT(actor_environment(own, {{"LANG", "de"}, {"A", "1"}}, {{"A", "2"}, {"OMP_NUM_THREADS", "4"}}),
              ElementsAre("A=2", "LANG=de", "OMP_NUM_THREADS=4", "PATH=/bin"));
}

TEST(Environment, APathIsAlwaysThere) {
  const auto env = actor_environment(nullptr, {}, {});
  ASSERT_EQ(env.size(), 1U);
  EXPECT_TRUE(env[0].starts_with("PATH=/"));
}

}  // namespace
}  // namespace colony::engine
