// Any path must resolve to something, and a match by prefix must be a prefix by whole segments, the longest there is.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "request/proxy/route/table.h"

namespace {

std::shared_ptr<const colony::proxy::RouteTable> table() {
  using namespace colony;
  std::map<std::string, AppRecord> apps;
  const auto add = [&](const std::string& app, const std::string& prefix, std::vector<std::string> models) {
    apps[app] =
        AppRecord{.app = app, .deployments = {{.name = "d", .models = std::move(models), .route_prefix = prefix}}};
  };
  add("a", "/a", {"a", "m:x"});
  add("b", "/a/b", {"b b"});
  add("c", "/a/b/c/", {});
  add("d", "/v2/models/user", {});
  return proxy::RouteTable::build(apps);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace colony::proxy;
  static const auto t = table();
  if (size == 0) return 0;
  const std::string_view path(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Resolved r = t->resolve(path, data[0] & 1);
  if (r.target != Target::kDeployment) return 0;
  if (r.deployment >= t->entries().size()) std::abort();
  if (r.inference) return 0;
  const auto matches = [&](std::string_view prefix) {
    return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
  };
  const std::string_view mine = normal_prefix(t->entries()[r.deployment].record.route_prefix);
  if (!matches(mine)) std::abort();
  for (const auto& e : t->entries())
    if (const auto other = normal_prefix(e.record.route_prefix); other.size() > mine.size() && matches(other))
      std::abort();
  return 0;
}
