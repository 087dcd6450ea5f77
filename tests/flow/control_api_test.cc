// What the control API does when it is asked well. Bad requests: control_api_bad_test.cc.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "domain/status_json.h"
#include "tests/flow/control_api_fixture.h"

namespace colony {
namespace {

using nlohmann::json;

class ControlApi : public testing::ControlApiFixture {};

TEST_F(ControlApi, PutCreatesDryRunOnlyTellsAndGetShows) {
  auto dry = send("PUT", "/api/v1/applications/a?dry_run=true", R"({"deployments":[{"name":"d","runtime":"echo"}]})");
  EXPECT_EQ(dry.status, 200) << dry.body;
  EXPECT_TRUE(said(dry, R"("text":"create application a")")) << dry.body;
  EXPECT_EQ(get("/api/v1/applications/a").status, 404);
  auto done = put_echo("a", 2);
  EXPECT_EQ(done.status, 200);
  EXPECT_EQ(json::parse(done.body)["revision"], 1);
  host_.settle("a");
  auto shown = app_status_from_json(get("/api/v1/applications/a").body);
  ASSERT_TRUE(shown.has_value());
  EXPECT_EQ(shown->status, "RUNNING");
  EXPECT_EQ(shown->deployments.at(0).target_replicas, 2);
  EXPECT_TRUE(said(get("/api/v1/applications/a/spec"), R"("num_replicas":2)"));
  EXPECT_EQ(json::parse(get("/api/v1/applications").body)["applications"].size(), 1U);
  auto unchanged = json::parse(put_echo("a", 2).body);
  EXPECT_EQ(unchanged["changed"], false);
  EXPECT_EQ(unchanged["revision"], 1);
}

TEST_F(ControlApi, YamlIsTakenAsJsonIs) {
  auto done = send("PUT", "/api/v1/applications/a", "deployments:\n- {name: d, runtime: echo}\n", "application/yaml");
  EXPECT_EQ(done.status, 200) << done.body;
  EXPECT_EQ(send("PUT", "/api/v1/applications/b", "deployments: [{name: d, runtime: echo}]",
                 "application/x-www-form-urlencoded")
                .status,
            200);
}

TEST_F(ControlApi, ADocumentUpsertsAndPrunesOnlyWhenAsked) {
  const std::string two = R"({"applications":[{"name":"a","deployments":[{"name":"d","runtime":"echo"}]},)"
                          R"({"name":"b","deployments":[{"name":"d","runtime":"echo"}]}]})";
  auto done = send("PUT", "/api/v1/applications", two);
  ASSERT_EQ(done.status, 200) << done.body;
  EXPECT_EQ(json::parse(done.body)["applications"].size(), 2U);
  const std::string one = R"({"applications":[{"name":"b","deployments":[{"name":"d","runtime":"echo"}]}]})";
  EXPECT_EQ(json::parse(send("PUT", "/api/v1/applications", one).body)["deleted"].size(), 0U);
  auto dry = json::parse(send("PUT", "/api/v1/applications?prune=true&dry_run=true", one).body);
  EXPECT_EQ(dry["deleted"], json::array({"a"}));
  EXPECT_FALSE(host_.apps["a"].remove);
  EXPECT_EQ(json::parse(send("PUT", "/api/v1/applications?prune=true", one).body)["deleted"], json::array({"a"}));
  EXPECT_TRUE(host_.apps["a"].remove);
  EXPECT_FALSE(host_.apps["b"].remove);
}

TEST_F(ControlApi, NothingOfADocumentIsDoneWhenOneOfItsAppsCannotBe) {
  ASSERT_EQ(put_echo("a").status, 200);
  auto done = send("PUT", "/api/v1/applications",
                   R"({"applications":[{"name":"n","deployments":[{"name":"d","runtime":"echo"}]},)"
                   R"({"name":"b","route_prefix":"/a","deployments":[{"name":"d","runtime":"echo"}]}]})");
  EXPECT_EQ(done.status, 409);
  EXPECT_TRUE(said(done, "route_prefix_taken"));
  EXPECT_EQ(get("/api/v1/applications/n").status, 404);
}

TEST_F(ControlApi, ScaleAndDeleteAnswerWithTheirRevision) {
  ASSERT_EQ(put_echo("a").status, 200);
  auto scaled = send("POST", "/api/v1/applications/a/deployments/d/scale", R"({"target_num_replicas":8})");
  EXPECT_EQ(json::parse(scaled.body)["revision"], 2);
  EXPECT_EQ(host_.apps["a"].spec.deployments[0].num_replicas, 8);
  EXPECT_EQ(send("DELETE", "/api/v1/applications/a?revision=1").status, 409);
  EXPECT_EQ(json::parse(send("DELETE", "/api/v1/applications/a?revision=2").body)["revision"], 3);
  host_.finish_removal("a");
  loop_->run_ready();
  EXPECT_EQ(get("/api/v1/applications/a").status, 404);
}

TEST_F(ControlApi, AWatchSaysWhatIsAndWhatBecomes) {
  ASSERT_EQ(put_echo("a").status, 200);
  ASSERT_EQ(put_echo("b").status, 200);
  std::string text;
  async::Scope scope(*loop_);
  struct Reader {
    static async::Task<void> run(http::Client* client, async::Loop* loop, std::string target, std::string* out) {
      http::ClientRequest r{"GET", target, {{"host", "control"}}, {}};
      auto reply = co_await client->stream({"control"}, r, Deadline::after(loop->now(), 5s), 30s,
                                           [out](std::string_view s) { return out->append(s), true; });
      EXPECT_TRUE(reply.has_value()) << reply.error().message;
    }
  };
  scope.spawn(Reader::run(&client_, loop_.get(), "/api/v1/applications/a/watch", &text));
  loop_->run_for(12s);
  EXPECT_NE(text.find(R"("name":"a","status":"DEPLOYING")"), std::string::npos) << text;
  EXPECT_NE(text.find("\n\n"), std::string::npos);  // the keep-alive
  EXPECT_EQ(text.find(R"("name":"b")"), std::string::npos);
  host_.settle("a");
  loop_->run_for(100ms);
  EXPECT_NE(text.find(R"("status":"RUNNING")"), std::string::npos);
  send("DELETE", "/api/v1/applications/a");
  host_.finish_removal("a");
  ASSERT_TRUE(loop_->run_until([&] { return scope.running() == 0; }));  // the stream ends with the app
  EXPECT_NE(text.find(R"("status":"DELETED")"), std::string::npos);
}

TEST_F(ControlApi, LogsAreToldByReplica) {
  ASSERT_EQ(put_echo("a", 2).status, 200);
  for (const std::string id : {"a.d.one", "a.d.two"}) {
    engine::ActorSpec spec;
    spec.id = id;
    spec.role = "replica";
    spec.app = "a";
    spec.deployment = "d";
    ASSERT_TRUE(loop_->run(engine_.reserve({"a", 1}, spec)).has_value());
    ASSERT_TRUE(loop_->run(engine_.start({"a", 1}, {id, "node-1"})).has_value());
    engine_.append_log(id, "first of " + id);
    engine_.append_log(id, "second of " + id);
    host_.statuses["a"].deployments[0].replicas.push_back({.id = id, .state = ReplicaState::kReady});
  }
  host_.settle_as_is("a");
  auto both = get("/api/v1/applications/a/logs?lines=1");
  EXPECT_EQ(both.status, 200);
  EXPECT_EQ(both.body, "a.d.one | second of a.d.one\na.d.two | second of a.d.two\n");
  EXPECT_EQ(get("/api/v1/applications/a/logs?replica=a.d.one").body, "first of a.d.one\nsecond of a.d.one\n");
  auto none = get("/api/v1/applications/a/logs?replica=a.d.x");
  EXPECT_EQ(none.status, 404);
  EXPECT_TRUE(said(none, "it has a.d.one, a.d.two"));

  std::string text;
  async::Scope scope(*loop_);
  bool enough = false;
  struct Reader {
    static async::Task<void> run(http::Client* client, async::Loop* loop, std::string* out, bool* enough) {
      http::ClientRequest r{
          "GET", "/api/v1/applications/a/logs?follow=true&lines=1&replica=a.d.two", {{"host", "control"}}, {}};
      co_await client->stream({"control"}, r, Deadline::after(loop->now(), 5s), 30s,
                              [=](std::string_view s) { return out->append(s), !*enough; });
    }
  };
  scope.spawn(Reader::run(&client_, loop_.get(), &text, &enough));
  loop_->run_for(2s);
  engine_.append_log("a.d.two", "third");
  loop_->run_for(2s);
  EXPECT_EQ(text, "second of a.d.two\nthird\n");
  enough = true;
  engine_.append_log("a.d.two", "fourth");
  EXPECT_TRUE(loop_->run_until([&] { return scope.running() == 0; }));
}

TEST_F(ControlApi, StatusShowsTheWholeHouse) {
  ASSERT_EQ(put_echo("a").status, 200);
  ProxyRecord proxy{.id = "p1", .address = "127.0.0.1:8000", .node = "node-1"};
  ASSERT_TRUE(loop_->run(registry_.register_proxy(proxy, 10s)).has_value());
  loop_->run_for(1s);
  auto status = json::parse(get("/api/v1/status").body);
  EXPECT_EQ(status["version"], "1.2.3");
  EXPECT_EQ(status["applications"][0]["name"], "a");
  EXPECT_EQ(status["proxies"][0]["address"], "127.0.0.1:8000");
  EXPECT_EQ(status["nodes"][0]["id"], "node-1");
  EXPECT_EQ(json::parse(get("/api/v1/nodes").body)["nodes"][0]["cpus"], 64);
  EXPECT_EQ(get("/metrics").body, "colony_up 1\n");
  EXPECT_EQ(get("/-/healthz").body, "success\n");
  EXPECT_TRUE(said(get("/api/v1/schema"), "json-schema.org/draft/2020-12"));
}

TEST_F(ControlApi, ShutdownAnswersBeforeItBegins) {
  EXPECT_EQ(send("POST", "/api/v1/shutdown").status, 202);
  loop_->run_for(10ms);
  EXPECT_EQ(shutdowns_, 1);
}

TEST_F(ControlApi, ARestartOfTheProxyIsHandedToWhoStartedIt) {
  EXPECT_EQ(send("POST", "/api/v1/proxy/restart").status, 202);
  EXPECT_EQ(proxy_restarts_, 1);
  EXPECT_EQ(send("POST", "/api/v1/proxy/restart?now=1").status, 400);
  EXPECT_EQ(proxy_restarts_, 1);
}

TEST_F(ControlApi, TheOpenApiDocumentNamesEveryRouteAndEveryRouteIsThere) {
  auto doc = json::parse(get("/openapi.json").body);
  EXPECT_EQ(doc["openapi"], "3.1.0");
  size_t operations = 0;
  for (const auto& [path, methods] : doc["paths"].items())
    for (const auto& [method, operation] : methods.items()) {
      ++operations;
      std::string target = path, verb = method;
      for (const char* p : {"{name}", "{deployment}"})
        if (size_t at = target.find(p); at != std::string::npos) target.replace(at, std::string_view(p).size(), "none");
      std::transform(verb.begin(), verb.end(), verb.begin(), [](char c) { return static_cast<char>(c - 32); });
      if (path == "/api/v1/shutdown" || path == "/api/v1/watch") continue;
      auto reply = send(verb, target);
      const std::string status = std::to_string(reply.status);
      EXPECT_TRUE(operation["responses"].contains(status)) << verb << " " << path << " " << status << reply.body;
      EXPECT_NE(reply.status, 405) << verb << " " << path;
      if (reply.status >= 400) {
        EXPECT_TRUE(json::parse(reply.body).contains("code")) << reply.body;
        EXPECT_FALSE(said(reply, "no_such_route")) << reply.body;
      }
    }
  EXPECT_EQ(operations, 22U);
}

TEST_F(ControlApi, RaysOwnBodiesAndShapesAreSpoken) {
  EXPECT_EQ(json::parse(get("/api/ray/version").body)["ray_version"], "2.60.0");
  auto put = send("PUT", "/api/serve/applications/",
                  R"({"applications":[{"name":"e","import_path":"colony.builtin:echo",)"
                  R"("deployments":[{"name":"echo","num_replicas":2}]}]})");
  ASSERT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(host_.apps["e"].spec.route_prefix, "/");
  host_.settle("e");
  auto details = json::parse(get("/api/serve/applications/").body);
  const auto& e = details["applications"]["e"];
  EXPECT_EQ(e["status"], "RUNNING");
  EXPECT_EQ(e["route_prefix"], "/");
  EXPECT_EQ(e["deployments"]["echo"]["status"], "HEALTHY");
  EXPECT_EQ(e["deployments"]["echo"]["target_num_replicas"], 2);
  EXPECT_EQ(e["deployed_app_config"]["import_path"], "colony.builtin:echo");
  EXPECT_EQ(send("DELETE", "/api/serve/applications/").status, 200);
  EXPECT_TRUE(host_.apps["e"].remove);
  EXPECT_EQ(json::parse(get("/api/serve/applications/").body)["applications"]["e"]["status"], "DELETING");
}

class GuardedApi : public testing::ControlApiFixture {
 protected:
  GuardedApi() : ControlApiFixture("s3cret") {}
};

TEST_F(GuardedApi, WithoutTheTokenNothingIsToldButHealth) {
  EXPECT_EQ(get("/-/healthz").status, 200);
  for (const char* path : {"/api/v1/applications", "/openapi.json", "/metrics", "/api/ray/version"}) {
    auto reply = get(path);
    EXPECT_EQ(reply.status, 401) << path;
    EXPECT_EQ(reply.header("www-authenticate"), "Bearer");
    EXPECT_TRUE(said(reply, "unauthenticated"));
  }
  for (const char* wrong : {"Bearer s3cre", "Bearer s3crets", "Bearer ", "s3cret", "Basic s3cret"}) {
    bearer_ = wrong;
    EXPECT_EQ(get("/api/v1/applications").status, 401) << wrong;
  }
  bearer_ = "Bearer s3cret";
  EXPECT_EQ(get("/api/v1/applications").status, 200);
}

}  // namespace
}  // namespace colony
