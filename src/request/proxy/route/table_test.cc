#include "request/proxy/route/table.h"

#include <gtest/gtest.h>

namespace colony::proxy {
namespace {

using Apps = std::map<std::string, AppRecord>;

void add(Apps& apps, const std::string& app, const std::string& prefix, std::vector<std::string> models) {
  apps[app] =
      AppRecord{.app = app, .deployments = {{.name = "d", .models = std::move(models), .route_prefix = prefix}}};
}

std::string where(const RouteTable& t, std::string_view path, bool grpc = false) {
  const Resolved r = t.resolve(path, grpc);
  switch (r.target) {
    case Target::kDeployment: return t.entries()[r.deployment].app + (r.inference ? "!" : "");
    case Target::kBuiltin: return "builtin";
    case Target::kPeekModel: return "peek";
    case Target::kNotFound: return std::string(r.reason);
  }
  return "";
}

TEST(RouteTable, PrefixesMatchByWholeSegmentsAndTheLongestWins) {
  Apps apps;
  add(apps, "foo", "/foo", {});
  add(apps, "deep", "/foo/deep/", {});
  const auto t = RouteTable::build(apps);
  EXPECT_EQ(where(*t, "/foo"), "foo");
  EXPECT_EQ(where(*t, "/foo/"), "foo");
  EXPECT_EQ(where(*t, "/foo/x/y"), "foo");
  EXPECT_EQ(where(*t, "/foobar"), "unknown_route");
  EXPECT_EQ(where(*t, "/fo"), "unknown_route");
  EXPECT_EQ(where(*t, "/foo/deep"), "deep");
  EXPECT_EQ(where(*t, "/foo/deep/er/and/deeper"), "deep");
  EXPECT_EQ(where(*t, "/foo/deeper"), "foo");
  EXPECT_EQ(where(*t, "*"), "builtin");
  EXPECT_EQ(where(*t, ""), "unknown_route");
  EXPECT_EQ(where(*t, "/"), "unknown_route");
}

TEST(RouteTable, TheRootPrefixTakesWhatNobodyElseDoes) {
  Apps apps;
  add(apps, "root", "/", {"root"});
  add(apps, "foo", "/foo", {});
  const auto t = RouteTable::build(apps);
  EXPECT_EQ(where(*t, "/"), "root");
  EXPECT_EQ(where(*t, "/bar"), "root");
  EXPECT_EQ(where(*t, "/foo/x"), "foo");
  EXPECT_EQ(where(*t, "/v2/models/unknown/infer"), "root");
  EXPECT_EQ(where(*t, "/my.Service/Do", true), "root");
  EXPECT_EQ(where(*t, "*"), "builtin");
}

TEST(RouteTable, ModelPathsGoToTheModelOnlyWhenItIsOneHere) {
  Apps apps;
  add(apps, "m", "/m", {"m", "m.two", "a b"});
  add(apps, "v2user", "/v2/models/mine", {});
  const auto t = RouteTable::build(apps);
  EXPECT_EQ(where(*t, "/v2/models/m"), "m!");
  EXPECT_EQ(where(*t, "/v2/models/m/infer"), "m!");
  EXPECT_EQ(where(*t, "/v2/models/m.two/versions/1/infer"), "m!");
  EXPECT_EQ(where(*t, "/v2/models/a%20b/ready"), "m!");
  EXPECT_EQ(where(*t, "/v2/models/%zz/ready"), "unknown_model");
  EXPECT_EQ(where(*t, "/v1/models/m:predict"), "m!");
  EXPECT_EQ(where(*t, "/v1/models/m"), "m!");
  EXPECT_EQ(where(*t, "/v1/models/x:predict"), "unknown_model");
  EXPECT_EQ(where(*t, "/v2/models/x/infer"), "unknown_model");
  EXPECT_EQ(where(*t, "/v2/models/mine/infer"), "v2user");
  EXPECT_EQ(where(*t, "/v1/chat/completions"), "unknown_route");
}

TEST(RouteTable, TheProxyAnswersWhatNamesNoModel) {
  Apps apps;
  add(apps, "root", "/", {"root"});
  const auto t = RouteTable::build(apps);
  for (std::string_view path :
       {"/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/-/healthz", "/-/routes", "/-/anything"})
    EXPECT_EQ(where(*t, path), "builtin") << path;
  for (std::string_view path : {"/inference.GRPCInferenceService/ServerLive", "/grpc.health.v1.Health/Check",
                                "/inference.GRPCInferenceService/RepositoryIndex",
                                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}) {
    EXPECT_EQ(where(*t, path, true), "builtin") << path;
    EXPECT_EQ(where(*t, path, false), "root") << path << " is gRPC only with gRPC's content type";
  }
  for (std::string_view m :
       {"ModelInfer", "ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics", "ModelStreamInfer"})
    EXPECT_EQ(where(*t, "/inference.GRPCInferenceService/" + std::string(m), true), "peek");
}

TEST(RouteTable, ANameClaimedTwiceStaysWithItsFirstOwner) {
  Apps apps;
  add(apps, "b", "/x", {"m"});
  const auto first = RouteTable::build(apps);
  add(apps, "a", "/x/", {"m"});
  const auto second = RouteTable::build(apps, first.get());
  EXPECT_EQ(where(*second, "/x"), "b");
  EXPECT_EQ(where(*second, "/v2/models/m"), "b!");
  ASSERT_EQ(second->warnings().size(), 2u);
  EXPECT_NE(second->warnings()[0].find("route prefix '/x' of a/d is held by b/d"), std::string::npos)
      << second->warnings()[0];
  apps.erase("b");
  const auto third = RouteTable::build(apps, second.get());
  EXPECT_EQ(where(*third, "/x"), "a");
  EXPECT_TRUE(third->warnings().empty());
}

TEST(RouteTable, SaysWhatExistsWithinABound) {
  Apps apps;
  EXPECT_EQ(RouteTable::build(apps)->what_exists(), "no app is deployed");
  for (int i = 0; i < 30; ++i) add(apps, "app" + std::to_string(i), "/app" + std::to_string(i), {});
  add(apps, "m", "", {"m"});
  EXPECT_EQ(RouteTable::build(apps)->what_exists(2), "models: m; routes: /app0, /app1 and 28 more");
}

TEST(RouteTable, GrpcServicesOfTheUsersOwnAreFoundByTheirName) {
  Apps apps;
  add(apps, "shop", "/shop", {});
  apps["shop"].deployments[0].grpc_services = {"shop.v1.Cart", "shop.v1.Pay"};
  add(apps, "below", "/other.Service", {});
  const auto t = RouteTable::build(apps);
  EXPECT_EQ(where(*t, "/shop.v1.Cart/Add", true), "shop");
  EXPECT_EQ(where(*t, "/shop.v1.Pay/Now", true), "shop");
  EXPECT_EQ(where(*t, "/shop.v1.Cart/Add", false), "unknown_route") << "not gRPC";
  EXPECT_EQ(where(*t, "/shop.v1.Car/Add", true), "unknown_service");
  EXPECT_EQ(where(*t, "/shop.v1.Cart", true), "unknown_service");
  EXPECT_EQ(where(*t, "/other.Service/Do", true), "below") << "a route prefix";
  EXPECT_EQ(where(*t, "/inference.GRPCInferenceService/ModelInfer", true), "peek");
  EXPECT_EQ(where(*t, "/grpc.health.v1.Health/Check", true), "builtin");
  EXPECT_NE(t->what_exists().find("gRPC services: shop.v1.Cart, shop.v1.Pay"), std::string::npos);
}

TEST(RouteTable, AHostReachesItsAppWhateverThePath) {
  Apps apps;
  add(apps, "mine", "", {});
  apps["mine"].deployments[0].hosts = {"mine.example", "[::1]"};
  apps["mine"].deployments[0].runtime = "external";
  add(apps, "other", "/", {"other"});
  add(apps, "model", "/model", {"model"});
  apps["model"].deployments[0].hosts = {"model.example"};
  const auto t = RouteTable::build(apps);
  const auto app = [&](std::string_view path, std::string_view host, bool grpc = false) {
    const Resolved r = t->resolve(path, grpc, host);
    return r.target == Target::kDeployment ? t->entries()[r.deployment].app
                                           : std::string(r.target == Target::kBuiltin ? "builtin" : "");
  };
  EXPECT_EQ(app("/any", "mine.example"), "mine");
  EXPECT_EQ(app("/any", "MINE.example:8000"), "mine");
  EXPECT_EQ(app("/any", "[::1]:8000"), "mine");
  EXPECT_EQ(app("/any", "[::1]"), "mine");
  EXPECT_EQ(app("/any", "notmine.example"), "other");
  EXPECT_EQ(app("/any", ""), "other");
  EXPECT_EQ(app("/any", std::string(300, 'a')), "other");
  EXPECT_EQ(app("/v2/models/other/infer", "mine.example"), "mine");
  EXPECT_EQ(app("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "mine.example", true), "mine");
  EXPECT_EQ(app("/-/healthz", "mine.example"), "builtin");
  // An app that Colony runs keeps the inference protocols where they are.
  EXPECT_EQ(app("/any", "model.example"), "model");
  EXPECT_EQ(app("/v2/models/other/infer", "model.example"), "other");
  EXPECT_EQ(app("/v2/health/ready", "model.example"), "builtin");
}

TEST(RouteTable, WhoHeldAServiceOrAHostKeepsItAndTheOtherIsNamed) {
  Apps apps;
  add(apps, "b", "/b", {});
  apps["b"].deployments[0].grpc_services = {"s.S"};
  apps["b"].deployments[0].hosts = {"h"};
  const auto before = RouteTable::build(apps);
  add(apps, "a", "/a", {});
  apps["a"].deployments[0].grpc_services = {"s.S"};
  apps["a"].deployments[0].hosts = {"h"};
  const auto t = RouteTable::build(apps, before.get());
  EXPECT_EQ(where(*t, "/s.S/M", true), "b");
  EXPECT_EQ(t->warnings().size(), 2u);
}

}  // namespace
}  // namespace colony::proxy
