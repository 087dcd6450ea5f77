// The result as JSON, one line. Latencies in microseconds.
#include <nlohmann/json.hpp>

#include "bench/loadgen/generator.h"

namespace colony::loadgen {
namespace {

nlohmann::json latencies(const Histogram& h) {
  const auto us = [](auto ns) { return static_cast<double>(ns) / 1e3; };
  return {{"count", h.count()},
          {"mean", us(h.mean())},
          {"p50", us(h.percentile(0.5))},
          {"p90", us(h.percentile(0.9))},
          {"p99", us(h.percentile(0.99))},
          {"p99.9", us(h.percentile(0.999))},
          {"max", us(h.max())}};
}

}  // namespace

std::string to_json(const Options& options, const Result& result) {
  nlohmann::json kinds = nlohmann::json::object();
  Counts all;
  for (size_t i = 0; i < result.kinds.size(); ++i) {
    const auto& k = result.kinds[i];
    kinds[options.kinds[i].name] = {{"asked", k.asked},
                                    {"good", k.good},
                                    {"wrong", k.wrong},
                                    {"failed", k.failed},
                                    {"aborted", k.aborted},
                                    {"retried", k.retried},
                                    {"latency_us", latencies(k.latency)}};
    all.asked += k.asked;
    all.good += k.good;
    all.wrong += k.wrong;
    all.failed += k.failed;
    all.aborted += k.aborted;
    all.retried += k.retried;
    all.latency.merge(k.latency);
  }
  nlohmann::json failures = nlohmann::json::array();
  for (const auto& f : result.failures)
    failures.push_back({{"at", f.at}, {"kind", f.kind}, {"why", f.why}, {"latency_s", f.latency_s}});
  const nlohmann::json out = {{"seconds", result.seconds},
                              {"rate", static_cast<double>(all.good) / std::max(result.seconds, 1e-9)},
                              {"asked", all.asked},
                              {"good", all.good},
                              {"wrong", all.wrong},
                              {"failed", all.failed},
                              {"aborted", all.aborted},
                              {"retried", all.retried},
                              {"unasked", result.unasked},
                              {"reconnects", result.reconnects},
                              {"bytes_in", result.bytes_in},
                              {"bytes_out", result.bytes_out},
                              {"latency_us", latencies(all.latency)},
                              {"late_us", latencies(result.late)},
                              {"kinds", kinds},
                              {"errors", result.errors},
                              {"failures", failures}};
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace colony::loadgen
