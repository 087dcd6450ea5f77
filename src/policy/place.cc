// Sums are made anew from the holds at each question: nothing can drift, and a node has at most a thousand actors.
#include "policy/place.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace colony::policy {
namespace {

constexpr size_t kNodesNamed = 4;  // in a reason; the rest is counted

int64_t units(double quantity) { return std::llround(quantity * 10000); }
double quantity(int64_t u) { return static_cast<double>(u) / 10000; }

std::string bytes_text(uint64_t bytes) {
  constexpr double kMib = 1024.0 * 1024.0;
  const double mib = static_cast<double>(bytes) / kMib;
  return mib >= 1024 ? fmt::format("{:.4g} GiB", mib / 1024) : fmt::format("{:.4g} MiB", mib);
}

std::string plural(double n, std::string_view noun) { return fmt::format("{:g} {}{}", n, noun, n == 1 ? "" : "s"); }

}  // namespace

void Ledger::set_node(NodeCapacity node) {
  auto id = node.id;
  nodes_.insert_or_assign(std::move(id), std::move(node));
}

void Ledger::remove_node(std::string_view id) {
  if (auto it = nodes_.find(id); it != nodes_.end()) nodes_.erase(it);
}

const NodeCapacity* Ledger::find_node(std::string_view id) const {
  auto it = nodes_.find(id);
  return it == nodes_.end() ? nullptr : &it->second;
}

std::vector<NodeCapacity> Ledger::nodes() const {
  std::vector<NodeCapacity> out;
  for (const auto& [id, node] : nodes_) out.push_back(node);
  return out;
}

void Ledger::hold(const Demand& demand, std::string node) {
  holds_.insert_or_assign(demand.actor, Hold{demand, std::move(node)});
}

void Ledger::release(std::string_view actor) {
  if (auto it = holds_.find(actor); it != holds_.end()) holds_.erase(it);
}

Usage Ledger::usage(std::string_view node) const {
  int64_t cpus = 0, gpus = 0;
  std::map<std::string, int64_t> custom;
  Usage u;
  for (const auto& [actor, held] : holds_) {
    if (held.node != node) continue;
    const Resources& need = held.demand.need;
    cpus += units(need.num_cpus);
    gpus += units(need.num_gpus);
    u.memory += need.memory;
    for (const auto& [name, n] : need.resources) custom[name] += units(n);
    ++u.actors;
  }
  u.cpus = quantity(cpus);
  u.gpus = quantity(gpus);
  for (const auto& [name, n] : custom) u.custom[name] = quantity(n);
  return u;
}

int Ledger::count(std::string_view node, const Demand& like) const {
  return static_cast<int>(std::ranges::count_if(holds_, [&](const auto& entry) {
    const Hold& held = entry.second;
    return held.node == node && held.demand.app == like.app && held.demand.deployment == like.deployment;
  }));
}

// Empty when the demand fits. `too_large`: it would not fit an empty node either.
std::string Ledger::why_not(const NodeCapacity& node, const Demand& demand, bool* too_large) const {
  const Usage used = usage(node.id);
  std::string out;
  *too_large = false;
  const auto check = [&](double need, double have, double in_use, std::string_view noun, std::string_view note) {
    if (need <= 0 || units(need) <= units(have) - units(in_use)) return;
    if (units(need) > units(have)) *too_large = true;
    const double free = std::max(0.0, quantity(units(have) - units(in_use)));
    out += fmt::format("{}needs {}, {} of {:g}{}{} {} free", out.empty() ? "" : "; ", plural(need, noun),
                       quantity(units(free)), have, note.empty() ? "" : " ",
                       note.empty() ? "" : fmt::format("({})", note), free == 1 ? "is" : "are");
  };
  check(demand.need.num_cpus, node.cpus, used.cpus, "cpu", node.cpu_note);
  check(demand.need.num_gpus, node.gpus, used.gpus, "gpu", "");
  for (const auto& [name, need] : demand.need.resources) {
    const auto have = node.custom.find(name);
    const auto in_use = used.custom.find(name);
    check(need, have == node.custom.end() ? 0 : have->second, in_use == used.custom.end() ? 0 : in_use->second, name,
          "");
  }
  if (node.memory > 0 && demand.need.memory > 0) {
    const uint64_t free = node.memory > used.memory ? node.memory - used.memory : 0;
    if (demand.need.memory > free) {
      if (demand.need.memory > node.memory) *too_large = true;
      out += fmt::format("{}needs {} of memory, {} of {} are free", out.empty() ? "" : "; ",
                         bytes_text(demand.need.memory), bytes_text(free), bytes_text(node.memory));
    }
  }
  if (demand.max_per_node > 0 && count(node.id, demand) >= demand.max_per_node) {
    out += fmt::format("{}it has {} of this deployment already, the most that max_replicas_per_node allows",
                       out.empty() ? "" : "; ", demand.max_per_node);
  }
  return out;
}

Result<std::string> Ledger::choose(const Demand& demand) const {
  if (auto it = holds_.find(demand.actor); it != holds_.end()) return it->second.node;
  if (!demand.node.empty()) {
    const NodeCapacity* node = find_node(demand.node);
    if (node == nullptr || !node->alive) {
      return fail(resource_exhausted(
          fmt::format("node '{}' {}", demand.node, node == nullptr ? "is not known" : "does not answer"),
          "no_such_node"));
    }
  }

  const NodeCapacity* best = nullptr;
  std::tuple<int64_t, int64_t, std::string_view> best_rank;
  std::string reasons;
  size_t refused = 0;
  bool all_too_large = true;
  for (const auto& [id, node] : nodes_) {
    if (!node.alive || (!demand.node.empty() && id != demand.node)) continue;
    bool too_large = false;
    std::string reason = why_not(node, demand, &too_large);
    if (!reason.empty()) {
      all_too_large = all_too_large && too_large;
      if (++refused <= kNodesNamed) reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", id, reason);
      continue;
    }
    const Usage used = usage(id);
    const int64_t free = units(node.cpus) - units(used.cpus);
    // Spread: fewest of this deployment, then the most free cpus. Pack: the least free cpus. Ties by name.
    const auto rank = demand.spread ? std::tuple<int64_t, int64_t, std::string_view>(count(id, demand), -free, id)
                                    : std::tuple<int64_t, int64_t, std::string_view>(free, 0, id);
    if (best == nullptr || rank < best_rank) {
      best = &node;
      best_rank = rank;
    }
  }
  if (best != nullptr) return best->id;
  if (refused == 0) return fail(resource_exhausted("no node is there to place it on", "no_such_node"));
  if (refused > kNodesNamed) reasons += fmt::format("; and {} more nodes", refused - kNodesNamed);
  return fail(resource_exhausted(std::move(reasons), all_too_large ? "too_large" : "no_capacity"));
}

}  // namespace colony::policy
