#include "app/metrics_text.h"

#include <gtest/gtest.h>

namespace colony::app {
namespace {

TEST(MetricsText, SamplesOfOneFamilyStandTogetherUnderOneHead) {
  const std::string a = "# HELP x_total Things.\n# TYPE x_total counter\nx_total{code=\"200\"} 1\n";
  const std::string b = "# HELP x_total Things.\n# TYPE x_total counter\nx_total 2\n# TYPE y gauge\ny{} 3\n";
  EXPECT_EQ(join_metrics({{"", a}, {"process=\"r\"", b}}),
            "# HELP x_total Things.\n# TYPE x_total counter\nx_total{code=\"200\"} 1\nx_total{process=\"r\"} 2\n"
            "# TYPE y gauge\ny{process=\"r\"} 3\n");
}

TEST(MetricsText, HistogramSeriesStayWithTheirFamily) {
  const std::string h =
      "# TYPE h histogram\nh_count{d=\"a b\"} 2\nh_sum{d=\"a b\"} 0.5\nh_bucket{d=\"a b\",le=\"+Inf\"} 2\n";
  const auto joined = join_metrics({{"process=\"1\"", h}, {"process=\"2\"", h}});
  EXPECT_EQ(joined.find("# TYPE"), joined.rfind("# TYPE"));
  EXPECT_NE(joined.find("h_bucket{process=\"2\",d=\"a b\",le=\"+Inf\"} 2\n"), std::string::npos) << joined;
}

TEST(MetricsText, NothingGivesNothing) {
  EXPECT_EQ(join_metrics({}), "");
  EXPECT_EQ(join_metrics({{"process=\"r\"", ""}}), "");
}

}  // namespace
}  // namespace colony::app
