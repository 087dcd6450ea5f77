// From a tree to checked specs, and the public face of spec_parse.h. What one key may hold is in the table
// (spec_keys.cc); here stand the checks that look at several keys. Ray Serve's document: ray_document.cc.
#include "domain/spec_parse.h"

#include <fmt/format.h>

#include <map>

#include "domain/spec_keys.h"

namespace colony {

std::string Problem::text() const {
  std::string out;
  if (!file.empty()) out += file + ":";
  if (line > 0) out += fmt::format("{}{}:", file.empty() ? "line " : "", line);
  if (line > 0 && column > 0) out += fmt::format("{}:", column);
  if (!out.empty()) out += ' ';
  if (!key_path.empty()) out += key_path + ": ";
  if (!value.empty()) out += "'" + value + "' ";
  return out + message;
}

Error to_error(const Problems& problems) {
  std::string message;
  bool conflicts_only = !problems.empty();
  for (const Problem& p : problems) {
    message += (message.empty() ? "" : "\n") + p.text();
    conflicts_only = conflicts_only && p.conflict;
  }
  if (conflicts_only) return already_exists(std::move(message), "given_twice");
  return invalid_argument(std::move(message), "invalid_spec");
}

namespace spec {
namespace {

Mark mark_of(const Node& n, std::string_view key) {
  const Node* v = n.find(key);
  return v != nullptr ? v->mark : n.mark;
}

// Of `backend`, and of what an external deployment cannot have.
void check_backend(Reading& r, const Node& n, DeploymentSpec& d) {
  const Node* backend = n.find("backend");
  const bool meant = backend != nullptr && backend->kind != Kind::kNull;
  if (d.runtime.empty() && meant) d.runtime = "external";
  if (!d.external()) {
    if (meant) {
      Reading::Step step(r, "backend");
      r.problem(backend->mark, {}, fmt::format("runtime {} takes no backend; leave it out", d.runtime));
    }
    if (!d.grpc_services.empty()) {
      Reading::Step step(r, "grpc_services");
      r.problem(mark_of(n, "grpc_services"), {},
                "needs runtime external: other runtimes serve no services of their own");
    }
    return;
  }
  if (!meant) r.problem(n.mark, {}, "runtime external needs `backend`, which says where your server listens");
  for (std::string_view key : {"model", "models"})
    if (const Node* given = n.find(key);
        given != nullptr && given->kind != Kind::kNull && !(given->kind == Kind::kList && given->items.empty()))
      r.problem(given->mark, {}, fmt::format("runtime external takes no {}; leave it out", key));
  if (!d.backend) return;
  std::map<std::string, size_t> seen;
  const Node* addresses = backend->find("addresses");
  for (size_t i = 0; i < d.backend->addresses.size(); ++i)
    if (auto [first, fresh] = seen.emplace(d.backend->addresses[i], i); !fresh) {
      Reading::Step in(r, "backend"), list(r, "addresses"), at(r, i);
      r.conflict(addresses->items[i].mark, d.backend->addresses[i],
                 fmt::format("is addresses[{}] already", first->second));
    }
  const auto count = static_cast<int>(d.backend->addresses.size());
  if (const Node* asked = n.find("num_replicas"); asked != nullptr && count > 0 && d.num_replicas != count) {
    Reading::Step step(r, "num_replicas");
    r.problem(*asked, fmt::format("an external deployment has one replica per address, here {}; leave it out", count));
  }
  d.num_replicas = count;
}

void check_models(Reading& r, const Node& n, DeploymentSpec& d) {
  if (d.model && !d.models.empty())
    r.problem(mark_of(n, "models"), {}, "has both `model` and `models`; give one of them");
  std::map<std::string, size_t> seen;
  for (size_t i = 0; i < d.models.size(); ++i)
    if (auto [first, fresh] = seen.emplace(d.models[i].name, i); !fresh && !d.models[i].name.empty()) {
      Reading::Step step(r, "models"), at(r, i);
      r.conflict(n.find("models")->items[i].mark, d.models[i].name,
                 fmt::format("is the name of models[{}] already", first->second));
    }
  const bool has_model = d.model || !d.models.empty();
  const Node* model = n.find("model");
  const Node* models = n.find("models");
  // A model was meant, even when its own problems kept it from being read.
  const bool meant = (model != nullptr && model->kind != Kind::kNull) || (models != nullptr && !models->items.empty());
  if (d.runtime.empty() && has_model) d.runtime = "onnx";
  if (d.runtime == "onnx" && !meant) r.problem(n.mark, {}, "runtime onnx needs `model` or `models`");
  if (d.runtime == "echo" && has_model)
    r.problem(mark_of(n, d.model ? "model" : "models"), {},
              "runtime echo takes no model; leave it out or use runtime onnx");
  if (n.find("runtime") == nullptr && !meant && !d.external())
    r.problem(n.mark, {}, "needs `model` (a path), `models`, `backend`, or `runtime: echo`");
  if (!d.transform.empty() && !meant)
    r.problem(mark_of(n, "transform"), d.transform, "a transform needs a model; leave it out");
}

void check_deployments(Reading& r, const Node& n, AppSpec& app) {
  const Node* list = n.find("deployments");
  auto mark = [&](size_t i) { return list != nullptr && i < list->items.size() ? list->items[i].mark : n.mark; };
  std::map<std::string, size_t> names;
  for (size_t i = 0; i < app.deployments.size(); ++i) {
    const DeploymentSpec& d = app.deployments[i];
    Reading::Step deployments(r, "deployments"), at(r, i);
    if (d.name.empty()) continue;
    if (auto [first, fresh] = names.emplace(d.name, i); !fresh)
      r.conflict(mark(i), d.name, fmt::format("is the name of deployments[{}] already", first->second));
    if (!app.import_path.empty() && d.name != "echo")
      r.problem(mark(i), d.name, "import_path colony.builtin:echo has one deployment, named echo");
  }
}

}  // namespace

void read_deployment(Reading& r, const Node& n, DeploymentSpec& out) {
  if (!read_object(r, n, deployment_keys(), out)) return;
  check_backend(r, n, out);
  check_models(r, n, out);
}

void read_app(Reading& r, const Node& n, AppSpec& out) {
  if (n.kind != Kind::kMap) return r.wrong_kind(n, "a mapping");
  const Node* import_path = n.find("import_path");
  const Node* deployments = n.find("deployments");
  if (import_path != nullptr && import_path->kind == Kind::kString) {
    // The overrides of a bound app say nothing of its runtime; so it is written in before they are read.
    const bool echo = import_path->text == kBuiltinEcho;
    Node bound = n;
    for (doc::Member& m : bound.members)
      if (m.key == "deployments" && m.value.kind == Kind::kList)
        for (Node& d : m.value.items)
          if (d.kind == Kind::kMap && d.find("runtime") == nullptr &&
              (echo || (d.find("model") == nullptr && d.find("models") == nullptr)))
            d.add("runtime", doc::string("echo"));
    read_object(r, bound, app_keys(), out);
    if (out.deployments.empty()) {
      out.deployments.emplace_back().name = "echo";
      out.deployments.back().runtime = "echo";
    }
  } else {
    read_object(r, n, app_keys(), out);
    if (deployments == nullptr && (import_path == nullptr || import_path->kind == Kind::kNull)) {
      Reading::Step step(r, "deployments");
      r.problem(n.mark, {}, "is missing; an application needs at least one deployment");
    } else if (deployments != nullptr && deployments->kind == Kind::kList && deployments->items.empty()) {
      Reading::Step step(r, "deployments");
      r.problem(*deployments, "must hold at least one deployment");
    }
  }
  if (n.find("route_prefix") == nullptr && !out.name.empty())
    out.route_prefix = r.dialect() == Dialect::kRay ? "/" : "/" + out.name;
  check_deployments(r, n, out);
}

std::vector<AppSpec> read_apps(Reading& r, const Node& list) {
  std::vector<AppSpec> apps;
  if (list.kind != Kind::kList) {
    r.wrong_kind(list, "a list of applications");
    return apps;
  }
  if (list.items.size() > kMaxApps) {
    r.problem(list, fmt::format("has {} entries; at most {} are allowed", list.items.size(), kMaxApps));
    return apps;
  }
  std::map<std::string, size_t> names, prefixes, models;
  auto unique = [&](std::map<std::string, size_t>& seen, const std::string& what, const Node& n,
                    std::string_view kind) {
    auto [first, fresh] = seen.emplace(what, apps.size() - 1);
    if (!fresh && first->second != apps.size() - 1)
      r.conflict(n.mark, what, fmt::format("is the {} of applications[{}] already", kind, first->second));
  };
  for (size_t i = 0; i < list.items.size(); ++i) {
    const Node& n = list.items[i];
    Reading::Step step(r, i);
    AppSpec& app = apps.emplace_back();
    read_app(r, n, app);
    if (app.name.empty()) continue;
    unique(names, app.name, n, "name");
    if (!app.route_prefix.empty()) unique(prefixes, app.route_prefix, n, "route_prefix");
    for (const DeploymentSpec& d : app.deployments)
      for (const std::string& m : app.model_names(d)) unique(models, m, n, "model name");
  }
  return apps;
}

Node write(const DeploymentSpec& d) { return write_object(deployment_keys(), d); }
Node write(const AppSpec& a) { return write_object(app_keys(), a); }

}  // namespace spec

using spec::Dialect;
using spec::Reading;

Checked<std::vector<AppSpec>> parse_document(const SpecSource& source) {
  auto tree = doc::parse(source);
  if (!tree) return std::unexpected(std::move(tree).error());
  Reading r(source, Dialect::kColony);
  std::vector<AppSpec> apps;
  const doc::Node* list = tree->find("applications");
  if (tree->kind != doc::Kind::kMap) {
    r.wrong_kind(*tree, "a mapping with `applications`");
  } else if (list == nullptr && (tree->find("deployments") != nullptr || tree->find("import_path") != nullptr)) {
    spec::read_app(r, *tree, apps.emplace_back());
  } else {
    for (const doc::Member& m : tree->members) {
      Reading::Step step(r, m.key);
      static constexpr std::string_view kKeys[] = {"applications"};
      if (m.key == "applications")
        apps = spec::read_apps(r, m.value);
      else
        spec::refuse_key(r, m, "the document", kKeys, spec::document_later_keys());
    }
    if (list == nullptr) {
      Reading::Step step(r, "applications");
      r.problem(tree->mark, {}, "is missing; the document is a mapping with the list `applications`");
    }
  }
  if (!r.clean()) return std::unexpected(r.take());
  return apps;
}

Checked<AppSpec> parse_app(const SpecSource& source, std::string_view name) {
  auto tree = doc::parse(source);
  if (!tree) return std::unexpected(std::move(tree).error());
  Reading r(source, Dialect::kColony);
  AppSpec app;
  if (tree->kind == doc::Kind::kMap && !name.empty()) {
    if (std::string wrong = spec::name_problem(name); !wrong.empty())
      r.problem(doc::Mark{}, std::string(name), "as the name of an application " + wrong);
    const doc::Node* own = tree->find("name");
    if (own == nullptr) {
      doc::Node given = doc::string(std::string(name));
      given.mark = tree->mark;
      tree->add("name", std::move(given));
    } else if (own->kind == doc::Kind::kString && own->text != name) {
      Reading::Step step(r, "name");
      r.problem(*own, fmt::format("does not agree with the name in the path, {}", name));
    }
  }
  if (tree->kind == doc::Kind::kMap && tree->find("applications") != nullptr && tree->find("deployments") == nullptr)
    r.problem(tree->mark, {}, "one application is expected here, not a document with `applications`");
  else
    spec::read_app(r, *tree, app);
  if (!r.clean()) return std::unexpected(r.take());
  return app;
}

Checked<int> parse_scale(const SpecSource& source) {
  auto tree = doc::parse(source);
  if (!tree) return std::unexpected(std::move(tree).error());
  Reading r(source, Dialect::kColony);
  int replicas = -1;
  static constexpr std::string_view kKey[] = {"target_num_replicas"};
  if (tree->kind != doc::Kind::kMap) {
    r.wrong_kind(*tree, "a mapping with target_num_replicas");
    return std::unexpected(r.take());
  }
  for (const doc::Member& m : tree->members) {
    Reading::Step step(r, m.key);
    if (m.key != kKey[0]) {
      spec::refuse_key(r, m, "the body", kKey, {});
      continue;
    }
    replicas = 0;
    if (int64_t v = 0; spec::read_int(r, m.value, 0, spec::kMaxReplicas, v)) replicas = static_cast<int>(v);
  }
  if (replicas < 0) {
    Reading::Step step(r, kKey[0]);
    r.problem(tree->mark, {}, "is missing; the body is {\"target_num_replicas\": N}");
  }
  if (!r.clean()) return std::unexpected(r.take());
  return replicas;
}

void make_paths_absolute(AppSpec& app, std::string_view folder) {
  auto fix = [&](std::string& path) {
    if (!path.empty() && !path.starts_with('/')) path = fmt::format("{}/{}", folder, path);
  };
  for (DeploymentSpec& d : app.deployments) {
    if (d.model) {
      fix(d.model->path);
      fix(d.model->library);
    }
    for (ModelSpec& m : d.models) {
      fix(m.path);
      fix(m.library);
    }
  }
}

std::string to_json_text(const AppSpec& app) { return doc::json_text(spec::write(app)); }

std::string to_yaml_text(const std::vector<AppSpec>& apps) {
  doc::Node list = doc::list();
  for (const AppSpec& a : apps) list.items.push_back(spec::write(a));
  return doc::yaml_text(doc::map().add("applications", std::move(list)));
}

std::string deployment_to_json(const DeploymentSpec& d) { return doc::json_text(spec::write(d)); }

Result<DeploymentSpec> deployment_from_json(std::string_view text) {
  const SpecSource source{text, SpecFormat::kJson, {}, ModelPaths::kAny};
  auto tree = doc::parse(source);
  if (!tree) return fail(to_error(tree.error()));
  Reading r(source, Dialect::kColony);
  DeploymentSpec d;
  spec::read_deployment(r, *tree, d);
  if (!r.clean()) return fail(to_error(r.take()));
  return d;
}

std::string app_schema_json() { return doc::json_text(spec::document_schema(), 2) + "\n"; }

}  // namespace colony
