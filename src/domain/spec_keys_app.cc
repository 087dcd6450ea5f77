// Rows of the table of keys (see spec_keys.h): applications and deployments, and the document around them.
#include <algorithm>

#include "domain/spec_rows.h"

namespace colony::spec {
namespace {

std::string runtime_check(std::string_view s) {
  if (s == "echo" || s == "onnx" || s == "external") return {};
  return "is no runtime; there are: echo, onnx, external";
}
std::string transform_check(std::string_view s) { return s.empty() ? std::string() : name_problem(s); }
std::string import_path_check(std::string_view s) {
  if (s == kBuiltinEcho) return {};
  return fmt::format(
      "cannot be imported: there is no python runtime yet; give the deployments with `runtime` and `model`, or use the "
      "built-in app {}",
      kBuiltinEcho);
}

constexpr size_t kMaxNames = 100;  // LIMIT: gRPC services of a deployment, hosts of an application

Node texts(const std::vector<std::string>& in) {
  Node l = doc::list();
  for (const std::string& s : in) l.items.push_back(doc::string(s));
  return l;
}
Node names_schema(std::string_view pattern, int64_t least) {
  Node s = typed("array"), item = typed("string");
  item.add("pattern", doc::string(std::string(pattern))).add("maxLength", doc::integer(255));
  s.add("items", std::move(item));
  if (least > 0) s.add("minItems", doc::integer(least));
  return std::move(s.add("maxItems", doc::integer(kMaxNames)));
}
template <std::string (*Check)(std::string_view)>
void read_checked(Reading& r, const Node& n, std::string& out) {
  if (!read_text(r, n, out)) return;
  if (std::string wrong = Check(out); !wrong.empty()) r.problem(n, std::move(wrong));
}
void read_grpc_service(Reading& r, const Node& n, std::string& out) { read_checked<grpc_service_problem>(r, n, out); }
void read_host(Reading& r, const Node& n, std::string& out) {
  read_checked<host_problem>(r, n, out);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
}

// ---- backends ----

// address_problem(), but for spellings of IPv6 that embed IPv4 and for paths of sockets beyond ASCII.
std::string ipv6_pattern() {
  const std::string_view hex = "[0-9A-Fa-f]{1,4}";
  return fmt::format(R"(\[(({0}:){{7}}{0}|({0}(:{0}){{0,3}})?::({0}(:{0}){{0,2}})?)\])", hex);
}
std::string address_pattern() {
  const std::string_view octet = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
  const std::string_view port =
      "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
  return fmt::format(R"(^(unix:/[!-~]{{0,106}}|(localhost|({0}\.){{3}}{0}|{1}):{2})$)", octet, ipv6_pattern(), port);
}
std::string host_pattern() { return fmt::format("^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?|{})$", ipv6_pattern()); }

std::string protocol_check(std::string_view s) {
  if (s == "http1" || s == "h2c") return {};
  return "is no protocol; there are: http1, h2c (HTTP/2 without TLS, which gRPC servers speak)";
}
std::string health_path_check(std::string_view s) {
  if (s.empty()) return {};
  if (s.front() == '/' && std::all_of(s.begin(), s.end(), [](char c) { return c > ' ' && c < 0x7f && c != '#'; }))
    return {};
  return "must begin with '/' and hold visible ASCII characters without '#'";
}
void read_address(Reading& r, const Node& n, std::string& out) { read_checked<address_problem>(r, n, out); }

constexpr Key<BackendSpec> kBackendKeys[] = {
    required<BackendSpec>({"addresses", "Where it listens: IP:PORT, localhost:PORT or unix:/PATH; each is one replica.",
                           [](Reading& r, const Node& n, BackendSpec& out) {
                             read_list<std::string>(r, n, kMaxNames, out.addresses, read_address);
                             if (n.kind == Kind::kList && n.items.empty()) r.problem(n, "must hold an address");
                           },
                           [](const BackendSpec& in) { return texts(in.addresses); },
                           [] { return names_schema(address_pattern(), 1); }}),
    text_key<&BackendSpec::protocol, protocol_check>("protocol",
                                                     "What it speaks; h2c is HTTP/2 without TLS, as gRPC servers do.",
                                                     [] { return one_of({"http1", "h2c"}); }),
    text_key<&BackendSpec::health_path, health_path_check>(
        "health_path", "A GET of it must answer 2xx or 3xx; empty: the server must take a connection.",
        [] {
          Node s = any_text();
          s.members.pop_back();
          return std::move(s.add("pattern", doc::string("^(/[!-\"$-~]*)?$")));
        }),
};

// ---- deployments ----

Node deployment_name_schema() {
  Node s = typed("string");
  s.add("pattern", doc::string("^[a-z0-9][-a-z0-9_.]{0,47}$"));
  return s;
}
Node transform_schema() {
  Node s = typed("string");
  s.add("pattern", doc::string("^([a-z0-9][-a-z0-9_.]{0,62})?$"));
  return s;
}

constexpr Key<DeploymentSpec> kDeploymentKeys[] = {
    required(text_key<&DeploymentSpec::name, deployment_name_problem>(
        "name", "Name of the deployment within its application.", deployment_name_schema)),
    computed(text_key<&DeploymentSpec::runtime, runtime_check>(
        "runtime", "What runs the work; onnx when a model is given, external when a backend is.",
        [] { return one_of({"echo", "onnx", "external"}); })),
    {"model", "The model: a path, or a mapping. It answers as APP (the ingress) or APP.DEPLOYMENT.",
     [](Reading& r, const Node& n, DeploymentSpec& out) {
       if (n.kind == Kind::kNull) return;
       read_model(r, n, out.model.emplace());
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
        "transform", "Registered pair of functions between raw bodies and tensors.", transform_schema),
    {"num_replicas", "How many replicas run.",
     [](Reading& r, const Node& n, DeploymentSpec& out) {
       if (n.kind == Kind::kString && n.text == "auto")
         return r.problem(n, "\"auto\" is not supported yet: it arrives with the autoscaler; give a number");
       if (int64_t v = 0; read_int(r, n, 0, kMaxReplicas, v)) out.num_replicas = static_cast<int>(v);
     },
     [](const DeploymentSpec& in) { return doc::integer(in.num_replicas); },
     [] {
       Node s = typed("integer");
       s.add("minimum", doc::integer(0)).add("maximum", doc::integer(kMaxReplicas));
       return s;
     }},
    int_key<&DeploymentSpec::max_ongoing_requests, 1, 100000>("max_ongoing_requests",
                                                              "Requests that run at once in one replica."),
    int_key<&DeploymentSpec::max_queued_requests, -1, 1000000>(
        "max_queued_requests", "Requests that wait in one proxy; further ones get 503. -1: 1000."),
    real_key<&DeploymentSpec::request_timeout_s, 0.001, 86400.0>("request_timeout_s",
                                                                 "Longest time of one request, in seconds; then 504."),
    bool_key<&DeploymentSpec::idempotent>(
        "idempotent", "Every request may be sent to a second replica when the first one fails, POST and PATCH too."),
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
    real_key<&DeploymentSpec::health_check_period_s, 0.1, 86400.0>(
        "health_check_period_s",
        "Seconds between health checks of a replica, from 0.1 to 10 in effect; changes are told at once."),
    real_key<&DeploymentSpec::health_check_timeout_s, 0.1, 86400.0>("health_check_timeout_s",
                                                                    "Seconds until a health check counts as failed."),
    real_key<&DeploymentSpec::graceful_shutdown_wait_loop_s, 0.0, 86400.0>(
        "graceful_shutdown_wait_loop_s", "Taken and kept; without effect: a drained replica ends at once."),
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
     [](Reading& r, const Node& n, DeploymentSpec& out) { read_object(r, n, resource_keys(), out.ray_actor_options); },
     [](const DeploymentSpec& in) { return write_object(resource_keys(), in.ray_actor_options); },
     [] { return object_schema(resource_keys()); }},
    int_key<&DeploymentSpec::max_replicas_per_node, 0, 10000>(
        "max_replicas_per_node", "Most replicas of this deployment on one node; 0: no bound."),
    {"backend", "A server of your own that runs already: Colony stands in front of it.",
     [](Reading& r, const Node& n, DeploymentSpec& out) {
       if (n.kind != Kind::kNull) read_object(r, n, backend_keys(), out.backend.emplace());
     },
     [](const DeploymentSpec& in) { return in.backend ? write_object(backend_keys(), *in.backend) : doc::null(); },
     [] {
       Node forms = doc::list({object_schema(backend_keys()), typed("null")});
       return std::move(doc::map().add("anyOf", std::move(forms)));
     }},
    {"grpc_services", "gRPC services (package.Service) whose calls reach this external deployment.",
     [](Reading& r, const Node& n, DeploymentSpec& out) {
       read_list<std::string>(r, n, kMaxNames, out.grpc_services, read_grpc_service);
     },
     [](const DeploymentSpec& in) { return texts(in.grpc_services); },
     [] { return names_schema("^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*$", 0); }},
};
constexpr std::string_view kServerLogs = "leave it out: logs are set where the server is started";
constexpr std::string_view kRayLogging =
    R"({"encoding":"TEXT","log_level":"INFO","logs_dir":null,"enable_access_log":true,"additional_log_standard_attrs":[]})";
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
    {"request_router_config", "leave it out: requests go to the less loaded of two replicas",
     R"({"request_router_class":"ray.serve._private.request_router:PowerOfTwoChoicesRequestRouter",)"
     R"("request_router_kwargs":{},"request_routing_stats_period_s":10,"request_routing_stats_timeout_s":30,)"
     R"("initial_backoff_s":0.025,"backoff_multiplier":2,"max_backoff_s":0.5})"},
    {"backpressure_config", "leave it out: a full queue answers 503", R"({"status_code":503,"retry_after_s":null})"},
    {"max_surge_percent", "leave it out: replacements start before the old replicas stop", "0"},
    {"logging_config", kServerLogs, kRayLogging},
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
           // Exactly route_prefix_problem(): no "/-" at the front, no "." or ".." as a segment.
           s.add("pattern", doc::string("^(?!/-(/|$))(?!.*/\\.{1,2}(/|$))/([A-Za-z0-9_.~!$&'()*+,;=:@-]+"
                                        "(/[A-Za-z0-9_.~!$&'()*+,;=:@-]+)*)?$"));
           s.add("maxLength", doc::integer(255));
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
    {"hosts", "Requests for these hosts (Host, :authority) reach the ingress deployment, whatever their path.",
     [](Reading& r, const Node& n, AppSpec& out) { read_list<std::string>(r, n, kMaxNames, out.hosts, read_host); },
     [](const AppSpec& in) { return texts(in.hosts); }, [] { return names_schema(host_pattern(), 0); }},
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
    {"logging_config", kServerLogs, kRayLogging},
    {"docs_path", "leave it out: it belongs to a FastAPI ingress", "null"},
    {"traffic", "leave it out: all traffic goes to the one revision", "null"},
    {"proxy", kWithClusters, "null"},
    {"clusters", kWithClusters, "null"},
    {"host", "leave it out: the address is set where the server is started; names of an application go to `hosts`",
     "\"0.0.0.0\""},
    {"port", "leave it out: it is set where the server is started (colony up --http)", "8000"},
};

constexpr Later kDocumentLater[] = {
    {"proxy_location", "leave it out: there is one proxy per machine", "\"EveryNode\""},
    {"http_options", "leave it out: addresses are set where the server is started (colony up --http)",
     R"({"host":"0.0.0.0","port":8000,"root_path":"","request_timeout_s":null,"keep_alive_timeout_s":90,)"
     R"("ssl_keyfile":null,"ssl_certfile":null,"ssl_keyfile_password":null,"ssl_ca_certs":null})"},
    {"grpc_options", "leave it out: gRPC is answered on the HTTP port",
     R"({"port":9000,"grpc_servicer_functions":[],"request_timeout_s":null,"enable_reflection":true})"},
    {"logging_config", kServerLogs, kRayLogging},
    {"tracing_config", "leave it out: the server's own tracing comes later", "null"},
    {"target_capacity", "leave it out: it arrives with clusters", "null"},
    {"controller_options", "leave it out: there is no Ray Serve controller here", "null"},
};

}  // namespace

const Keys<BackendSpec>& backend_keys() {
  static constexpr Keys<BackendSpec> table{"a backend", kBackendKeys, {}};
  return table;
}
const Keys<AppSpec>& app_keys() {
  static constexpr Keys<AppSpec> table{"an application", kAppKeys, kAppLater};
  return table;
}
const Keys<DeploymentSpec>& deployment_keys() {
  static constexpr Keys<DeploymentSpec> table{"a deployment", kDeploymentKeys, kDeploymentLater};
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
