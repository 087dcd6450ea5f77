// What is no longer in the table is dropped here, slots when the last request that runs with them has ended.
#include "request/proxy/snapshot.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"

namespace colony::proxy {

std::shared_ptr<const Snapshot> SnapshotBuilder::build(uint64_t revision,
                                                       const std::map<std::string, AppRecord>& apps) {
  auto next = std::make_shared<Snapshot>();
  next->revision = revision;
  next->routes = RouteTable::build(apps, last_ ? last_->routes.get() : nullptr);
  if (!last_ || last_->routes->warnings() != next->routes->warnings())
    for (const auto& w : next->routes->warnings()) LOG(warn, "proxy: {}", w);
  std::map<std::string, std::shared_ptr<DeploymentGate>> gates;
  for (const RouteEntry& entry : next->routes->entries()) {
    auto& gate = gates[entry.key];
    if (auto it = gates_.find(entry.key); it != gates_.end()) gate = it->second;
    if (!gate) gate = std::make_shared<DeploymentGate>(loops_);
    Snapshot::Shared shared{gate, {}};
    const auto limit = static_cast<uint32_t>(std::max(entry.record.max_ongoing_requests, 1));
    for (const ReplicaRecord& r : entry.record.replicas) {
      const std::string key = fmt::format("{}#{}@{}", r.id, r.incarnation, r.address);
      auto& known = slots_[key];
      auto slot = known.lock();
      if (!slot) known = slot = std::make_shared<ReplicaSlots>(limit);
      slot->set_limit(limit);
      shared.slots.push_back(std::move(slot));
    }
    next->shared.push_back(std::move(shared));
  }
  gates_ = std::move(gates);
  last_ = next;
  std::erase_if(slots_, [](const auto& s) { return s.second.expired(); });
  return next;
}

}  // namespace colony::proxy
