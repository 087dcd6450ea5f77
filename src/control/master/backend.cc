// External deployments: one Backend per address, looked at every health_check_period_s, and more often while it fails.
#include "control/master/backend.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "control/master/app_master.h"
#include "control/master/backend_check.h"

namespace colony::master {
namespace {
constexpr Duration kAgain = 500ms;  // between looks at one that failed
}

std::string backend_id(const std::string& app, const std::string& deployment, const std::string& address) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : address) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  std::string id = app + "." + deployment + ".";
  for (int i = 0; i < 8; ++i, hash /= 36) id += "abcdefghijklmnopqrstuvwxyz0123456789"[hash % 36];
  return id;
}

// Addresses that are new are looked at, those that are gone leave the record; proxies finish what runs there.
void AppMaster::reconcile_backends() {
  std::set<std::string> wanted;
  if (!assignment_.remove)
    for (const auto& d : assignment_.spec.deployments) {
      if (!d.external() || !d.backend) continue;
      for (const auto& address : d.backend->addresses) {
        const std::string id = backend_id(assignment_.spec.name, d.name, address);
        wanted.insert(id);
        auto& b = backends_[id];
        const bool changed =
            b && !(b->spec.protocol == d.backend->protocol && b->spec.health_path == d.backend->health_path);
        if (changed) b->gone = true;
        const bool fresh = !b || changed;
        if (fresh) {
          b = std::make_shared<Backend>();
          b->id = id;
          b->deployment = d.name;
          b->address = address;
          b->spec = *d.backend;
          b->since = deps_.loop.wall_now();
        }
        b->period = from_seconds(d.health_check_period_s);
        b->patience = from_seconds(d.health_check_timeout_s);
        if (fresh) scope_.spawn(watch_backend(b));  // starts at once
      }
    }
  for (auto it = backends_.begin(); it != backends_.end();) {
    const DeploymentSpec* spec = assignment_.remove ? nullptr : assignment_.spec.find(it->second->deployment);
    // A deployment that is external no more keeps its addresses until a replica of the new kind is ready.
    const bool needed = spec && !spec->external() && spec->num_replicas > 0 && !any_ready(spec->name);
    if (wanted.contains(it->first) || needed) {
      ++it;
      continue;
    }
    it->second->gone = true;
    it = backends_.erase(it);
  }
}

bool AppMaster::any_ready(const std::string& deployment) const {
  return std::any_of(units_.begin(), units_.end(), [&](const auto& u) {
    return u.second->deployment == deployment && is_current(*u.second) && u.second->process_ready();
  });
}

bool AppMaster::any_healthy(const std::string& deployment) const {
  return std::any_of(backends_.begin(), backends_.end(),
                     [&](const auto& b) { return b.second->deployment == deployment && b.second->healthy; });
}

bool AppMaster::all_looked_at() const {
  return std::all_of(backends_.begin(), backends_.end(), [](const auto& b) { return b.second->looked; });
}

async::Task<void> AppMaster::watch_backend(std::shared_ptr<Backend> backend) {
  while (!scope_.stopping() && !ended_ && !backend->gone) {
    auto seen = co_await check_backend(scope_, backend->address, backend->spec, backend->patience);
    if (scope_.stopping() || ended_ || backend->gone) co_return;
    const ReplicaState before = backend->state();
    backend->looked = true;
    backend->healthy = seen.has_value();
    backend->problem = seen ? std::string() : seen.error().message;
    if (backend->state() != before) {
      backend->since = deps_.loop.wall_now();
      if (seen)
        LOG(info, "backend {}: healthy", backend->id);
      else
        LOG(warn, "backend {}: {}", backend->id, backend->problem);
    }
    wake_.notify();
    if (!co_await scope_.sleep(seen ? backend->period : std::min(backend->period, kAgain))) co_return;
  }
}

}  // namespace colony::master
