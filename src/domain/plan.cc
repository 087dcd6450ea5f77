// See plan.h. Two deployments are compared key by key in their written form, so a new key is noticed without a line here.
#include "domain/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "domain/spec_keys.h"

namespace colony {
namespace {

using Kind = PlanAction::Kind;

std::vector<std::string> changed_keys(const doc::Node& before, const doc::Node& after) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < before.members.size(); ++i)  // one table wrote both: the same keys in the same order
    if (doc::json_text(before.members[i].value) != doc::json_text(after.members[i].value))
      keys.push_back(before.members[i].key);
  return keys;
}

Kind kind_of(const std::string& key) {
  if (key == "num_replicas") return Kind::kScale;
  if (key == "user_config" || key == "model" || key == "models") return Kind::kReconfigure;
  if (key == "backend" || key == "grpc_services" || key == "request_timeout_s" || key == "idempotent" ||
      key == "max_queued_requests" || key == "rolling_update_percentage" || key.starts_with("health_check_") ||
      key.starts_with("graceful_shutdown_"))
    return Kind::kRetune;
  return Kind::kRestart;
}

void compare(const AppSpec& app, const DeploymentSpec& before, const DeploymentSpec& after,
             std::vector<PlanAction>& plan) {
  std::vector<std::string> keys[static_cast<size_t>(Kind::kRoute) + 1];
  for (std::string& key : changed_keys(spec::write(before), spec::write(after)))
    keys[static_cast<size_t>(kind_of(key))].push_back(std::move(key));
  // A new process reads the new model and config anyway.
  auto& restart = keys[static_cast<size_t>(Kind::kRestart)];
  auto& reconfigure = keys[static_cast<size_t>(Kind::kReconfigure)];
  if (!restart.empty()) {
    restart.insert(restart.end(), reconfigure.begin(), reconfigure.end());
    reconfigure.clear();
  }
  for (Kind kind : {Kind::kRestart, Kind::kReconfigure, Kind::kScale, Kind::kRetune}) {
    auto& changed = keys[static_cast<size_t>(kind)];
    if (changed.empty()) continue;
    PlanAction a{kind, app.name, after.name, std::move(changed), {}, {}};
    if (kind == Kind::kScale) {
      a.from = fmt::format("{}", before.num_replicas);
      a.to = fmt::format("{}", after.num_replicas);
    }
    plan.push_back(std::move(a));
  }
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& w : words) out += (out.empty() ? "" : ", ") + w;
  return out;
}

std::string hosts(const AppSpec& app) { return app.hosts.empty() ? "none" : joined(app.hosts); }
std::string route(const AppSpec& app) { return app.route_prefix.empty() ? "none" : app.route_prefix; }

}  // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::kCreateApp: return "create_app";
    case Kind::kDeleteApp: return "delete_app";
    case Kind::kCreateDeployment: return "create_deployment";
    case Kind::kDeleteDeployment: return "delete_deployment";
    case Kind::kScale: return "scale";
    case Kind::kReconfigure: return "reconfigure";
    case Kind::kRestart: return "restart";
    case Kind::kRetune: return "retune";
    case Kind::kRoute: return "route";
    case Kind::kRetry: return "retry";
  }
  return "";
}

std::string PlanAction::text() const {
  const std::string name = deployment.empty() ? app : app + "/" + deployment;
  switch (kind) {
    case Kind::kCreateApp: return fmt::format("create application {}", name);
    case Kind::kDeleteApp: return fmt::format("delete application {}: drain and stop all of its replicas", name);
    case Kind::kCreateDeployment: return fmt::format("create deployment {} with {} replica(s)", name, to);
    case Kind::kDeleteDeployment: return fmt::format("delete deployment {}", name);
    case Kind::kScale: return fmt::format("scale deployment {} from {} to {} replica(s)", name, from, to);
    case Kind::kReconfigure:
      return fmt::format("change {} of deployment {} in place, without a restart", joined(keys), name);
    case Kind::kRestart:
      return fmt::format("replace the replicas of deployment {}, batch by batch: {} changed", name, joined(keys));
    case Kind::kRetune: return fmt::format("change {} of deployment {} at once", joined(keys), name);
    case Kind::kRoute: return fmt::format("change {} of application {} from {} to {}", joined(keys), name, from, to);
    case Kind::kRetry: return fmt::format("try application {} again: its last revision failed", name);
  }
  return "";
}

std::vector<PlanAction> make_plan(const AppSpec* before, const AppSpec* after) {
  std::vector<PlanAction> plan;
  auto created = [&](const AppSpec& app, const DeploymentSpec& d) {
    plan.push_back({Kind::kCreateDeployment, app.name, d.name, {}, "0", fmt::format("{}", d.num_replicas)});
  };
  if (after == nullptr) {
    if (before != nullptr) plan.push_back({Kind::kDeleteApp, before->name, {}, {}, {}, {}});
    return plan;
  }
  if (before == nullptr) {
    plan.push_back({Kind::kCreateApp, after->name, {}, {}, {}, {}});
    for (const DeploymentSpec& d : after->deployments) created(*after, d);
    return plan;
  }
  if (before->route_prefix != after->route_prefix)
    plan.push_back({Kind::kRoute, after->name, {}, {"route_prefix"}, route(*before), route(*after)});
  if (before->hosts != after->hosts)
    plan.push_back({Kind::kRoute, after->name, {}, {"hosts"}, hosts(*before), hosts(*after)});
  if (before->ingress().name != after->ingress().name)
    plan.push_back({Kind::kRoute, after->name, {}, {"ingress"}, before->ingress().name, after->ingress().name});
  for (const DeploymentSpec& d : after->deployments) {
    if (const DeploymentSpec* old = before->find(d.name); old != nullptr)
      compare(*after, *old, d, plan);
    else
      created(*after, d);
  }
  for (const DeploymentSpec& d : before->deployments)
    if (after->find(d.name) == nullptr) plan.push_back({Kind::kDeleteDeployment, before->name, d.name, {}, {}, {}});
  return plan;
}

std::string to_json_text(const std::vector<PlanAction>& plan) {
  doc::Node list = doc::list();
  for (const PlanAction& a : plan) {
    doc::Node keys = doc::list();
    for (const std::string& k : a.keys) keys.items.push_back(doc::string(k));
    doc::Node n = doc::map();
    n.add("kind", doc::string(std::string(to_string(a.kind)))).add("app", doc::string(a.app));
    if (!a.deployment.empty()) n.add("deployment", doc::string(a.deployment));
    if (!a.keys.empty()) n.add("keys", std::move(keys));
    if (!a.from.empty()) n.add("from", doc::string(a.from));
    if (!a.to.empty()) n.add("to", doc::string(a.to));
    n.add("text", doc::string(a.text()));
    list.items.push_back(std::move(n));
  }
  return doc::json_text(list);
}

}  // namespace colony
