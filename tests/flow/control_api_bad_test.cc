// Bad requests to the control API: each row is one, with the status and a part of the message that it must get. After each
// the API still answers a good one.
#include "domain/spec_parse.h"
#include "tests/flow/control_api_fixture.h"

namespace colony {
namespace {

class BadControlRequests : public testing::ControlApiFixture {};

struct Row {
  std::string method, target, body, type;
  int status;
  std::string message;
};

constexpr const char* kJson = "application/json";
constexpr const char* kYaml = "application/yaml";
const std::string kApps = "/api/v1/applications", kA = "/api/v1/applications/a", kRay = "/api/serve/applications/";
const std::string kGood = R"({"deployments":[{"name":"d","runtime":"echo"}]})";

std::vector<Row> rows() {
  const std::string scale = kA + "/deployments/d/scale";
  auto one = [](std::string line) { return R"({"deployments":[{"name":"d","runtime":"echo",)" + line + "}]}"; };
  return {
      // paths and methods
      {"GET", "/", "", "", 404, "/api/v1/applications"},
      {"GET", "/api/v2/applications", "", "", 404, "NOT_FOUND"},
      {"GET", "/api/v1/applications/", "", "", 404, "NOT_FOUND"},
      {"POST", kApps, kGood, kJson, 405, "PUT"},
      {"DELETE", kApps, "", "", 405, "GET"},
      {"POST", kA, kGood, kJson, 405, "DELETE"},
      {"PATCH", kA, kGood, kJson, 405, "PUT"},
      {"GET", scale, "", "", 405, "POST"},
      {"DELETE", "/api/v1/status", "", "", 405, "GET"},
      {"GET", "/api/v1/shutdown", "", "", 405, "POST"},
      {"GET", "/api/v1/proxy/restart", "", "", 405, "POST"},
      {"GET", "/api/v1/applications/%zz", "", "", 400, ""},
      // queries
      {"GET", kApps + "?verbose=1", "", "", 400, "unknown query parameter 'verbose'; there are none here"},
      {"PUT", kA + "?dryrun=true", kGood, kJson, 400, "unknown query parameter 'dryrun'; there is dry_run, revision"},
      {"PUT", kA + "?dry_run=maybe", kGood, kJson, 400, "dry_run='maybe' must be true or false"},
      {"PUT", kA + "?dry_run=1&dry_run=1", kGood, kJson, 400, "'dry_run' is given twice"},
      {"PUT", kA + "?revision=x", kGood, kJson, 400, "revision='x' must be an integer"},
      {"PUT", kA + "?revision=-1", kGood, kJson, 400, "revision='-1' must be an integer"},
      {"PUT", kA + "?revision=99999999999999999999", kGood, kJson, 400, "must be an integer from 0 to"},
      {"PUT", kA + "?revision=5", kGood, kJson, 409, "application a does not exist (revision 5 was expected)"},
      {"PUT", kA + "?prune=true", kGood, kJson, 400, "unknown query parameter 'prune'"},
      {"PUT", kApps + "?revision=1", R"({"applications":[]})", kJson, 400, "unknown query parameter 'revision'"},
      {"PUT", kApps + "?prune=all", R"({"applications":[]})", kJson, 400, "prune='all' must be true or false"},
      {"GET", kA + "/logs?lines=-1", "", "", 400, "lines='-1' must be an integer from 0 to 100000"},
      {"GET", kA + "/logs?lines=1000000", "", "", 400, "must be an integer"},
      {"GET", kA + "/logs?follow=yes", "", "", 400, "follow='yes' must be true or false"},
      {"GET", kA + "/logs?tail=1", "", "", 400, "unknown query parameter 'tail'"},
      {"GET", "/api/v1/status?x=%zz", "", "", 400, "broken percent escape"},
      {"GET", kRay + "?api_type=odd", "", "", 400, "api_type='odd' must be declarative or imperative"},
      // things that are not there
      {"GET", kA, "", "", 404, "there is no application a; there is live"},
      {"GET", kA + "/spec", "", "", 404, "no_such_application"},
      {"GET", kA + "/watch", "", "", 404, "no_such_application"},
      {"GET", "/api/v1/watch?app=a", "", "", 404, "no_such_application"},
      {"GET", kA + "/logs", "", "", 404, "no_such_application"},
      {"GET", "/api/v1/applications/live/logs?deployment=x", "", "", 404, "has no deployment x; it has d"},
      {"GET", "/api/v1/applications/live/logs?replica=x", "", "", 404, "has no replica x; it has none"},
      {"DELETE", kA, "", "", 404, "no_such_application"},
      {"POST", scale, R"({"target_num_replicas":1})", kJson, 404, "no_such_application"},
      {"POST", "/api/v1/applications/live/deployments/x/scale", R"({"target_num_replicas":1})", kJson, 404,
       "application live has no deployment x; it has d"},
      // bodies
      {"PUT", kA, "", "", 400, "the document is empty"},
      {"PUT", kA, "{", kJson, 400, "not JSON"},
      {"PUT", kA, "a: [", kYaml, 400, "not YAML"},
      {"PUT", kA, kGood, "text/plain", 415, "send application/json or application/yaml"},
      {"PUT", kA, kGood, "multipart/form-data", 415, "unsupported_media_type"},
      {"PUT", kApps, "x", "image/png", 415, "unsupported_media_type"},
      {"POST", scale, "x", "image/png", 415, "unsupported_media_type"},
      {"PUT", kA, std::string(kMaxSpecBytes + 1, ' '), kJson, 413, "body_too_large"},
      {"PUT", kA, "[]", kJson, 400, "expected a mapping, got a list"},
      {"PUT", kA, "{}", kJson, 400, "deployments: is missing"},
      {"PUT", kA, R"({"deployments":[]})", kJson, 400, "must hold at least one deployment"},
      {"PUT", kA, R"({"name":"b","deployments":[{"name":"d","runtime":"echo"}]})", kJson, 400,
       "does not agree with the name in the path, a"},
      {"PUT", kA, R"({"applications":[{"name":"a"}]})", kJson, 400, "one application is expected here"},
      {"PUT", "/api/v1/applications/A", kGood, kJson, 400, "as the name of an application must begin with a-z"},
      {"PUT", "/api/v1/applications/a%2Fb", kGood, kJson, 400, "must begin with a-z"},
      {"PUT", "/api/v1/applications/" + std::string(64, 'a'), kGood, kJson, 400, "at most 63"},
      {"PUT", kA, one(R"("num_replica":1)"), kJson, 400, "did you mean num_replicas?"},
      {"PUT", kA, one(R"("num_replicas":-1)"), kJson, 400, "must be from 0 to 10000"},
      {"PUT", kA, one(R"("num_replicas":"auto")"), kJson, 400, "arrives with the autoscaler"},
      {"PUT", kA, one(R"("num_replicas":1,"num_replicas":2)"), kJson, 400, "is given twice"},
      {"PUT", kA, one(R"("model":"/m.onnx")"), kJson, 400, "runtime echo takes no model"},
      {"PUT", kA, one(R"("autoscaling_config":{})"), kJson, 400, "is not supported yet"},
      {"PUT", kA, R"({"deployments":[{"name":"d","model":"m.onnx"}]})", kJson, 400, "is a relative path"},
      {"PUT", kA, R"({"deployments":[{"name":"d","runtime":"java"}]})", kJson, 400, "is no runtime; there are"},
      {"PUT", kA, R"({"route_prefix":"/live","deployments":[{"name":"d","runtime":"echo"}]})", kJson, 409,
       "route_prefix /live belongs to application live"},
      {"PUT", kA, R"({"deployments":[{"name":"d","models":[{"name":"live","path":"/m"}]}]})", kJson, 409,
       "the model name live belongs to application live"},
      {"PUT", kApps, R"({"applications":[]} x)", kJson, 400, "not JSON"},
      {"PUT", kApps, R"({"apps":[]})", kJson, 400, "unknown key"},
      {"PUT", kApps, "applications: [{name: x}]", kYaml, 400, "applications[0].deployments: is missing"},
      {"POST", scale, "", "", 400, "the document is empty"},
      {"POST", scale, "{}", kJson, 400, "target_num_replicas: is missing"},
      {"POST", scale, R"({"target_num_replicas":"3"})", kJson, 400, "expected an integer"},
      {"POST", scale, R"({"target_num_replicas":10001})", kJson, 400, "must be from 0 to 10000"},
      {"POST", scale, R"({"target_num_replicas":1,"x":2})", kJson, 400, "unknown key"},
      {"POST", scale, "[3]", kJson, 400, "expected a mapping with target_num_replicas"},
      {"PUT", kRay, R"({"applications":[{"import_path":"my.app:app"}]})", kJson, 400, "cannot be imported"},
      {"PUT", kRay, R"({"applications":[{}],"http_options":{"port":1}})", kJson, 400, "http_options"},
      {"PUT", kRay, "", "", 400, "the document is empty"},
      {"PUT", kRay, R"({"applications":[{"name":"r","route_prefix":"/live","import_path":"colony.builtin:echo"}]})",
       kJson, 409, "route_prefix_taken"},
      {"POST", kRay, "{}", kJson, 405, "PUT"},
  };
}

TEST_F(BadControlRequests, EachGetsItsStatusAndItsMessage) {
  ASSERT_EQ(put_echo("live").status, 200);
  const auto all = rows();
  EXPECT_GE(all.size(), 70U);
  for (const Row& row : all) {
    auto reply = send(row.method, row.target, row.body, row.type);
    const std::string what = row.method + " " + row.target + " " + row.body.substr(0, 100);
    EXPECT_EQ(reply.status, row.status) << what << "\n" << reply.body;
    EXPECT_TRUE(said(reply, row.message)) << what << "\n said " << reply.body << "\n not  " << row.message;
    EXPECT_EQ(reply.header("content-type"), "application/json") << what;
    EXPECT_TRUE(said(reply, R"("error":)") && said(reply, R"("code":)")) << what << reply.body;
  }
  EXPECT_EQ(get("/api/v1/applications/live").status, 200);
  EXPECT_EQ(keeper_.names(), std::vector<std::string>{"live"});
}

TEST_F(BadControlRequests, AStoreWithoutRoomIsSaidAndTheRestStillAnswers) {
  ASSERT_EQ(put_echo("live").status, 200);
  store_.fail_writes(resource_exhausted("cannot write to the store: no room on the disk", "no_space"));
  auto refused = put_echo("a");
  EXPECT_EQ(refused.status, 429);
  EXPECT_TRUE(said(refused, "no_space"));
  EXPECT_EQ(send("DELETE", "/api/v1/applications/live").status, 429);
  EXPECT_EQ(get("/api/v1/applications/live").status, 200);
  store_.heal();
  EXPECT_EQ(put_echo("a").status, 200);
}

}  // namespace
}  // namespace colony
