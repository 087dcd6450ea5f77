// Questions that a spec answers about itself: its ingress, its model names, and hashes that stay the same from build to
// build as long as what was asked for stays the same.
#include "domain/app_spec.h"

#include <fmt/format.h>

#include "base/check.h"
#include "domain/spec_parse.h"

namespace colony {
namespace {

// FNV-1a of 128 bits (http://www.isthe.com/chongo/tech/comp/fnv/). Tells versions of a spec apart; guards against
// nobody.
std::string fnv128(std::string_view text) {
  using U128 = unsigned __int128;
  U128 hash = (U128{0x6c62272e07bb0142} << 64) | U128{0x62b821756295c58d};
  const U128 prime = (U128{1} << 88) | U128{0x13b};
  for (char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= prime;
  }
  return fmt::format("{:016x}{:016x}", static_cast<uint64_t>(hash >> 64), static_cast<uint64_t>(hash));
}

}  // namespace

const DeploymentSpec& AppSpec::ingress() const {
  CHECK(!deployments.empty());
  if (const DeploymentSpec* bound = import_path.empty() ? nullptr : find("echo"); bound != nullptr) return *bound;
  return deployments.front();
}

const DeploymentSpec* AppSpec::find(std::string_view deployment) const {
  for (const DeploymentSpec& d : deployments)
    if (d.name == deployment) return &d;
  return nullptr;
}

std::vector<std::string> AppSpec::model_names(const DeploymentSpec& d) const {
  std::vector<std::string> names;
  if (d.external()) return names;
  for (const ModelSpec& m : d.models) names.push_back(m.name);
  if (names.empty()) names.push_back(d.name == ingress().name ? name : name + "." + d.name);
  return names;
}

std::vector<std::string> AppSpec::model_versions(const DeploymentSpec& d) const {
  std::vector<std::string> versions;
  if (d.external()) return versions;
  for (const ModelSpec& m : d.models) versions.push_back(m.version);
  if (versions.empty()) versions.push_back(d.model ? d.model->version : ModelSpec{}.version);
  for (std::string& v : versions)
    if (v.empty()) v = ModelSpec{}.version;
  return versions;
}

std::string process_hash(const DeploymentSpec& d) {
  DeploymentSpec rest;  // defaults wherever a change needs no new process
  rest.name = d.name;
  rest.runtime = d.runtime;
  rest.transform = d.transform;
  rest.max_ongoing_requests = d.max_ongoing_requests;
  rest.ray_actor_options = d.ray_actor_options;
  rest.max_replicas_per_node = d.max_replicas_per_node;
  return fnv128(deployment_to_json(rest));
}

std::string spec_hash(const AppSpec& a) { return fnv128(to_json_text(a)); }

}  // namespace colony
