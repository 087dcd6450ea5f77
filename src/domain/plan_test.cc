#include "domain/plan.h"

#include <gtest/gtest.h>

namespace colony {
namespace {

DeploymentSpec deployment(std::string name) {
  DeploymentSpec d{.name = std::move(name), .runtime = "onnx"};
  d.model = ModelSpec{.path = "/m/a.onnx"};
  return d;
}
AppSpec app() {
  AppSpec a{.name = "a", .route_prefix = "/a"};
  a.deployments = {deployment("x"), deployment("y")};
  return a;
}
std::vector<std::string> texts(const AppSpec* before, const AppSpec* after) {
  std::vector<std::string> out;
  for (const PlanAction& p : make_plan(before, after)) out.push_back(p.text());
  return out;
}
using Texts = std::vector<std::string>;

TEST(Plan, CreatesAndDeletesWholeApplications) {
  const AppSpec a = app();
  EXPECT_EQ(texts(nullptr, &a), (Texts{"create application a", "create deployment a/x with 1 replica(s)",
                                       "create deployment a/y with 1 replica(s)"}));
  EXPECT_EQ(texts(&a, nullptr), (Texts{"delete application a: drain and stop all of its replicas"}));
  EXPECT_EQ(texts(&a, &a), Texts{});
  EXPECT_EQ(texts(nullptr, nullptr), Texts{});
}

TEST(Plan, TellsInPlaceFromRestart) {
  const AppSpec a = app();
  AppSpec b = app();
  b.deployments[0].num_replicas = 8;
  b.deployments[0].user_config = "{}";
  b.deployments[0].request_timeout_s = 1;
  b.deployments[1].max_ongoing_requests = 50;
  b.deployments[1].model->path = "/m/b.onnx";
  EXPECT_EQ(texts(&a, &b),
            (Texts{"change user_config of deployment a/x in place, without a restart",
                   "scale deployment a/x from 1 to 8 replica(s)", "change request_timeout_s of deployment a/x at once",
                   "replace the replicas of deployment a/y, batch by batch: max_ongoing_requests, model changed"}));
}

TEST(Plan, AddressesServicesAndHostsChangeAtOnce) {
  AppSpec a = app();
  a.deployments = {DeploymentSpec{.name = "x", .runtime = "external"}};
  a.deployments[0].backend = BackendSpec{.addresses = {"127.0.0.1:1"}};
  AppSpec b = a;
  b.deployments[0].backend->addresses.emplace_back("127.0.0.1:2");
  b.deployments[0].num_replicas = 2;
  b.deployments[0].grpc_services = {"s.S"};
  b.hosts = {"h.example"};
  EXPECT_EQ(texts(&a, &b), (Texts{"change hosts of application a from none to h.example",
                                  "scale deployment a/x from 1 to 2 replica(s)",
                                  "change backend, grpc_services of deployment a/x at once"}));
}

TEST(Plan, NeedsARestartExactlyWhenTheProcessHashDiffers) {
  const AppSpec a = app();
  const std::vector<void (*)(DeploymentSpec&)> changes = {
      [](DeploymentSpec& d) { d.num_replicas = 3; },
      [](DeploymentSpec& d) { d.user_config = "1"; },
      [](DeploymentSpec& d) { d.model->version = "2"; },
      [](DeploymentSpec& d) { d.request_timeout_s = 9; },
      [](DeploymentSpec& d) { d.idempotent = true; },
      [](DeploymentSpec& d) { d.max_queued_requests = 9; },
      [](DeploymentSpec& d) { d.health_check_period_s = 9; },
      [](DeploymentSpec& d) { d.graceful_shutdown_timeout_s = 9; },
      [](DeploymentSpec& d) { d.rolling_update_percentage = 0.9; },
      [](DeploymentSpec& d) { d.max_ongoing_requests = 9; },
      [](DeploymentSpec& d) { d.transform = "filetype"; },
      [](DeploymentSpec& d) { d.ray_actor_options.num_gpus = 1; },
      [](DeploymentSpec& d) { d.max_replicas_per_node = 9; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    AppSpec b = app();
    changes[i](b.deployments[0]);
    const auto plan = make_plan(&a, &b);
    ASSERT_EQ(plan.size(), 1U) << i;
    EXPECT_EQ(plan[0].kind == PlanAction::Kind::kRestart,
              process_hash(a.deployments[0]) != process_hash(b.deployments[0]))
        << plan[0].text();
  }
}

TEST(Plan, NamesRoutesAndTheIngress) {
  const AppSpec a = app();
  AppSpec b = app();
  b.route_prefix = "";
  std::swap(b.deployments[0], b.deployments[1]);
  EXPECT_EQ(texts(&a, &b), (Texts{"change route_prefix of application a from /a to none",
                                  "change ingress of application a from x to y"}));
  b = app();
  b.deployments.pop_back();
  EXPECT_EQ(to_json_text(make_plan(&a, &b)),
            R"([{"kind":"delete_deployment","app":"a","deployment":"y","text":"delete deployment a/y"}])");
}

}  // namespace
}  // namespace colony
