// Handles are made when a series first occurs and found again by a short walk: a deployment answers with two or three
// combinations of method and status almost always.
#include "request/proxy/stats.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "observe/metric_names.h"

namespace colony::proxy {
namespace {

constexpr std::string_view kMethodNames[] = {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "other"};

}  // namespace

Method method_of(std::string_view name) {
  if (name == "GET") return Method::kGet;
  if (name == "POST") return Method::kPost;
  if (name == "PUT") return Method::kPut;
  if (name == "DELETE") return Method::kDelete;
  if (name == "PATCH") return Method::kPatch;
  if (name == "HEAD") return Method::kHead;
  return name == "OPTIONS" ? Method::kOptions : Method::kOther;
}

RouteStats::RouteStats(observe::MetricShard* shard, std::string app, std::string deployment, std::string route)
    : shard_(shard), app_(std::move(app)), deployment_(std::move(deployment)), route_(std::move(route)) {
  series_.reserve(kMaxSeries);
  if (!shard_) return;
  queue_ = shard_->histogram(observe::kRouterQueueDuration, {app_, deployment_});
  upstream_ = shard_->histogram(observe::kRouterUpstreamDuration, {app_, deployment_});
  sent_ = shard_->counter(observe::kRouterRequests, {app_, deployment_});
  retries_ = shard_->counter(observe::kRouterRetries, {app_, deployment_});
  retries_refused_ = shard_->counter(observe::kRouterRetriesRefused, {app_, deployment_});
  ejections_ = shard_->counter(observe::kRouterEjections, {app_, deployment_});
  ejected_ = shard_->gauge(observe::kRouterEjected, {app_, deployment_});
  waiting_ = shard_->gauge(observe::kRouterQueued, {app_, deployment_});
  running_ = shard_->gauge(observe::kRouterOngoing, {app_, deployment_});
}

RouteStats::Series& RouteStats::series(Method method, int status) {
  for (Series& s : series_)
    if (s.status == status && s.method == method) return s;
  if (series_.size() == kMaxSeries) return series_.back();
  Series s{.method = method, .status = status};
  if (shard_) {
    const std::string_view name = kMethodNames[static_cast<size_t>(method)];
    const std::string code = std::to_string(status);
    s.requests = shard_->counter(observe::kHttpRequests, {app_, route_, name, code});
    if (status >= 400) s.errors = shard_->counter(observe::kHttpErrors, {app_, route_, name, code});
    s.duration = shard_->histogram(observe::kHttpDuration, {app_, route_, name, code});
  }
  series_.push_back(std::move(s));
  return series_.back();
}

void RouteStats::refused(std::string_view reason) {
  refusals.add();
  if (shard_) shard_->counter(observe::kRouterRefused, {app_, deployment_, reason}).add();
}

void RouteStats::answered(Method method, int status, Duration total) {
  answers.add();
  if (status >= 200 && status < 400) {
    ok.add();
    ok_ns.add(static_cast<uint64_t>(std::max<int64_t>(total.count(), 0)));
  } else {
    failed.add();
  }
  Series& s = series(method, status == 0 ? 499 : status);
  s.requests.add();
  s.errors.add();
  s.duration.observe(to_seconds(total));
}

void RouteStats::answered_grpc(uint8_t grpc_status) {
  const size_t i = std::min<size_t>(grpc_status, grpc_.size() - 1);
  if (shard_ && grpc_[i].value() == 0)
    grpc_[i] = shard_->counter(observe::kGrpcRequests, {app_, route_, code_name(static_cast<Code>(i))});
  grpc_[i].add();
}

}  // namespace colony::proxy
