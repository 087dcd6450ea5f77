// The body of Ray Serve's PUT /api/serve/applications/: ours with three differences. `name` defaults to "default" and
// `route_prefix` to "/"; and keys whose idea does not exist here may stand with Ray's own default, because
// `serve build` writes all of them out (spec_keys.cc holds those defaults).
#include "domain/spec_keys.h"

namespace colony {

Checked<std::vector<AppSpec>> parse_ray_document(const SpecSource& source) {
  auto tree = doc::parse(source);
  if (!tree) return std::unexpected(std::move(tree).error());
  spec::Reading r(source, spec::Dialect::kRay);
  std::vector<AppSpec> apps;
  if (tree->kind != doc::Kind::kMap) {
    r.wrong_kind(*tree, "a mapping with `applications`");
    return std::unexpected(r.take());
  }
  bool given = false;
  for (doc::Member& m : tree->members) {
    spec::Reading::Step step(r, m.key);
    static constexpr std::string_view kKeys[] = {"applications"};
    if (m.key != "applications") {
      spec::refuse_key(r, m, "the document", kKeys, spec::document_later_keys());
      continue;
    }
    given = true;
    for (doc::Node& app : m.value.items)
      if (app.kind == doc::Kind::kMap && app.find("name") == nullptr) {
        doc::Node name = doc::string("default");
        name.mark = app.mark;
        app.add("name", std::move(name));
      }
    apps = spec::read_apps(r, m.value);
  }
  if (!given) {
    spec::Reading::Step step(r, "applications");
    r.problem(tree->mark, {}, "is missing; the document is a mapping with the list `applications`");
  }
  if (!r.clean()) return std::unexpected(r.take());
  return apps;
}

}  // namespace colony
