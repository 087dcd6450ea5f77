// Counters, gauges and histograms that cost the hot path one plain add: every loop writes its own cells (a shard), a
// scrape sums them. Text for GET /metrics comes from prometheus-cpp, whose headers stay in metrics.cc. The families of
// the program are listed in observe/metric_names.h.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace colony::observe {

enum class MetricKind : uint8_t { kCounter, kGauge, kHistogram };

inline constexpr size_t kMaxLabels = 6;
using LabelNames = std::array<std::string_view, kMaxLabels>;  // empty ones behind the last

// Seconds, from 100 us to a minute.
inline constexpr std::array<double, 18> kDurationBuckets = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
inline constexpr std::array<double, 10> kSizeBuckets = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512};

// A family, as a constant. `alias` repeats it under another product's name, for dashboards that exist; only where the two
// mean the same. Values are multiplied by alias_scale (1000: milliseconds), the label `code` becomes alias_code.
struct MetricFamily {
  std::string_view name;  // colony_..., base units, _total for counters
  std::string_view help;
  MetricKind kind = MetricKind::kCounter;
  LabelNames labels{};
  std::span<const double> buckets = kDurationBuckets;
  std::string_view alias{};
  double alias_scale = 1;
  std::string_view alias_code = "code";
};

namespace detail {
// One writer, any reader: load and store are plain moves.
struct Cell {
  std::atomic<uint64_t> count{0};
  std::atomic<double> value{0};
};
struct HistogramCells {
  explicit HistogramCells(std::span<const double> b);
  std::span<const double> bounds;
  std::unique_ptr<std::atomic<uint64_t>[]> counts;  // one per bound, one above all
  std::atomic<double> sum{0};
};
inline void add(std::atomic<uint64_t>& a, uint64_t n) {
  a.store(a.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}
inline void add(std::atomic<double>& a, double v) {
  a.store(a.load(std::memory_order_relaxed) + v, std::memory_order_relaxed);
}
}  // namespace detail

// Handles: made once per series by a MetricShard, used on that shard's thread, valid as long as they live, also after the
// registry. A default-made handle counts nothing. Copies share the cell.
class Counter {
 public:
  Counter() = default;
  void add(uint64_t n = 1) {
    if (cell_) detail::add(cell_->count, n);
  }
  uint64_t value() const { return cell_ ? cell_->count.load(std::memory_order_relaxed) : 0; }

 private:
  friend class MetricShard;
  std::shared_ptr<detail::Cell> cell_;
};

// The sum of what the shards have set.
class Gauge {
 public:
  Gauge() = default;
  void set(double v) {
    if (cell_) cell_->value.store(v, std::memory_order_relaxed);
  }
  void add(double v) {
    if (cell_) detail::add(cell_->value, v);
  }
  double value() const { return cell_ ? cell_->value.load(std::memory_order_relaxed) : 0; }

 private:
  friend class MetricShard;
  std::shared_ptr<detail::Cell> cell_;
};

class Histogram {
 public:
  Histogram() = default;
  void observe(double v) {
    if (!cells_) return;
    size_t i = 0;
    while (i < cells_->bounds.size() && v > cells_->bounds[i]) ++i;
    detail::add(cells_->counts[i], 1);
    detail::add(cells_->sum, v);
  }

 private:
  friend class MetricShard;
  std::shared_ptr<detail::HistogramCells> cells_;
};

class MetricShard;

// Owned by the process's composition, outlives its shards. Any thread.
class Metrics {
 public:
  // LIMIT: series of one family. Further label values share one series whose labels all say "other", and are counted in
  // colony_metrics_series_refused_total.
  static constexpr size_t kMaxSeries = 2000;

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // One per loop (or other single thread that writes).
  std::unique_ptr<MetricShard> shard();
  // `fn` is called at the start of every text(), on the scraping thread, to bring gauges up to date. Until the returned
  // token dies.
  std::shared_ptr<void> before_scrape(std::function<void()> fn);
  // Forgets all series with this label value: an app or a replica that is gone. Their handles count into the void.
  void drop(std::string_view label, std::string_view value);

  // The text exposition format, version 0.0.4.
  std::string text();
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  friend class MetricShard;
  struct State;
  std::shared_ptr<State> state_;
};

// Makes handles. Lives on one thread; its sums stay in the registry after it is gone (a counter never goes back), its
// gauges end with it.
class MetricShard {
 public:
  ~MetricShard();
  // `labels` are the values in the order of the family's names. The same labels give the same series.
  Counter counter(const MetricFamily& family, std::initializer_list<std::string_view> labels = {});
  Gauge gauge(const MetricFamily& family, std::initializer_list<std::string_view> labels = {});
  Histogram histogram(const MetricFamily& family, std::initializer_list<std::string_view> labels = {});

 private:
  friend class Metrics;
  explicit MetricShard(std::shared_ptr<Metrics::State> state, uint64_t id) : state_(std::move(state)), id_(id) {}
  std::shared_ptr<Metrics::State> state_;
  uint64_t id_;
};

}  // namespace colony::observe
