// What the control side of a proxy hands to its loops after every change of the table: the routes, and for each
// deployment the objects that the loops share. Immutable; swapped whole.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "request/proxy/admit/slots.h"
#include "request/proxy/route/table.h"

namespace colony::proxy {

struct Snapshot {
  uint64_t revision = 0;
  std::shared_ptr<const RouteTable> routes;
  struct Shared {
    std::shared_ptr<DeploymentGate> gate;
    std::vector<std::shared_ptr<ReplicaSlots>> slots;  // parallel to the deployment's replicas
  };
  std::vector<Shared> shared;  // parallel to routes->entries()
};

// Keeps gates and slots over the tables: a replica that stays keeps its count, and so does one that leaves the table and comes
// back while requests of before still run on it. Lives on the proxy's home loop.
class SnapshotBuilder {
 public:
  explicit SnapshotBuilder(std::vector<async::Loop*> loops) : loops_(std::move(loops)) {}
  std::shared_ptr<const Snapshot> build(uint64_t revision, const std::map<std::string, AppRecord>& apps);

 private:
  std::vector<async::Loop*> loops_;
  std::shared_ptr<const Snapshot> last_;
  std::map<std::string, std::shared_ptr<DeploymentGate>> gates_;  // by entry key
  std::map<std::string, std::weak_ptr<ReplicaSlots>> slots_;      // by id, incarnation and address
};

}  // namespace colony::proxy
