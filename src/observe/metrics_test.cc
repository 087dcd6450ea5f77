// Metrics: sums over shards, the text that Prometheus reads, bounds, aliases.
#include "observe/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <thread>
#include <vector>

#include "observe/metric_names.h"

namespace colony::observe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr MetricFamily kCount{.name = "colony_test_total", .help = "Tests.", .labels = {"application", "code"}};
constexpr MetricFamily kLevel{.name = "colony_test_level", .help = "Level.", .kind = MetricKind::kGauge};
constexpr MetricFamily kTime{.name = "colony_test_seconds",
                             .help = "Time.",
                             .kind = MetricKind::kHistogram,
                             .labels = {"application", "code"},
                             .alias = "other_test_ms",
                             .alias_scale = 1000,
                             .alias_code = "status_code"};

TEST(Metrics, AScrapeSumsTheShards) {
  Metrics metrics;
  auto one = metrics.shard(), two = metrics.shard();
  auto a = one->counter(kCount, {"app", "200"}), b = two->counter(kCount, {"app", "200"});
  a.add();
  b.add(41);
  one->gauge(kLevel).set(1.5);
  two->gauge(kLevel).add(2);
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("# TYPE colony_test_total counter"));
  EXPECT_THAT(text, HasSubstr("colony_test_total{application=\"app\",code=\"200\"} 42\n"));
  EXPECT_THAT(text, HasSubstr("colony_test_level 3.5\n"));
}

TEST(Metrics, TheSameLabelsGiveTheSameSeries) {
  Metrics metrics;
  auto shard = metrics.shard();
  shard->counter(kCount, {"app", "200"}).add(2);
  shard->counter(kCount, {"app", "200"}).add(3);
  EXPECT_EQ(shard->counter(kCount, {"app", "200"}).value(), 5u);
}

TEST(Metrics, AHistogramIsCumulativeAndItsAliasScaledAndRenamed) {
  Metrics metrics;
  auto shard = metrics.shard();
  auto h = shard->histogram(kTime, {"app", "503"});
  h.observe(0.0005);  // on a bound: belongs to it
  h.observe(0.002);
  h.observe(1000);
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("colony_test_seconds_count{application=\"app\",code=\"503\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("colony_test_seconds_bucket{application=\"app\",code=\"503\",le=\"0.00025\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("colony_test_seconds_bucket{application=\"app\",code=\"503\",le=\"0.0005\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("colony_test_seconds_bucket{application=\"app\",code=\"503\",le=\"60\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("colony_test_seconds_bucket{application=\"app\",code=\"503\",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("other_test_ms_bucket{application=\"app\",status_code=\"503\",le=\"0.5\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("other_test_ms_sum{application=\"app\",status_code=\"503\"} 1000002.5\n"));
}

TEST(Metrics, AnEndedShardLeavesItsCountsAndTakesItsGauges) {
  Metrics metrics;
  auto stays = metrics.shard();
  stays->gauge(kLevel).set(1);
  Counter survivor;
  {
    auto goes = metrics.shard();
    survivor = goes->counter(kCount, {"app", "200"});
    survivor.add(7);
    goes->gauge(kLevel).set(100);
    goes->histogram(kTime, {"app", "200"}).observe(1);
  }
  survivor.add(1);  // into the void
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("colony_test_total{application=\"app\",code=\"200\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("colony_test_level 1\n"));
  EXPECT_THAT(text, HasSubstr("colony_test_seconds_count{application=\"app\",code=\"200\"} 1\n"));
}

TEST(Metrics, LabelValuesAreEscaped) {
  Metrics metrics;
  auto shard = metrics.shard();
  shard->counter(kCount, {"a\"b\\c\nd", "200"}).add();
  EXPECT_THAT(metrics.text(), HasSubstr("application=\"a\\\"b\\\\c\\nd\""));
}

TEST(Metrics, AFamilyHasABoundBeyondWhichSeriesAreShared) {
  Metrics metrics;
  auto shard = metrics.shard();
  for (size_t i = 0; i < Metrics::kMaxSeries + 10; ++i) shard->counter(kCount, {std::to_string(i), "200"}).add();
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("colony_test_total{application=\"other\",code=\"other\"} 10\n"));
  EXPECT_THAT(text, HasSubstr("colony_metrics_series_refused_total{family=\"colony_test_total\"} 10\n"));
}

TEST(Metrics, AnAppThatIsGoneLeavesTheText) {
  Metrics metrics;
  auto shard = metrics.shard();
  auto old = shard->counter(kCount, {"old", "200"});
  shard->counter(kCount, {"new", "200"}).add();
  old.add();
  metrics.drop("application", "old");
  old.add();
  EXPECT_THAT(metrics.text(), Not(HasSubstr("\"old\"")));
  EXPECT_THAT(metrics.text(), HasSubstr("\"new\""));
}

TEST(Metrics, GaugesAreBroughtUpToDateBeforeAScrapeWhileTheirOwnerLives) {
  Metrics metrics;
  auto shard = metrics.shard();
  auto gauge = shard->gauge(kLevel);
  int calls = 0;
  auto token = metrics.before_scrape([&] { gauge.set(++calls); });
  EXPECT_THAT(metrics.text(), HasSubstr("colony_test_level 1\n"));
  token.reset();
  metrics.text();
  EXPECT_EQ(calls, 1);
}

TEST(Metrics, LoopsCountWhileAnotherThreadScrapes) {
  Metrics metrics;
  constexpr int kThreads = 3, kEach = 20000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      auto shard = metrics.shard();
      auto counter = shard->counter(kCount, {"app", "200"});
      auto histogram = shard->histogram(kTime, {"app", "200"});
      for (int i = 0; i < kEach; ++i) {
        counter.add();
        histogram.observe(0.001);
      }
    });
  }
  for (int i = 0; i < 20; ++i) metrics.text();
  for (auto& t : threads) t.join();
  EXPECT_THAT(metrics.text(), HasSubstr("colony_test_total{application=\"app\",code=\"200\"} 60000\n"));
}

TEST(Metrics, AHandleThatWasNeverMadeCountsNothing) {
  Counter().add();
  Gauge().set(1);
  Histogram().observe(1);
  SUCCEED();
}

TEST(MetricNames, FollowTheirRules) {
  const std::vector<MetricFamily> all = {
      kHttpRequests,    kHttpErrors,      kHttpDuration,         kGrpcRequests,           kHttpConnections,
      kHttpBadRequests, kRouterRequests,  kRouterQueued,         kRouterOngoing,          kRouterQueueDuration,
      kRouterRefused,   kRouterRetries,   kReplicaRequests,      kRouterUpstreamDuration, kReplicaErrors,
      kReplicaOngoing,  kReplicaDuration, kReplicaQueueDuration, kModelDuration,          kReplicas,
      kReplicaHealthy,  kReplicaStarts,   kReplicaStartDuration, kControlRequests,        kControlDuration,
      kBuildInfo};
  const std::set<std::string_view> allowed = {"application", "deployment", "replica", "model",  "version",
                                              "route",       "code",       "method",  "reason", "state"};
  std::set<std::string_view> names;
  for (const auto& f : all) {
    SCOPED_TRACE(f.name);
    EXPECT_TRUE(names.insert(f.name).second);
    EXPECT_TRUE(std::regex_match(std::string(f.name), std::regex("colony_[a-z_]+")));
    EXPECT_EQ(f.name.ends_with("_total"), f.kind == MetricKind::kCounter);
    if (f.kind == MetricKind::kHistogram) EXPECT_TRUE(f.name.ends_with("_seconds") || f.name.ends_with("_bytes"));
    for (const auto label : f.labels) EXPECT_TRUE(label.empty() || allowed.contains(label)) << label;
    EXPECT_TRUE(f.alias.empty() || f.alias.starts_with("ray_serve_"));
    EXPECT_TRUE(f.help.ends_with("."));
  }
}

}  // namespace
}  // namespace colony::observe
