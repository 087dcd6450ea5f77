// Prefixes match by whole segments: "/foo" takes "/foo" and "/foo/x", never "/foobar". A lookup walks the path's own
// segment ends from the longest that any prefix has, so it costs one hash per segment and no allocation.
#include "request/proxy/route/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "transport/http/head.h"

namespace colony::proxy {
namespace {

constexpr std::string_view kInference = "/inference.GRPCInferenceService/";

bool is_one_of(std::string_view s, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), s) != list.end();
}

// The model's segment of /v2/models/M... and /v1/models/M[:verb]; empty when the path has another shape.
std::string_view model_segment(std::string_view path) {
  if (path.starts_with("/v2/models/")) {
    path.remove_prefix(11);
    return path.substr(0, path.find('/'));
  }
  if (path.starts_with("/v1/models/")) {
    path.remove_prefix(11);
    path = path.substr(0, path.find('/'));
    const size_t verb = path.rfind(':');
    return path.substr(0, verb);
  }
  return {};
}

}  // namespace

std::string_view normal_prefix(std::string_view prefix) {
  while (prefix.size() > 1 && prefix.ends_with('/')) prefix.remove_suffix(1);
  return prefix;
}

void RouteTable::claim(Index& index, std::string_view what, const std::string& name, uint32_t entry,
                       const std::string* former_owner) {
  auto [it, free] = index.try_emplace(name, entry);
  if (free || it->second == entry) return;
  const bool take_over = former_owner && *former_owner == entries_[entry].key;
  const uint32_t loser = take_over ? it->second : entry;
  if (take_over) it->second = entry;
  warnings_.push_back(fmt::format("{} '{}' of {} is held by {}: requests go to the latter", what, name,
                                  entries_[loser].key, entries_[it->second].key));
}

std::shared_ptr<const RouteTable> RouteTable::build(const std::map<std::string, AppRecord>& apps,
                                                    const RouteTable* previous) {
  auto table = std::make_shared<RouteTable>();
  for (const auto& [name, app] : apps)
    for (const auto& d : app.deployments) table->entries_.push_back({name, name + "/" + d.name, d});
  for (uint32_t i = 0; i < table->entries_.size(); ++i) {
    const DeploymentRecord& d = table->entries_[i].record;
    if (d.route_prefix.starts_with('/')) {
      const std::string prefix(normal_prefix(d.route_prefix));
      table->claim(table->prefixes_, "route prefix", prefix, i, previous ? previous->owner_of_prefix(prefix) : nullptr);
      table->longest_prefix_ = std::max(table->longest_prefix_, prefix.size());
    }
    for (const auto& m : d.models)
      table->claim(table->models_, "model name", m, i, previous ? previous->owner_of_model(m) : nullptr);
    for (const auto& s : d.grpc_services)
      table->claim(table->services_, "gRPC service", s, i, previous ? previous->owner_of_service(s) : nullptr);
    for (const auto& h : d.hosts)
      table->claim(table->hosts_, "host", h, i, previous ? previous->owner_of_host(h) : nullptr);
  }
  return table;
}

const std::string* RouteTable::owner(const Index& index, std::string_view name) const {
  auto it = index.find(name);
  return it == index.end() ? nullptr : &entries_[it->second].key;
}
const std::string* RouteTable::owner_of_prefix(std::string_view prefix) const { return owner(prefixes_, prefix); }
const std::string* RouteTable::owner_of_model(std::string_view model) const { return owner(models_, model); }
const std::string* RouteTable::owner_of_service(std::string_view service) const { return owner(services_, service); }
const std::string* RouteTable::owner_of_host(std::string_view host) const { return owner(hosts_, host); }

// "/package.Service/Method". What no deployment lists may still lie below a route prefix.
Resolved RouteTable::by_service(std::string_view path) const {
  const size_t slash = path.rfind('/');
  if (!services_.empty() && slash != std::string_view::npos && slash > 1)
    if (auto it = services_.find(path.substr(1, slash - 1)); it != services_.end())
      return {Target::kDeployment, it->second, false, {}};
  Resolved r = by_prefix(path);
  if (r.target == Target::kNotFound) r.reason = "unknown_service";
  return r;
}

const uint32_t* RouteTable::by_host(std::string_view authority) const {
  const size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos)
    authority = authority.substr(0, colon);
  constexpr size_t kMaxHost = 255;
  char lower[kMaxHost];
  if (authority.size() > kMaxHost) return nullptr;
  std::transform(authority.begin(), authority.end(), lower,
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  auto it = hosts_.find(std::string_view(lower, authority.size()));
  return it == hosts_.end() ? nullptr : &it->second;
}

Resolved RouteTable::by_prefix(std::string_view path) const {
  std::string_view p = path;
  if (p.size() > longest_prefix_) {
    // Cut back to a segment's end at or before the longest prefix.
    if (p[longest_prefix_] == '/')
      p = p.substr(0, longest_prefix_);
    else
      p = p.substr(0, p.substr(0, longest_prefix_).rfind('/') == std::string_view::npos
                          ? 0
                          : p.substr(0, longest_prefix_).rfind('/'));
  }
  while (!p.empty()) {
    if (p != "/" || path == "/") {
      if (auto it = prefixes_.find(p); it != prefixes_.end()) return {Target::kDeployment, it->second, false, {}};
    }
    const size_t slash = p.rfind('/');
    if (slash == std::string_view::npos || slash == 0) break;
    p = p.substr(0, slash);
  }
  if (path.starts_with('/'))
    if (auto it = prefixes_.find(std::string_view("/")); it != prefixes_.end())
      return {Target::kDeployment, it->second, false, {}};
  return {.target = Target::kNotFound, .reason = "unknown_route"};
}

Resolved RouteTable::resolve_model(std::string_view model) const {
  if (auto it = models_.find(model); it != models_.end()) return {Target::kDeployment, it->second, true, {}};
  return {.target = Target::kNotFound, .reason = "unknown_model"};
}

Resolved RouteTable::resolve(std::string_view path, bool grpc, std::string_view authority) const {
  if (path.starts_with("/-/") || path == "/-" || path == "*") return {.target = Target::kBuiltin};
  const uint32_t* host = hosts_.empty() ? nullptr : by_host(authority);
  // A server of the user's own has all paths of its hosts; others keep the inference protocols' paths.
  if (host && entries_[*host].record.runtime == "external") return {Target::kDeployment, *host, false, {}};
  Resolved r = by_path(path, grpc);
  if (host && r.target != Target::kBuiltin && r.target != Target::kPeekModel && !r.inference)
    return {Target::kDeployment, *host, false, {}};
  return r;
}

Resolved RouteTable::by_path(std::string_view path, bool grpc) const {
  if (grpc) {
    if (path.starts_with(kInference)) {
      const std::string_view method = path.substr(kInference.size());
      if (is_one_of(method, {"ModelInfer", "ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics",
                             "ModelStreamInfer"}))
        return {.target = Target::kPeekModel, .inference = true};
      return {.target = Target::kBuiltin};
    }
    if (path.starts_with("/grpc.health.v1.Health/") || path.starts_with("/grpc.reflection."))
      return {.target = Target::kBuiltin};
    return by_service(path);
  }
  if (path.starts_with("/v2") && is_one_of(path, {"/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models",
                                                  "/v2/models/", "/v2/models/stats", "/v2/repository/index"}))
    return {.target = Target::kBuiltin};
  if (std::string_view segment = model_segment(path); !segment.empty()) {
    Resolved r;
    if (segment.find('%') == std::string_view::npos) {
      r = resolve_model(segment);
    } else if (auto decoded = http::percent_decode(segment)) {
      r = resolve_model(*decoded);
    }
    if (r.target == Target::kDeployment) return r;
    r = by_prefix(path);
    if (r.target == Target::kNotFound) r.reason = "unknown_model";
    return r;
  }
  return by_prefix(path);
}

std::vector<std::string> RouteTable::models() const {
  std::vector<std::string> out;
  for (const auto& [name, entry] : models_) out.push_back(name);
  std::sort(out.begin(), out.end());
  return out;
}

std::string_view RouteTable::model_version(std::string_view model) const {
  if (const auto it = models_.find(model); it != models_.end()) {
    const DeploymentRecord& d = entries_[it->second].record;
    const auto at = static_cast<size_t>(std::find(d.models.begin(), d.models.end(), model) - d.models.begin());
    if (at < d.model_versions.size()) return d.model_versions[at];
  }
  return "1";
}

std::vector<std::pair<std::string, std::string>> RouteTable::prefixes() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [prefix, entry] : prefixes_) out.emplace_back(prefix, entries_[entry].app);
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> RouteTable::services() const {
  std::vector<std::string> out;
  for (const auto& [name, entry] : services_) out.push_back(name);
  std::sort(out.begin(), out.end());
  return out;
}

std::string RouteTable::what_exists(size_t at_most) const {
  if (entries_.empty()) return "no app is deployed";
  std::string out;
  const auto list = [&](std::string_view title, const std::vector<std::string>& names) {
    out += out.empty() ? "" : "; ";
    out += title;
    if (names.empty()) out += "none";
    for (size_t i = 0; i < names.size() && i < at_most; ++i) out += (i ? ", " : "") + names[i];
    if (names.size() > at_most) out += fmt::format(" and {} more", names.size() - at_most);
  };
  list("models: ", models());
  std::vector<std::string> routes;
  for (auto& [prefix, app] : prefixes()) routes.push_back(prefix);
  list("routes: ", routes);
  if (!services_.empty()) list("gRPC services: ", services());
  return out;
}

}  // namespace colony::proxy
