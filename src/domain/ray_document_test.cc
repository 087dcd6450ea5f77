// Bodies as `serve deploy` and `serve build` write them: what is taken, and what is refused by name.
#include <gtest/gtest.h>

#include "domain/spec_parse.h"

namespace colony {
namespace {

Checked<std::vector<AppSpec>> ray(std::string_view yaml) { return parse_ray_document(SpecSource{yaml}); }
std::string complaint(std::string_view yaml) {
  auto apps = ray(yaml);
  return apps ? "accepted" : to_error(apps.error()).message;
}

TEST(RayDocument, TheEchoAppIsTakenAsServeDeploySendsIt) {
  auto apps = ray(R"({"applications":[{"import_path":"colony.builtin:echo"}]})");
  ASSERT_TRUE(apps.has_value()) << complaint(R"({"applications":[{"import_path":"colony.builtin:echo"}]})");
  EXPECT_EQ(apps->at(0).name, "default");
  EXPECT_EQ(apps->at(0).route_prefix, "/");
  EXPECT_EQ(apps->at(0).ingress().name, "echo");
}

TEST(RayDocument, EverythingThatServeBuildWritesOutMayStand) {
  auto apps = ray(R"(
proxy_location: EveryNode
http_options: {host: 0.0.0.0, port: 8000}
grpc_options: {port: 9000, grpc_servicer_functions: []}
logging_config: {encoding: TEXT, log_level: INFO, logs_dir: null, enable_access_log: true, additional_log_standard_attrs: []}
applications:
- name: app1
  route_prefix: /one
  import_path: colony.builtin:echo
  runtime_env: {}
  args: {}
  external_scaler_enabled: false
  deployments:
  - name: echo
    num_replicas: 2
    max_ongoing_requests: 10
    max_queued_requests: -1
    user_config: {a: 1}
    autoscaling_config: null
    backpressure_config: {status_code: 503}
    graceful_shutdown_wait_loop_s: 2.0
    graceful_shutdown_timeout_s: 20.0
    health_check_period_s: 10.0
    health_check_timeout_s: 30.0
    rolling_update_percentage: 0.2
    max_surge_percent: 0
    ray_actor_options: {num_cpus: 0.1, num_gpus: null, memory: 1048576.0, runtime_env: {}}
)");
  ASSERT_TRUE(apps.has_value()) << to_error(apps.error()).message;
  const DeploymentSpec& d = apps->at(0).ingress();
  EXPECT_EQ(d.num_replicas, 2);
  EXPECT_EQ(d.ray_actor_options.num_cpus, 0.1);
  EXPECT_EQ(d.ray_actor_options.memory, 1048576U);
  EXPECT_EQ(d.user_config, R"({"a":1})");
}

TEST(RayDocument, WhatHasNoCounterpartYetIsRefusedByName) {
  const std::pair<const char*, const char*> rows[] = {
      {"applications: [{import_path: 'my.app:app'}]", "import_path: 'my.app:app' cannot be imported"},
      {"applications: [{import_path: 'colony.builtin:echo', runtime_env: {pip: [x]}}]",
       "runtime_env: is not supported yet"},
      {"applications: [{import_path: 'colony.builtin:echo', args: {x: 1}}]", "args: is not supported yet"},
      {"applications: [{import_path: 'colony.builtin:echo', deployments: [{name: Other}]}]", "'Other' must begin"},
      {"applications: [{import_path: 'colony.builtin:echo', deployments: [{name: other}]}]",
       "has one deployment, named echo"},
      {"applications: [{import_path: 'colony.builtin:echo', deployments: [{name: echo, num_replicas: auto}]}]",
       "arrives with the autoscaler"},
      {"applications: [{import_path: 'colony.builtin:echo', deployments: [{name: echo, autoscaling_config: "
       "{min_replicas: 1}}]}]",
       "autoscaling_config: is not supported yet"},
      {"applications: [{import_path: 'colony.builtin:echo', deployments: [{name: echo, max_surge_percent: 10}]}]",
       "'10' is not supported yet"},
      {"applications: []\nhttp_options: {port: 8001}", "http_options: is not supported yet"},
      {"applications: []\nproxy_location: HeadOnly", "'HeadOnly' is not supported yet"},
      {"applications: []\ntarget_capacity: 50", "target_capacity: '50' is not supported yet"},
      {"applications: []\nnonsense: 50", "unknown key"},
      {"{}", "applications: is missing"},
      {"applications: [{import_path: 'colony.builtin:echo', name: null}]", "applications[0].name: expected a string"},
      {"applications: [{import_path: 'colony.builtin:echo'}, {import_path: 'colony.builtin:echo'}]",
       "'default' is the name of applications[0] already"},
  };
  for (auto [yaml, message] : rows) EXPECT_NE(complaint(yaml).find(message), std::string::npos) << complaint(yaml);
}

TEST(RayDocument, AnUnknownImportPathBringsNoComplaintAboutWhatItWouldHaveBound) {
  auto apps = ray("applications: [{import_path: 'my.app:app', deployments: [{name: d, num_replicas: 2}]}]");
  ASSERT_FALSE(apps.has_value());
  EXPECT_EQ(apps.error().size(), 1U) << to_error(apps.error()).message;
}

}  // namespace
}  // namespace colony
