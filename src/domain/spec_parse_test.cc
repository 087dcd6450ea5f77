// What a good document means: defaults, short forms, and that writing and reading again changes nothing. Bad documents:
// spec_bad_test.cc.
#include "domain/spec_parse.h"

#include <gtest/gtest.h>

namespace colony {
namespace {

std::vector<AppSpec> good(std::string_view yaml) {
  auto apps = parse_document(SpecSource{yaml, SpecFormat::kYaml, "app.yaml"});
  EXPECT_TRUE(apps.has_value()) << (apps ? "" : to_error(apps.error()).message);
  return apps ? *apps : std::vector<AppSpec>{};
}

TEST(SpecParse, ShortDocumentGetsTheDefaults) {
  auto apps = good(R"(
applications:
  - name: filetype
    deployments:
      - name: classifier
        model: models/magika.onnx
)");
  ASSERT_EQ(apps.size(), 1U);
  EXPECT_EQ(apps[0].route_prefix, "/filetype");
  ASSERT_EQ(apps[0].deployments.size(), 1U);
  const DeploymentSpec& d = apps[0].deployments[0];
  EXPECT_EQ(d.runtime, "onnx");
  EXPECT_EQ(d.model->path, "models/magika.onnx");
  EXPECT_EQ(d.num_replicas, 1);
  EXPECT_EQ(d.max_ongoing_requests, 5);
  EXPECT_EQ(apps[0].model_names(d), std::vector<std::string>{"filetype"});
  EXPECT_EQ(apps[0].model_versions(d), std::vector<std::string>{"1"});
  make_paths_absolute(apps[0], "/srv/apps");
  EXPECT_EQ(apps[0].deployments[0].model->path, "/srv/apps/models/magika.onnx");
}

TEST(SpecParse, OneApplicationMayStandByItself) {
  auto apps = good("name: e\nroute_prefix: null\ndeployments: [{name: d, runtime: echo}]\n");
  ASSERT_EQ(apps.size(), 1U);
  EXPECT_EQ(apps[0].route_prefix, "");
}

TEST(SpecParse, TheBuiltinEchoAppBringsItsDeployment) {
  auto apps = good("applications: [{name: e, import_path: 'colony.builtin:echo'}]");
  ASSERT_EQ(apps.size(), 1U);
  ASSERT_EQ(apps[0].deployments.size(), 1U);
  EXPECT_EQ(apps[0].ingress().name, "echo");
  EXPECT_EQ(apps[0].ingress().runtime, "echo");
  auto overridden = good(
      "applications: [{name: e, import_path: 'colony.builtin:echo', deployments: [{name: echo, num_replicas: 3}]}]");
  ASSERT_EQ(overridden.size(), 1U);
  EXPECT_EQ(overridden[0].ingress().num_replicas, 3);
  EXPECT_EQ(overridden[0].ingress().runtime, "echo");
}

AppSpec full_app() {
  return good(R"(
applications:
  - name: all
    route_prefix: /a/b
    deployments:
      - name: one
        runtime: onnx
        models:
          - {name: M-1, path: /m/1.onnx, version: 3, intra_op: 2, providers: [cuda, cpu], graph_level: basic, warmup: false}
          - {name: m2, path: /m/2.onnx, library: /opt/libonnxruntime.so}
        num_replicas: 3
        max_ongoing_requests: 7
        max_queued_requests: 0
        request_timeout_s: 1.5
        user_config: {threshold: 0.25, labels: [a, "1", yes, null, true, 1e3], nested: {x: "line\nline"}}
        health_check_period_s: 2
        health_check_timeout_s: 3
        graceful_shutdown_wait_loop_s: 0
        graceful_shutdown_timeout_s: 60
        rolling_update_percentage: 0.5
        ray_actor_options: {num_cpus: 0.25, num_gpus: 0.5, memory: 1073741824, resources: {nvme: 2}}
        max_replicas_per_node: 4
      - name: two
        runtime: echo
)")
      .at(0);
}

TEST(SpecParse, WritingAndReadingAgainChangesNothing) {
  const AppSpec app = full_app();
  EXPECT_EQ(app.deployments[0].models[0].version, "3");
  EXPECT_EQ(app.deployments[0].user_config,
            R"({"threshold":0.25,"labels":["a","1","yes",null,true,1000.0],"nested":{"x":"line\nline"}})");
  const std::string json = to_json_text(app);
  auto from_json = parse_app(SpecSource{json, SpecFormat::kJson, ""});
  ASSERT_TRUE(from_json.has_value()) << to_error(from_json.error()).message;
  EXPECT_EQ(*from_json, app);
  EXPECT_EQ(good(to_yaml_text({app})).at(0), app);
  for (const DeploymentSpec& d : app.deployments) {
    auto again = deployment_from_json(deployment_to_json(d));
    ASSERT_TRUE(again.has_value()) << again.error().message;
    EXPECT_EQ(*again, d);
  }
}

TEST(SpecParse, AnchorsAndMergeKeysWork) {
  auto apps = good(R"(
applications:
  - name: a
    deployments: [&d {name: x, runtime: echo, num_replicas: 2}]
  - name: b
    deployments: [{<<: *d, num_replicas: 5}]
)");
  ASSERT_EQ(apps.size(), 2U);
  EXPECT_EQ(apps[1].deployments[0].name, "x");
  EXPECT_EQ(apps[1].deployments[0].num_replicas, 5);
}

TEST(SpecParse, HashesFollowWhatTheyStandFor) {
  const AppSpec app = full_app();
  AppSpec other = app;
  EXPECT_EQ(spec_hash(app), spec_hash(other));
  EXPECT_EQ(spec_hash(app).size(), 32U);
  other.deployments[0].num_replicas = 9;
  other.deployments[0].user_config = "{}";
  other.deployments[0].models[0].path = "/m/other.onnx";
  EXPECT_NE(spec_hash(app), spec_hash(other));
  EXPECT_EQ(process_hash(app.deployments[0]), process_hash(other.deployments[0]));
  other.deployments[0].ray_actor_options.num_cpus = 2;
  EXPECT_NE(process_hash(app.deployments[0]), process_hash(other.deployments[0]));
}

TEST(SpecParse, AnExternalDeploymentHasOneReplicaPerAddress) {
  const auto apps = parse_document({R"(
applications:
- name: shop
  hosts: [Shop.Example]
  deployments:
  - name: web
    backend:
      addresses: ["127.0.0.1:9000", "[::1]:9000", "localhost:9000", "unix:/run/shop.sock"]
      protocol: h2c
      health_path: /healthz?full=1
    grpc_services: [shop.v1.Cart]
)"});
  ASSERT_TRUE(apps.has_value()) << to_error(apps.error()).message;
  const AppSpec& app = apps->front();
  const DeploymentSpec& d = app.deployments.front();
  EXPECT_EQ(d.runtime, "external");
  EXPECT_EQ(d.num_replicas, 4);
  EXPECT_EQ(app.hosts, std::vector<std::string>{"shop.example"});
  EXPECT_TRUE(app.model_names(d).empty());
  EXPECT_TRUE(app.model_versions(d).empty());
  EXPECT_EQ(d.backend->protocol, "h2c");
  const std::string text = to_json_text(app);
  const auto again = parse_app({text, SpecFormat::kJson, {}, ModelPaths::kAbsolute});
  ASSERT_TRUE(again.has_value()) << to_error(again.error()).message;
  EXPECT_EQ(*again, app);
}

}  // namespace
}  // namespace colony
