// The keeper over a memory store and a scripted master host, in simulated time.
#include "control/keeper/keeper.h"

#include <gtest/gtest.h>

#include "async/sim_loop.h"
#include "store/memory.h"
#include "tests/support/fake_master_host.h"

namespace colony::keeper {
namespace {

using ::colony::testing::FakeMasterHost;

AppSpec app(std::string name, int replicas = 1) {
  AppSpec a{.name = name, .route_prefix = "/" + name};
  a.deployments.push_back(DeploymentSpec{.name = "d", .runtime = "echo", .num_replicas = replicas});
  return a;
}

class KeeperTest : public ::testing::Test {
 protected:
  KeeperTest() { start(); }
  ~KeeperTest() override {
    if (keeper_) loop_->run(keeper_->stop());
  }
  void start(Keeper::Options options = {}) {
    keeper_ = std::make_unique<Keeper>(Keeper::Deps{*loop_, store_, host_}, options);
    ASSERT_TRUE(loop_->run(keeper_->start()).has_value());
    loop_->run_ready();
  }
  void restart(Keeper::Options options = {}) {
    loop_->run(keeper_->stop());
    start(options);
  }
  Result<Change> apply(AppSpec a, ChangeOptions o = {}) {
    auto r = loop_->run(keeper_->apply(std::move(a), o));
    loop_->run_ready();
    return r;
  }
  Result<Change> remove(std::string name, ChangeOptions o = {}) {
    auto r = loop_->run(keeper_->remove(std::move(name), o));
    loop_->run_ready();
    return r;
  }
  std::string status(const std::string& name) {
    auto s = keeper_->status(name);
    return s ? s->status : s.error().reason;
  }

  std::unique_ptr<async::SimLoop> loop_ = async::SimLoop::create({});
  store::MemoryStore store_{*loop_};
  FakeMasterHost host_{*loop_};
  std::unique_ptr<Keeper> keeper_;
};

TEST_F(KeeperTest, AnAppIsKeptAssignedAndShown) {
  auto change = apply(app("a", 2));
  ASSERT_TRUE(change.has_value()) << change.error().message;
  EXPECT_EQ(change->revision, 1U);
  EXPECT_TRUE(change->changed);
  EXPECT_EQ(change->plan.size(), 2U);
  ASSERT_TRUE(host_.apps.contains("a"));
  EXPECT_EQ(host_.apps["a"].revision, 1U);
  EXPECT_GT(host_.apps["a"].epoch, 0U);
  EXPECT_EQ(status("a"), "DEPLOYING");
  host_.settle("a");
  EXPECT_EQ(status("a"), "RUNNING");
  EXPECT_EQ(keeper_->spec("a")->deployments[0].num_replicas, 2);
  auto same = apply(app("a", 2));
  EXPECT_FALSE(same->changed);
  EXPECT_EQ(same->revision, 1U);
  EXPECT_EQ(store_.writes(), 1U);
}

TEST_F(KeeperTest, ADryRunChecksEverythingAndDoesNothing) {
  auto change = apply(app("a"), {.dry_run = true});
  ASSERT_TRUE(change.has_value());
  EXPECT_EQ(change->plan.size(), 2U);
  EXPECT_FALSE(change->changed);
  EXPECT_EQ(store_.writes(), 0U);
  EXPECT_EQ(status("a"), "no_such_application");
  ASSERT_TRUE(apply(app("a")).has_value());
  auto gone = remove("a", {.dry_run = true});
  ASSERT_TRUE(gone.has_value());
  EXPECT_EQ(gone->plan.at(0).kind, PlanAction::Kind::kDeleteApp);
  EXPECT_FALSE(host_.apps["a"].remove);
}

TEST_F(KeeperTest, ARevisionThatIsExpectedMustBeTheOneThatIsThere) {
  EXPECT_EQ(apply(app("a"), {.expected_revision = 3}).error().reason, "revision_conflict");
  ASSERT_TRUE(apply(app("a"), {.expected_revision = 0}).has_value());
  EXPECT_EQ(apply(app("a", 2), {.expected_revision = 0}).error().reason, "revision_conflict");
  auto stale = apply(app("a", 2), {.expected_revision = 7});
  EXPECT_EQ(http_status(stale.error().code), 409);
  EXPECT_EQ(apply(app("a", 2), {.expected_revision = 1})->revision, 2U);
  EXPECT_EQ(remove("a", {.expected_revision = 1}).error().reason, "revision_conflict");
  EXPECT_TRUE(remove("a", {.expected_revision = 2}).has_value());
}

TEST_F(KeeperTest, HostsAndGrpcServicesThatAreTakenAreRefusedAndAddressesAreNotScaled) {
  AppSpec a = app("a");
  DeploymentSpec web{.name = "web", .runtime = "external"};
  web.backend = BackendSpec{.addresses = {"127.0.0.1:1"}};
  web.grpc_services = {"s.S"};
  a.deployments.push_back(web);
  a.hosts = {"h.example"};
  ASSERT_TRUE(apply(a).has_value());
  AppSpec b = app("b");
  b.hosts = {"h.example"};
  auto host = apply(b);
  ASSERT_FALSE(host.has_value());
  EXPECT_EQ(host.error().reason, "host_taken");
  EXPECT_NE(host.error().message.find("the host h.example belongs to application a"), std::string::npos);
  b.hosts.clear();
  b.deployments.push_back(web);
  auto service = apply(b);
  ASSERT_FALSE(service.has_value());
  EXPECT_EQ(service.error().reason, "grpc_service_taken");
  EXPECT_NE(service.error().message.find("the gRPC service s.S belongs to application a"), std::string::npos);
  b.deployments.back().grpc_services = {"t.T"};
  b.deployments.push_back(web);
  b.deployments.back().name = "again";
  b.deployments.back().grpc_services = {"t.T"};
  auto twice = apply(b);
  ASSERT_FALSE(twice.has_value());
  EXPECT_EQ(twice.error().reason, "grpc_service_taken");
  auto scaled = loop_->run(keeper_->scale("a", "web", 2, {}));
  ASSERT_FALSE(scaled.has_value());
  EXPECT_EQ(scaled.error().reason, "external_deployment");
}

TEST_F(KeeperTest, NamesThatAreTakenAreRefusedWithTheirOwner) {
  AppSpec a = app("a");
  a.deployments.push_back(DeploymentSpec{.name = "x", .runtime = "echo"});
  ASSERT_TRUE(apply(a).has_value());
  AppSpec b = app("b");
  b.route_prefix = "/a";
  auto prefix = apply(b);
  ASSERT_FALSE(prefix.has_value());
  EXPECT_EQ(prefix.error().reason, "route_prefix_taken");
  EXPECT_NE(prefix.error().message.find("belongs to application a"), std::string::npos);
  auto model = apply(app("a.x"));  // its ingress answers as a.x, as does a's deployment x
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().reason, "model_name_taken");
  EXPECT_EQ(http_status(model.error().code), 409);
  ASSERT_TRUE(remove("a").has_value());
  auto leaving = apply(b);
  EXPECT_NE(leaving.error().message.find("is being deleted"), std::string::npos);
  host_.finish_removal("a");
  loop_->run_ready();
  EXPECT_TRUE(apply(b).has_value());
}

TEST_F(KeeperTest, DeletionEndsWhenTheHostSaysSo) {
  std::vector<std::string> told;
  auto watch = keeper_->watch([&](const AppStatus& s) { told.push_back(s.status); });
  ASSERT_TRUE(apply(app("a")).has_value());
  host_.settle("a");
  ASSERT_TRUE(remove("a").has_value());
  EXPECT_TRUE(host_.apps["a"].remove);
  EXPECT_EQ(status("a"), "DELETING");
  EXPECT_FALSE(remove("a")->changed);  // twice is fine
  host_.finish_removal("a");
  loop_->run_ready();
  EXPECT_EQ(status("a"), "no_such_application");
  EXPECT_EQ(told.back(), "DELETED");
  EXPECT_TRUE(loop_->run(store_.load())->empty());
  EXPECT_EQ(remove("a").error().reason, "no_such_application");
}

TEST_F(KeeperTest, AnAppThatIsAskedForAgainWhileItGoesComesBackAfterwards) {
  ASSERT_TRUE(apply(app("a")).has_value());
  const uint64_t epoch = host_.apps["a"].epoch;
  ASSERT_TRUE(remove("a").has_value());
  auto again = apply(app("a", 3));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->revision, 3U);
  EXPECT_TRUE(host_.apps["a"].remove);  // first it goes
  EXPECT_EQ(status("a"), "DEPLOYING");
  host_.finish_removal("a");
  loop_->run_ready();
  ASSERT_TRUE(host_.apps.contains("a"));
  EXPECT_FALSE(host_.apps["a"].remove);
  EXPECT_EQ(host_.apps["a"].revision, 3U);
  EXPECT_GT(host_.apps["a"].epoch, epoch);
}

TEST_F(KeeperTest, AfterItsOwnRestartARunningHostIsLeftAlone) {
  ASSERT_TRUE(apply(app("a")).has_value());
  host_.settle("a");
  const size_t calls = host_.calls;
  const uint64_t epoch = host_.apps["a"].epoch;
  restart();
  EXPECT_EQ(host_.calls, calls);
  EXPECT_EQ(status("a"), "RUNNING");
  EXPECT_EQ(apply(app("a", 2))->revision, 2U);
  EXPECT_EQ(host_.apps["a"].epoch, epoch);
  EXPECT_EQ(host_.apps["a"].spec.deployments[0].num_replicas, 2);
}

TEST_F(KeeperTest, AHostThatKnowsNothingGetsEveryAppWithANewEpoch) {
  ASSERT_TRUE(apply(app("a")).has_value());
  ASSERT_TRUE(apply(app("b")).has_value());
  const uint64_t before = host_.apps["a"].epoch;
  host_.restart();
  loop_->run_ready();
  ASSERT_TRUE(host_.apps.contains("a") && host_.apps.contains("b"));
  EXPECT_GT(host_.apps["a"].epoch, before);
  EXPECT_EQ(host_.apps["a"].revision, 1U);
  EXPECT_EQ(keeper_->status("a")->epoch, host_.apps["a"].epoch);
}

TEST_F(KeeperTest, ARemovalThatTheHostForgotIsFinished) {
  ASSERT_TRUE(apply(app("a")).has_value());
  ASSERT_TRUE(remove("a").has_value());
  host_.restart();
  loop_->run_ready();
  if (host_.apps.contains("a")) {
    EXPECT_TRUE(host_.apps["a"].remove);
    host_.finish_removal("a");
    loop_->run_ready();
  }
  EXPECT_EQ(status("a"), "no_such_application");
}

TEST_F(KeeperTest, AnUnreachableHostIsTriedAgainAndSaidAloud) {
  host_.go_away();
  ASSERT_TRUE(apply(app("a")).has_value());
  loop_->run_for(1s);
  EXPECT_NE(keeper_->status("a")->message.find("the host is away"), std::string::npos);
  EXPECT_FALSE(host_.apps.contains("a"));
  host_.come_back();
  loop_->run_for(10s);
  EXPECT_TRUE(host_.apps.contains("a"));
  EXPECT_EQ(keeper_->status("a")->message, "");
}

TEST_F(KeeperTest, AnEpochThatTheHostHasPassedIsRenewed) {
  host_.fence["a"] = 5;
  ASSERT_TRUE(apply(app("a")).has_value());
  loop_->run_for(30s);
  ASSERT_TRUE(host_.apps.contains("a"));
  EXPECT_GE(host_.apps["a"].epoch, 5U);
}

TEST_F(KeeperTest, AStoreThatDoesNotWriteRefusesAndChangesNothing) {
  ASSERT_TRUE(apply(app("a")).has_value());
  store_.fail_writes(resource_exhausted("no room on the disk", "no_space"));
  EXPECT_EQ(apply(app("a", 4)).error().reason, "no_space");
  EXPECT_EQ(apply(app("b")).error().reason, "no_space");
  EXPECT_EQ(remove("a").error().reason, "no_space");
  EXPECT_EQ(keeper_->spec("a")->deployments[0].num_replicas, 1);
  EXPECT_EQ(keeper_->names(), std::vector<std::string>{"a"});
  EXPECT_EQ(host_.apps["a"].revision, 1U);
  store_.heal();
  EXPECT_EQ(apply(app("a", 4))->revision, 2U);
}

TEST_F(KeeperTest, ANewerKeeperEndsTheTerm) {
  ASSERT_TRUE(apply(app("a")).has_value());
  ASSERT_TRUE(loop_->run(store_.begin_term()).has_value());
  EXPECT_EQ(apply(app("a", 2)).error().reason, "fenced");
  EXPECT_EQ(apply(app("b")).error().reason, "fenced");
  EXPECT_EQ(status("a"), "DEPLOYING");  // what it knows it still says
}

TEST_F(KeeperTest, ChangesAtTheSameTimeComeOneAfterTheOther) {
  async::Scope scope(*loop_);
  struct Runner {
    static async::Task<void> run(Keeper* k, int n, std::vector<uint64_t>* revisions) {
      auto done = co_await k->apply(app("a", n), {});
      if (done) revisions->push_back(done->revision);
    }
  };
  std::vector<uint64_t> revisions;
  for (int n = 1; n <= 20; ++n) scope.spawn(Runner::run(keeper_.get(), n, &revisions));
  ASSERT_TRUE(loop_->run_until([&] { return scope.running() == 0; }));
  ASSERT_EQ(revisions.size(), 20U);
  std::sort(revisions.begin(), revisions.end());
  EXPECT_EQ(revisions.front(), 1U);
  EXPECT_EQ(revisions.back(), 20U);
  loop_->run_ready();
  EXPECT_EQ(host_.apps["a"].revision, 20U);
}

TEST_F(KeeperTest, TheNumberOfApplicationsIsBounded) {
  restart({.max_apps = 2});
  ASSERT_TRUE(apply(app("a")).has_value());
  ASSERT_TRUE(apply(app("b")).has_value());
  EXPECT_EQ(apply(app("c")).error().reason, "too_many_applications");
  EXPECT_TRUE(apply(app("b", 2)).has_value());
}

TEST_F(KeeperTest, ScalingNamesWhatThereIs) {
  ASSERT_TRUE(apply(app("a")).has_value());
  auto done = loop_->run(keeper_->scale("a", "d", 7, {}));
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->plan.at(0).text(), "scale deployment a/d from 1 to 7 replica(s)");
  EXPECT_EQ(loop_->run(keeper_->scale("a", "z", 7, {})).error().reason, "no_such_deployment");
  EXPECT_EQ(loop_->run(keeper_->scale("z", "d", 7, {})).error().reason, "no_such_application");
}

TEST_F(KeeperTest, ApplyingAFailedAppAgainTriesAgain) {
  ASSERT_TRUE(apply(app("a")).has_value());
  host_.fail_deploy("a", "the model file is missing");
  EXPECT_EQ(status("a"), "DEPLOY_FAILED");
  auto again = apply(app("a"));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->revision, 2U);
  EXPECT_EQ(again->plan.at(0).kind, PlanAction::Kind::kRetry);
  EXPECT_EQ(host_.apps["a"].revision, 2U);
}

TEST_F(KeeperTest, ASpecThatCannotBeReadIsShownAndCanBeReplaced) {
  loop_->run(keeper_->stop());
  keeper_.reset();
  const uint64_t term = *loop_->run(store_.begin_term());
  store::AppEntry odd{"odd", "{\"from\":\"the future\"}"};
  odd.revision = 4;
  ASSERT_TRUE(loop_->run(store_.put(term, odd, 0, store::Epoch::kNext)).has_value());
  start();
  EXPECT_EQ(status("odd"), "DEPLOY_FAILED");
  EXPECT_FALSE(host_.apps.contains("odd"));
  EXPECT_FALSE(keeper_->spec("odd").has_value());
  EXPECT_EQ(apply(app("odd"))->revision, 5U);
  EXPECT_TRUE(host_.apps.contains("odd"));
}

}  // namespace
}  // namespace colony::keeper
