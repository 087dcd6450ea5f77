// What discovery is told: the app's record, again whenever it changes, in order, one publication at a time.
#include <algorithm>

#include "base/log.h"
#include "control/master/app_master.h"

namespace colony::master {

AppRecord AppMaster::build_record() const {
  AppRecord record;
  record.app = assignment_.spec.name;
  record.epoch = assignment_.epoch;
  const auto& ingress = assignment_.spec.ingress();
  auto add = [&](const DeploymentSpec& d) {
    DeploymentRecord out;
    out.name = d.name;
    out.runtime = d.runtime;
    out.transform = d.transform;
    out.models = assignment_.spec.model_names(d);
    out.model_versions = assignment_.spec.model_versions(d);
    if (&d == &ingress) {
      out.route_prefix = assignment_.spec.route_prefix;
      out.hosts = assignment_.spec.hosts;
    }
    out.grpc_services = d.grpc_services;
    out.max_ongoing_requests = d.max_ongoing_requests;
    out.max_queued_requests = d.max_queued_requests;
    out.request_timeout = from_seconds(d.request_timeout_s);
    out.idempotent = d.idempotent;
    for (const auto& [id, unit] : units_)
      if (unit->deployment == d.name && unit->process_ready()) out.replicas.push_back(record_of(*unit));
    for (const auto& [id, backend] : backends_)
      if (backend->deployment == d.name && backend->healthy) out.replicas.push_back(backend->record());
    record.deployments.push_back(std::move(out));
  };
  add(ingress);
  for (const auto& d : assignment_.spec.deployments)
    if (&d != &ingress) add(d);
  return record;
}

async::Task<void> AppMaster::publish_loop() {
  Duration backoff = 50ms;
  bool adopted = false;
  // A backend that hangs holds the others up no longer than this.
  const Deadline first_looks = Deadline::after(deps_.loop.now(), 1s);
  while (!scope_.stopping() && !ended_) {
    // Nothing is said before the engine has been asked, and every backend once: an empty record would take what runs out of
    // service.
    if (!adopted && (resync_ || !reconciled_ || (!all_looked_at() && !first_looks.passed(deps_.loop.now())))) {
      co_await published_signal_.wait(scope_, Deadline::after(deps_.loop.now(), 20ms));
      continue;
    }
    adopted = true;
    Result<void> said;
    bool spoke = false;
    if (assignment_.remove) {
      if (!withdrawn_) {
        spoke = true;
        said = co_await deps_.discovery.withdraw(assignment_.spec.name, assignment_.epoch);
        if (said) withdrawn_ = true;
      }
    } else {
      AppRecord record = build_record();
      record.version = published_ ? published_->version : 0;
      if (!published_ || !(record == *published_)) {
        spoke = true;
        record.version = ++version_;
        said = co_await deps_.discovery.publish(record);
        if (said) published_ = std::move(record);
      }
    }
    if (scope_.stopping() || ended_) co_return;
    if (spoke && said) {
      backoff = 50ms;
      changed_.notify();
      wake_.notify();
      continue;
    }
    if (spoke && said.error().reason == "stale_epoch") co_return fenced();
    if (spoke) {
      LOG(warn, "app {}: cannot tell discovery: {}", assignment_.spec.name, said.error().message);
      if (!co_await scope_.sleep(backoff)) co_return;
      backoff = std::min<Duration>(backoff * 2, 2s);
      continue;
    }
    co_await published_signal_.wait(scope_, Deadline::after(deps_.loop.now(), 1s));
  }
}

}  // namespace colony::master
