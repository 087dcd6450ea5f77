// Which node an actor goes to: pure accounting of what nodes have and what actors hold, and the choice among them. The
// same code serves the embedded engine and, later, Ray's allotments; the simulator and the fakes use it as well. Not a
// reservation by itself: the agent of the chosen node has the last word, because several masters choose at once.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "domain/app_spec.h"

namespace colony::policy {

// What one node offers. Quantities are counted in ten-thousandths (as Ray counts), so that ten times 0.1 is 1.
struct NodeCapacity {
  std::string id;
  double cpus = 0;
  double gpus = 0;
  uint64_t memory = 0;  // bytes; 0: not accounted
  std::map<std::string, double> custom;
  bool alive = true;
  std::string cpu_note;  // said with the figure when cpus run out, e.g. "8 per core"
};

// What one actor asks for.
struct Demand {
  std::string actor, app, deployment;
  Resources need;
  std::string node;      // a node id, or empty: anywhere
  bool spread = true;    // the node with the fewest actors of this deployment first; else the fullest node that fits
  int max_per_node = 0;  // of the same deployment; 0: no bound
};

struct Usage {
  double cpus = 0, gpus = 0;
  uint64_t memory = 0;
  std::map<std::string, double> custom;
  int actors = 0;
};

// In-memory table of nodes and holds. Owned by whoever accounts; no I/O, no clock. Holds on unknown nodes are kept (a
// node may be reported after its actors).
class Ledger {
 public:
  void set_node(NodeCapacity node);  // adds or replaces
  void remove_node(std::string_view id);
  const NodeCapacity* find_node(std::string_view id) const;
  std::vector<NodeCapacity> nodes() const;  // by id

  // The node for this demand, which is not held yet. kResourceExhausted with the reason why not: "no_capacity" when
  // something must end first, "too_large" when no node is large enough even when empty, "no_such_node" for a node that
  // does not exist or is not alive. A demand that is held already gets the node that holds it.
  Result<std::string> choose(const Demand& demand) const;
  // Records the hold, whether it fits or not (an actor that runs is a fact). Again for the same actor: replaces it.
  void hold(const Demand& demand, std::string node);
  void release(std::string_view actor);
  bool holds(std::string_view actor) const { return holds_.contains(actor); }
  Usage usage(std::string_view node) const;

 private:
  struct Hold {
    Demand demand;
    std::string node;
  };
  int count(std::string_view node, const Demand& like) const;
  std::string why_not(const NodeCapacity& node, const Demand& demand, bool* too_large) const;

  std::map<std::string, NodeCapacity, std::less<>> nodes_;
  std::map<std::string, Hold, std::less<>> holds_;
};

}  // namespace colony::policy
