// See metrics.h. A series holds one cell per shard; the cell of a shard that has ended is folded into a remainder, so that
// threads may come and go without a counter ever going back.
#include "observe/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cmath>
#include <list>
#include <map>
#include <mutex>
#include <vector>

#include "base/check.h"

namespace colony::observe {
namespace {

constexpr MetricFamily kRefused{.name = "colony_metrics_series_refused_total",
                                .help = "Label values that found no room and were counted as \"other\".",
                                .labels = {"family"}};

size_t label_count(const MetricFamily& f) {
  size_t n = 0;
  while (n < kMaxLabels && !f.labels[n].empty()) ++n;
  return n;
}

prometheus::MetricType type_of(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter: return prometheus::MetricType::Counter;
    case MetricKind::kGauge: return prometheus::MetricType::Gauge;
    case MetricKind::kHistogram: return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

struct Sums {
  uint64_t count = 0;
  double value = 0;
  std::vector<uint64_t> buckets;

  void add(const detail::Cell& c) {
    count += c.count.load(std::memory_order_relaxed);
    value += c.value.load(std::memory_order_relaxed);
  }
  void add(const detail::HistogramCells& h) {
    buckets.resize(h.bounds.size() + 1);
    for (size_t i = 0; i < buckets.size(); ++i) buckets[i] += h.counts[i].load(std::memory_order_relaxed);
    value += h.sum.load(std::memory_order_relaxed);
  }
};

struct Series {
  std::map<uint64_t, std::shared_ptr<detail::Cell>> cells;  // by shard
  std::map<uint64_t, std::shared_ptr<detail::HistogramCells>> histograms;
  Sums ended;

  Sums sum() const {
    Sums s = ended;
    for (const auto& [shard, c] : cells) s.add(*c);
    for (const auto& [shard, h] : histograms) s.add(*h);
    return s;
  }
};

struct Family {
  MetricFamily what;
  std::map<std::vector<std::string>, Series> series;  // by label values
};

}  // namespace

detail::HistogramCells::HistogramCells(std::span<const double> b)
    : bounds(b), counts(std::make_unique<std::atomic<uint64_t>[]>(b.size() + 1)) {}

struct Metrics::State {
  std::mutex mutex;
  std::map<std::string_view, Family> families;
  uint64_t shards = 0;
  std::list<std::weak_ptr<std::function<void()>>> before_scrape;

  // The caller holds the mutex.
  Series& series(const MetricFamily& family, std::initializer_list<std::string_view> labels) {
    CHECK(labels.size() == label_count(family));
    auto& f = families.try_emplace(family.name, Family{family, {}}).first->second;
    CHECK(f.what.kind == family.kind);
    std::vector<std::string> values(labels.begin(), labels.end());
    if (auto it = f.series.find(values); it != f.series.end()) return it->second;
    if (f.series.size() >= kMaxSeries) {
      ++series(kRefused, {family.name}).ended.count;
      values.assign(values.size(), "other");
    }
    return f.series[std::move(values)];
  }
};

Metrics::Metrics() : state_(std::make_shared<State>()) {}
Metrics::~Metrics() = default;

std::unique_ptr<MetricShard> Metrics::shard() {
  std::lock_guard lock(state_->mutex);
  return std::unique_ptr<MetricShard>(new MetricShard(state_, ++state_->shards));
}

std::shared_ptr<void> Metrics::before_scrape(std::function<void()> fn) {
  auto own = std::make_shared<std::function<void()>>(std::move(fn));
  std::lock_guard lock(state_->mutex);
  state_->before_scrape.push_back(own);
  return own;
}

void Metrics::drop(std::string_view label, std::string_view value) {
  std::lock_guard lock(state_->mutex);
  for (auto& [name, family] : state_->families) {
    for (size_t i = 0; i < label_count(family.what); ++i) {
      if (family.what.labels[i] != label) continue;
      std::erase_if(family.series, [&](const auto& s) { return s.first[i] == value; });
    }
  }
}

MetricShard::~MetricShard() {
  std::lock_guard lock(state_->mutex);
  for (auto& [name, family] : state_->families) {
    for (auto& [labels, series] : family.series) {
      if (auto it = series.cells.find(id_); it != series.cells.end()) {
        if (family.what.kind == MetricKind::kCounter) series.ended.add(*it->second);
        series.cells.erase(it);
      }
      if (auto it = series.histograms.find(id_); it != series.histograms.end()) {
        series.ended.add(*it->second);
        series.histograms.erase(it);
      }
    }
  }
}

Counter MetricShard::counter(const MetricFamily& family, std::initializer_list<std::string_view> labels) {
  CHECK(family.kind == MetricKind::kCounter);
  std::lock_guard lock(state_->mutex);
  auto& cell = state_->series(family, labels).cells[id_];
  if (!cell) cell = std::make_shared<detail::Cell>();
  Counter out;
  out.cell_ = cell;
  return out;
}

Gauge MetricShard::gauge(const MetricFamily& family, std::initializer_list<std::string_view> labels) {
  CHECK(family.kind == MetricKind::kGauge);
  std::lock_guard lock(state_->mutex);
  auto& cell = state_->series(family, labels).cells[id_];
  if (!cell) cell = std::make_shared<detail::Cell>();
  Gauge out;
  out.cell_ = cell;
  return out;
}

Histogram MetricShard::histogram(const MetricFamily& family, std::initializer_list<std::string_view> labels) {
  CHECK(family.kind == MetricKind::kHistogram);
  std::lock_guard lock(state_->mutex);
  auto& cells = state_->series(family, labels).histograms[id_];
  if (!cells) cells = std::make_shared<detail::HistogramCells>(family.buckets);
  Histogram out;
  out.cells_ = cells;
  return out;
}

namespace {

prometheus::ClientMetric metric_of(const MetricFamily& f, const std::vector<std::string>& labels, const Sums& sums,
                                   double scale, std::string_view code_name) {
  prometheus::ClientMetric m;
  for (size_t i = 0; i < labels.size(); ++i) {
    const std::string_view name = f.labels[i] == "code" ? code_name : f.labels[i];
    m.label.push_back({std::string(name), labels[i]});
  }
  switch (f.kind) {
    case MetricKind::kCounter: m.counter.value = static_cast<double>(sums.count) * scale; break;
    case MetricKind::kGauge: m.gauge.value = sums.value * scale; break;
    case MetricKind::kHistogram: {
      uint64_t below = 0;
      for (size_t i = 0; i <= f.buckets.size(); ++i) {
        if (i < sums.buckets.size()) below += sums.buckets[i];
        m.histogram.bucket.push_back({below, i < f.buckets.size() ? f.buckets[i] * scale : INFINITY});
      }
      m.histogram.sample_count = below;
      m.histogram.sample_sum = sums.value * scale;
    }
  }
  return m;
}

}  // namespace

std::string Metrics::text() {
  std::vector<std::shared_ptr<std::function<void()>>> first;
  {
    std::lock_guard lock(state_->mutex);
    state_->before_scrape.remove_if([](const auto& w) { return w.expired(); });
    for (const auto& w : state_->before_scrape) {
      if (auto fn = w.lock()) first.push_back(std::move(fn));
    }
  }
  for (const auto& fn : first) (*fn)();

  std::vector<prometheus::MetricFamily> out, aliases;
  {
    std::lock_guard lock(state_->mutex);
    for (const auto& [name, family] : state_->families) {
      const MetricFamily& f = family.what;
      if (family.series.empty()) continue;
      auto& own =
          out.emplace_back(prometheus::MetricFamily{std::string(f.name), std::string(f.help), type_of(f.kind), {}});
      prometheus::MetricFamily alias{
          std::string(f.alias), "The same as " + std::string(f.name) + ".", type_of(f.kind), {}};
      for (const auto& [labels, series] : family.series) {
        const Sums sums = series.sum();
        own.metric.push_back(metric_of(f, labels, sums, 1, "code"));
        if (!f.alias.empty()) alias.metric.push_back(metric_of(f, labels, sums, f.alias_scale, f.alias_code));
      }
      if (!f.alias.empty()) aliases.push_back(std::move(alias));
    }
  }
  out.insert(out.end(), std::make_move_iterator(aliases.begin()), std::make_move_iterator(aliases.end()));
  return prometheus::TextSerializer().Serialize(out);
}

}  // namespace colony::observe
