#include "domain/status_json.h"

#include <gtest/gtest.h>

namespace colony {
namespace {

TEST(StatusJson, WritingAndReadingAgainChangesNothing) {
  AppStatus a{.name = "filetype", .status = "RUNNING", .revision = 7, .epoch = 3, .route_prefix = "/filetype"};
  a.last_deployed = WallTime(std::chrono::milliseconds(1772366400123));
  ReplicaStatus r{.id = "filetype.c.x1y2z3", .state = ReplicaState::kFailed, .reason = "died", .pid = 42, .node = "n1"};
  r.phases = {{"spawn", 0.5}, {"load", 1.25}};
  r.last_log_lines = {"one", "two"};
  r.revision = 7;
  a.deployments.push_back(DeploymentStatus{"c", "UNHEALTHY", "why", 2, {r}});
  const std::string text = to_json_text(a);
  EXPECT_NE(text.find(R"("last_deployed":"2026-03-01T12:00:00.123Z")"), std::string::npos) << text;
  auto again = app_status_from_json(text);
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(to_json_text(*again), text);
  EXPECT_EQ(again->deployments[0].replicas[0].state, ReplicaState::kFailed);
  EXPECT_EQ(again->last_deployed, a.last_deployed);
  auto list = app_statuses_from_json(to_json_text(std::vector{a, a}));
  ASSERT_TRUE(list.has_value());
  EXPECT_EQ(list->size(), 2U);
}

TEST(StatusJson, BrokenTextIsAnError) {
  for (const char* text :
       {"", "[]", "{}", "{\"name\":1}", R"({"name":"a","deployments":[{"replicas":[{"state":"X"}]}]})",
        R"({"name":"a","last_deployed":"yesterday"})"})
    EXPECT_FALSE(app_status_from_json(text).has_value()) << text;
}

}  // namespace
}  // namespace colony
