// The rows of the table (see spec_keys.h). Adding a key here is all that reader, writer and schema need.
#include "domain/spec_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace colony::spec {
namespace {

template <class T, class V>
T owner_of(V T::*);
template <auto M>
using Owner = decltype(owner_of(M));

Node typed(std::string_view type) { return std::move(doc::map().add("type", doc::string(std::string(type)))); }

template <auto M, int64_t Low, int64_t High>
constexpr Key<Owner<M>> int_key(std::string_view name, std::string_view about) {
  using T = Owner<M>;
  return {name, about,
          [](Reading& r, const Node& n, T& out) {
            if (int64_t v = 0; read_int(r, n, Low, High, v)) out.*M = static_cast<std::decay_t<decltype(out.*M)>>(v);
          },
          [](const T& in) { return doc::integer(static_cast<int64_t>(in.*M)); },
          [] {
            Node s = typed("integer");
            s.add("minimum", doc::integer(Low)).add("maximum", doc::integer(High));
            return s;
          }};
}

template <auto M, double Low, double High>
constexpr Key<Owner<M>> real_key(std::string_view name, std::string_view about) {
  using T = Owner<M>;
  return {name, about, [](Reading& r, const Node& n, T& out) { read_real(r, n, Low, High, out.*M); },
          [](const T& in) { return doc::real(in.*M); },
          [] {
            Node s = typed("number");
            s.add("minimum", doc::real(Low)).add("maximum", doc::real(High));
            return s;
          }};
}

template <auto M>
constexpr Key<Owner<M>> bool_key(std::string_view name, std::string_view about) {
  using T = Owner<M>;
  return {name, about, [](Reading& r, const Node& n, T& out) { read_bool(r, n, out.*M); },
          [](const T& in) { return doc::boolean(in.*M); }, [] { return typed("boolean"); }};
}

// `Check` returns "" or what is wrong with the text.
using TextCheck = std::string (*)(std::string_view);
template <auto M, TextCheck Check>
constexpr Key<Owner<M>> text_key(std::string_view name, std::string_view about, Node (*schema)()) {
  using T = Owner<M>;
  return {name, about,
          [](Reading& r, const Node& n, T& out) {
            std::string text;
            if (!read_text(r, n, text)) return;
            if (std::string wrong = Check(text); !wrong.empty()) return r.problem(n, std::move(wrong));
            out.*M = std::move(text);
          },
          [](const T& in) { return doc::string(in.*M); }, schema};
}

template <class T>
constexpr Key<T> required(Key<T> key) {
  key.required = true;
  return key;
}

Node name_schema() {
  Node s = typed("string");
  s.add("pattern", doc::string("^[a-z0-9][-a-z0-9_.]{0,62}$"));
  return s;
}
Node model_name_schema() {
  Node s = typed("string");
  s.add("pattern", doc::string("^[A-Za-z0-9][-A-Za-z0-9_.]{0,127}$"));
  return s;
}
Node any_text() { return typed("string"); }
Node some_text() { return std::move(typed("string").add("minLength", doc::integer(1))); }
Node one_of(std::initializer_list<std::string_view> words) {
  Node values = doc::list();
  for (std::string_view w : words) values.items.push_back(doc::string(std::string(w)));
  return std::move(typed("string").add("enum", std::move(values)));
}

std::string not_empty(std::string_view s) { return s.empty() ? "must not be empty" : ""; }
std::string anything(std::string_view) { return {}; }
std::string runtime_check(std::string_view s) {
  if (s == "echo" || s == "onnx") return {};
  return "is no runtime; there are: echo, onnx";
}
std::string graph_level_check(std::string_view s) {
  if (s == "disabled" || s == "basic" || s == "extended" || s == "all") return {};
  return "must be one of disabled, basic, extended, all";
}
std::string transform_check(std::string_view s) { return s.empty() ? std::string() : name_problem(s); }
std::string import_path_check(std::string_view s) {
  if (s == kBuiltinEcho) return {};
  return fmt::format(
      "cannot be imported: there is no python runtime yet; give the deployments with `runtime` and `model`, or use the "
      "built-in app {}",
      kBuiltinEcho);
}

template <class T>
void read_list(Reading& r, const Node& n, size_t most, std::vector<T>& out, void (*read)(Reading&, const Node&, T&)) {
  if (n.kind != Kind::kList) return r.wrong_kind(n, "a list");
  if (n.items.size() > most)
    return r.problem(n, fmt::format("has {} entries; at most {} are allowed", n.items.size(), most));
  for (size_t i = 0; i < n.items.size(); ++i) {
    Reading::Step step(r, i);
    read(r, n.items[i], out.emplace_back());
  }
}

template <class T>
Node object_schema(const Keys<T>& table);

template <class T>
constexpr Key<T> computed(Key<T> key) {
  key.computed_default = true;
  return key;
}

// ---- models ----

void read_provider(Reading& r, const Node& n, std::string& out) {
  if (!read_text(r, n, out)) return;
  if (std::string wrong = name_problem(out); !wrong.empty()) r.problem(n, wrong);
}

constexpr Key<ModelSpec> kModelKeys[] = {
    required(text_key<&ModelSpec::name, model_name_problem>("name", "Name under which clients address the model.",
                                                            model_name_schema)),
    required(text_key<&ModelSpec::path, not_empty>(
        "path", "Model file; a relative path counts from the spec file's folder.", some_text)),
    text_key<&ModelSpec::version, model_name_problem>("version", "Version that clients see.", model_name_schema),
    int_key<&ModelSpec::intra_op, 1, 1024>("intra_op", "Threads of one inference."),
    {"providers", "Execution providers by name, tried in this order.",
     [](Reading& r, const Node& n, ModelSpec& out) {
       constexpr size_t kMaxProviders = 16;
       std::vector<std::string> names;
       read_list<std::string>(r, n, kMaxProviders, names, read_provider);
       if (n.kind == Kind::kList && names.empty()) return r.problem(n, "must name at least one provider, such as cpu");
       if (!names.empty()) out.providers = std::move(names);
     },
     [](const ModelSpec& in) {
       Node l = doc::list();
       for (const std::string& p : in.providers) l.items.push_back(doc::string(p));
       return l;
     },
     [] {
       Node s = typed("array");
       s.add("items", name_schema()).add("minItems", doc::integer(1)).add("maxItems", doc::integer(16));
       return s;
     }},
    text_key<&ModelSpec::graph_level, graph_level_check>(
        "graph_level", "Graph optimisation.", [] { return one_of({"disabled", "basic", "extended", "all"}); }),
    bool_key<&ModelSpec::warmup>("warmup", "One request with zeros before the replica is READY."),
    text_key<&ModelSpec::library, anything>("library", "Path of libonnxruntime; empty: found by itself.", any_text),
};

void read_model(Reading& r, const Node& n, ModelSpec& out, const Keys<ModelSpec>& table) {
  if (n.kind == Kind::kString) {  // short form
    if (read_text(r, n, out.path) && out.path.empty()) r.problem(n, "must not be empty");
  } else if (!read_object(r, n, table, out)) {
    return;
  }
  if (r.source().paths == ModelPaths::kAny) return;
  for (const std::string* p : {&out.path, &out.library})
    if (!p->empty() && !p->starts_with('/'))
      r.problem(n.mark, *p, fmt::format("{} is a relative path; the server needs an absolute one", *p));
}
void read_named_model(Reading& r, const Node& n, ModelSpec& out) {
  if (n.kind == Kind::kString) return r.problem(n, "expected a mapping with `name` and `path`, got a string");
  read_model(r, n, out, named_model_keys());
}

// ---- resources ----

constexpr Key<Resources> kResourceKeys[] = {
    real_key<&Resources::num_cpus, 0.0, 4096.0>("num_cpus", "CPUs that one replica is counted with."),
    {"num_gpus", "GPUs of one replica; below 1 a fraction.",
     [](Reading& r, const Node& n, Resources& out) {
       double v = 0;
       if (!read_real(r, n, 0, 1024, v)) return;
       if (v > 1 && std::trunc(v) != v) return r.problem(n, "must be a whole number when it is above 1");
       out.num_gpus = v;
     },
     [](const Resources& in) { return doc::real(in.num_gpus); },
     [] {
       Node s = typed("number");
       s.add("minimum", doc::integer(0)).add("maximum", doc::integer(1024));
       return s;
     }},
    int_key<&Resources::memory, 0, int64_t{1} << 50>("memory", "Bytes that one replica may use; 0: no limit."),
    {"resources", "Further resources by name, as the nodes declare them.",
     [](Reading& r, const Node& n, Resources& out) {
       constexpr size_t kMaxResources = 32;
       if (n.kind != Kind::kMap) return r.wrong_kind(n, "a mapping from names to numbers");
       if (n.members.size() > kMaxResources)
         return r.problem(n, fmt::format("has {} entries; at most {} are allowed", n.members.size(), kMaxResources));
       for (const doc::Member& m : n.members) {
         Reading::Step step(r, m.key);
         if (std::string wrong = model_name_problem(m.key); !wrong.empty())
           r.problem(m.mark, m.key, "the name " + wrong);
         if (double v = 0; read_real(r, m.value, 0, 1e9, v)) out.resources[m.key] = v;
       }
     },
     [](const Resources& in) {
       Node m = doc::map();
       for (const auto& [name, v] : in.resources) m.add(name, doc::real(v));
       return m;
     },
     [] {
       Node s = typed("object"), v = typed("number");
       v.add("minimum", doc::integer(0)).add("maximum", doc::real(1e9));
       s.add("propertyNames", model_name_schema()).add("additionalProperties", std::move(v));
       s.add("maxProperties", doc::integer(32));
       return s;
     }},
};
constexpr Later kResourceLater[] = {
    {"accelerator_type", "name the resource under `resources`", "null"},
    {"runtime_env", "replicas run in the server's own environment until there is a python runtime", "{}"},
    {"object_store_memory", "it belongs to Ray's object store; leave it out", "null"},
    {"label_selector", "leave it out: placement by label comes with clusters", "{}"},
    {"bundle_label_selector", "leave it out: placement by label comes with clusters", "[]"},
    {"fallback_strategy", "leave it out: placement by label comes with clusters", "[]"},
};

// ---- deployments ----

constexpr Key<DeploymentSpec> kDeploymentKeys[] = {
    required(text_key<&DeploymentSpec::name, name_problem>("name", "Name of the deployment within its application.",
                                                           name_schema)),
    computed(text_key<&DeploymentSpec::runtime, runtime_check>(
        "runtime", "What runs the work; onnx when a model is given.", [] { return one_of({"echo", "onnx"}); })),
    {"model", "The model: a path, or a mapping. It answers as APP (the ingress) or APP.DEPLOYMENT.",
     [](Reading& r, const Node& n, DeploymentSpec& out) {
       if (n.kind == Kind::kNull) return;
       read_model(r, n, out.model.emplace(), model_keys());
     },
     [](const DeploymentSpec& in) { return in.model ? write_object(model_keys(), *in.model) : doc::null(); },
     [] {
       Node forms = doc::list({some_text(), object_schema(model_keys()), typed("null")});
       return std::move(doc::map().add("anyOf", std::move(forms)));
     }},
    {"models", "Several models in one replica, each under its own name.",
     [](Reading& r, const Node& n, DeploymentSpec& out) {
       constexpr size_t kMaxModels = 100;
       read_list<ModelSpec>(r, n, kMaxModels, out.models, read_named_model);
     },
     [](const DeploymentSpec& in) {
       Node l = doc::list();
       for (const ModelSpec& m : in.models) l.items.push_back(write_object(named_model_keys(), m));
       return l;
     },
     [] {
       Node s = typed("array");
       s.add("items", object_schema(named_model_keys())).add("maxItems", doc::integer(100));
       return s;
     }},
    text_key<&DeploymentSpec::transform, transform_check>(
        "transform", "Registered pair of functions between raw bodies and tensors.", any_text),
    {"num_replicas", "How many replicas run.",
     [](Reading& r, const Node& n, DeploymentSpec& out) {
       if (n.kind == Kind::kString && n.text == "auto")
         return r.problem(n, "\"auto\" is not supported yet: it arrives with the autoscaler; give a number");
       if (int64_t v = 0; read_int(r, n, 0, 10000, v)) out.num_replicas = static_cast<int>(v);
     },
     [](const DeploymentSpec& in) { return doc::integer(in.num_replicas); },
     [] {
       Node s = typed("integer");
       s.add("minimum", doc::integer(0)).add("maximum", doc::integer(10000));
       return s;
     }},
    int_key<&DeploymentSpec::max_ongoing_requests, 1, 100000>("max_ongoing_requests",
                                                              "Requests that run at once in one replica."),
    int_key<&DeploymentSpec::max_queued_requests, -1, 1000000>(
        "max_queued_requests", "Requests that wait in one proxy; further ones get 503. -1: 1000."),
    real_key<&DeploymentSpec::request_timeout_s, 0.001, 86400.0>("request_timeout_s",
                                                                 "Longest time of one request, in seconds; then 504."),
    {"user_config", "Any value; handed to the runtime, changed in place.",
     [](Reading& r, const Node& n, DeploymentSpec& out) {
       constexpr size_t kMaxUserConfig = 256 * 1024;
       std::string text = n.kind == Kind::kNull ? std::string() : doc::json_text(n);
       if (text.size() > kMaxUserConfig)
         return r.problem(n, fmt::format("has {} bytes as JSON; at most {} are allowed", text.size(), kMaxUserConfig));
       out.user_config = std::move(text);
     },
     [](const DeploymentSpec& in) {
       if (in.user_config.empty()) return doc::null();
       auto tree = doc::parse_json(SpecSource{in.user_config, SpecFormat::kJson, "", {}});
       return tree ? std::move(*tree) : doc::null();
     },
     [] { return doc::map(); }},
    real_key<&DeploymentSpec::health_check_period_s, 0.1, 86400.0>("health_check_period_s",
                                                                   "Seconds between two health checks."),
    real_key<&DeploymentSpec::health_check_timeout_s, 0.1, 86400.0>("health_check_timeout_s",
                                                                    "Seconds until a health check counts as failed."),
    real_key<&DeploymentSpec::graceful_shutdown_wait_loop_s, 0.0, 86400.0>(
        "graceful_shutdown_wait_loop_s", "Seconds between leaving the routing table and draining."),
    real_key<&DeploymentSpec::graceful_shutdown_timeout_s, 0.0, 86400.0>(
        "graceful_shutdown_timeout_s", "Seconds that running requests get to finish before the replica is stopped."),
    {"rolling_update_percentage", "Part of the replicas that one wave of an update replaces.",
     [](Reading& r, const Node& n, DeploymentSpec& out) {
       double v = 0;
       if (!read_real(r, n, 0, 1, v)) return;
       if (v <= 0) return r.problem(n, "must be above 0 and at most 1 (0.2 replaces a fifth at a time)");
       out.rolling_update_percentage = v;
     },
     [](const DeploymentSpec& in) { return doc::real(in.rolling_update_percentage); },
     [] {
       Node s = typed("number");
       s.add("exclusiveMinimum", doc::integer(0)).add("maximum", doc::integer(1));
       return s;
     }},
    {"ray_actor_options", "What one replica takes from its node.",
     [](Reading& r, const Node& n, DeploymentSpec& out) {
       if (n.kind == Kind::kNull) return;
       read_object(r, n, resource_keys(), out.ray_actor_options);
     },
     [](const DeploymentSpec& in) { return write_object(resource_keys(), in.ray_actor_options); },
     [] { return object_schema(resource_keys()); }},
    {"max_replicas_per_node", "Most replicas of this deployment on one node; 0: no bound.",
     [](Reading& r, const Node& n, DeploymentSpec& out) {
       if (n.kind == Kind::kNull) return;
       if (int64_t v = 0; read_int(r, n, 0, 10000, v)) out.max_replicas_per_node = static_cast<int>(v);
     },
     [](const DeploymentSpec& in) { return doc::integer(in.max_replicas_per_node); },
     [] {
       Node s = doc::map();
       s.add("type", doc::list({doc::string("integer"), doc::string("null")}));
       s.add("minimum", doc::integer(0)).add("maximum", doc::integer(10000));
       return s;
     }},
};
constexpr std::string_view kWithAutoscaler =
    "give num_replicas as a number: scaling by load arrives with the autoscaler";
constexpr std::string_view kWithClusters = "leave it out: it arrives with clusters";
constexpr Later kDeploymentLater[] = {
    {"autoscaling_config", kWithAutoscaler, "null"},
    {"placement_group_bundles", kWithClusters, "null"},
    {"placement_group_strategy", kWithClusters, "null"},
    {"placement_group_bundle_label_selector", kWithClusters, "null"},
    {"placement_group_fallback_strategy", kWithClusters, "null"},
    {"gang_scheduling_config", kWithClusters, "null"},
    {"request_router_config", "leave it out: requests go to the less loaded of two replicas", "null"},
    {"logging_config", "leave it out: logs are set where the server is started (colony up --log-level)", "null"},
    {"max_constructor_retry_count", "leave it out: a replica that fails is started again with a growing delay", "20"},
    {"batching", "leave it out: requests are not batched", "null"},
    {"traffic", "leave it out: all traffic goes to the one revision", "null"},
    {"runtime_env", "replicas run in the server's own environment until there is a python runtime", "{}"},
    {"proxy", kWithClusters, "null"},
    {"deployment_actors", kWithClusters, "null"},
};

// ---- applications ----

void read_deployments(Reading& r, const Node& n, AppSpec& out) {
  read_list<DeploymentSpec>(r, n, kMaxDeployments, out.deployments, read_deployment);
}

constexpr Key<AppSpec> kAppKeys[] = {
    required(
        text_key<&AppSpec::name, name_problem>("name", "Name of the application; also its model name.", name_schema)),
    computed<AppSpec>(
        {"route_prefix", "Raw HTTP under this path reaches the ingress deployment; null: none. Default: /NAME.",
         [](Reading& r, const Node& n, AppSpec& out) {
           if (n.kind == Kind::kNull) return out.route_prefix.clear();
           std::string text;
           if (!read_text(r, n, text)) return;
           if (std::string wrong = route_prefix_problem(text); !wrong.empty()) return r.problem(n, std::move(wrong));
           out.route_prefix = std::move(text);
         },
         [](const AppSpec& in) { return in.route_prefix.empty() ? doc::null() : doc::string(in.route_prefix); },
         [] {
           Node s = doc::map();
           s.add("type", doc::list({doc::string("string"), doc::string("null")}));
           s.add("pattern", doc::string("^/([^/?#%{} ]+(/[^/?#%{} ]+)*)?$")).add("maxLength", doc::integer(255));
           return s;
         }}),
    {"import_path", "The built-in app colony.builtin:echo, or nothing.",
     [](Reading& r, const Node& n, AppSpec& out) {
       if (n.kind == Kind::kNull) return;
       std::string text;
       if (!read_text(r, n, text)) return;
       if (std::string wrong = import_path_check(text); !wrong.empty()) return r.problem(n, std::move(wrong));
       out.import_path = std::move(text);
     },
     [](const AppSpec& in) { return in.import_path.empty() ? doc::null() : doc::string(in.import_path); },
     [] {
       Node values = doc::list({doc::string(std::string(kBuiltinEcho)), doc::null()});
       return std::move(doc::map().add("enum", std::move(values)));
     }},
    {"deployments", "The first one is the ingress, unless import_path binds another.", read_deployments,
     [](const AppSpec& in) {
       Node l = doc::list();
       for (const DeploymentSpec& d : in.deployments) l.items.push_back(write(d));
       return l;
     },
     [] {
       Node s = typed("array");
       s.add("items", object_schema(deployment_keys())).add("maxItems", doc::integer(kMaxDeployments));
       return s;
     }},
};
constexpr Later kAppLater[] = {
    {"runtime_env", "replicas run in the server's own environment until there is a python runtime", "{}"},
    {"args", "leave it out: nothing is imported, so nothing takes arguments", "{}"},
    {"external_scaler_enabled", kWithAutoscaler, "false"},
    {"autoscaling_policy", kWithAutoscaler, "null"},
    {"logging_config", "leave it out: logs are set where the server is started (colony up --log-level)", "null"},
    {"docs_path", "leave it out: it belongs to a FastAPI ingress", "null"},
    {"traffic", "leave it out: all traffic goes to the one revision", "null"},
    {"proxy", kWithClusters, "null"},
    {"clusters", kWithClusters, "null"},
    {"host", "leave it out: applications are told apart by path", "null"},
    {"port", "leave it out: it is set where the server is started (colony up --http)", "null"},
};

// ---- the schema of a mapping ----

template <class T>
Node object_schema(const Keys<T>& table) {
  Node properties = doc::map(), needed = doc::list();
  const T defaults{};
  for (const Key<T>& k : table.keys) {
    Node s = k.schema();
    s.add("description", doc::string(std::string(k.about)));
    if (k.required)
      needed.items.push_back(doc::string(std::string(k.name)));
    else if (!k.computed_default)
      s.add("default", k.write(defaults));
    properties.add(std::string(k.name), std::move(s));
  }
  Node out = typed("object");
  out.add("properties", std::move(properties));
  if (!needed.items.empty()) out.add("required", std::move(needed));
  out.add("additionalProperties", doc::boolean(false));
  return out;
}

constexpr Later kDocumentLater[] = {
    {"proxy_location", "leave it out: there is one proxy per machine", "\"EveryNode\""},
    {"http_options", "leave it out: addresses are set where the server is started (colony up --http)",
     R"({"host":"0.0.0.0","port":8000,"root_path":"","request_timeout_s":null,"keep_alive_timeout_s":90,)"
     R"("ssl_keyfile":null,"ssl_certfile":null,"ssl_keyfile_password":null,"ssl_ca_certs":null})"},
    {"grpc_options", "leave it out: gRPC is answered on the HTTP port",
     R"({"port":9000,"grpc_servicer_functions":[],"request_timeout_s":null})"},
    {"logging_config", "leave it out: logs are set where the server is started (colony up --log-level)",
     R"({"encoding":"TEXT","log_level":"INFO","logs_dir":null,"enable_access_log":true,)"
     R"("additional_log_standard_attrs":[]})"},
    {"target_capacity", "leave it out: it arrives with clusters", "null"},
    {"controller_options", "leave it out: there is no Ray Serve controller here", "null"},
};

}  // namespace

const Keys<AppSpec>& app_keys() {
  static constexpr Keys<AppSpec> table{"an application", kAppKeys, kAppLater};
  return table;
}
const Keys<DeploymentSpec>& deployment_keys() {
  static constexpr Keys<DeploymentSpec> table{"a deployment", kDeploymentKeys, kDeploymentLater};
  return table;
}
const Keys<ModelSpec>& named_model_keys() {
  static constexpr Keys<ModelSpec> table{"an entry of models", kModelKeys, {}};
  return table;
}
const Keys<ModelSpec>& model_keys() {
  static constexpr Later no_name[] = {{"name", "`model` answers under the application's name; give it under `models`"}};
  static constexpr Keys<ModelSpec> table{"a model", std::span(kModelKeys).subspan(1), no_name};
  return table;
}
const Keys<Resources>& resource_keys() {
  static constexpr Keys<Resources> table{"ray_actor_options", kResourceKeys, kResourceLater};
  return table;
}
std::span<const Later> document_later_keys() { return kDocumentLater; }

Node document_schema() {
  Node apps = typed("array");
  apps.add("items", object_schema(app_keys())).add("maxItems", doc::integer(kMaxApps));
  Node out = typed("object");
  out.add("$schema", doc::string("https://json-schema.org/draft/2020-12/schema"));
  out.add("title", doc::string("Colony applications"));
  out.add("properties", std::move(doc::map().add("applications", std::move(apps))));
  out.add("required", doc::list({doc::string("applications")})).add("additionalProperties", doc::boolean(false));
  return out;
}

}  // namespace colony::spec
