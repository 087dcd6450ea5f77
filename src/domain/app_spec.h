// What a person asks for: applications and their deployments, as plain values. Keys of the YAML and JSON form are the
// members' names (Ray Serve's where the idea is the same). Parsing, checking and printing: domain/spec_parse.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace colony {

// Of `ray_actor_options`. Fractions are allowed; memory in bytes.
struct Resources {
  double num_cpus = 1;
  double num_gpus = 0;
  uint64_t memory = 0;  // 0: no limit is set
  std::map<std::string, double> resources;
  bool operator==(const Resources&) const = default;
};

// One ONNX (later: any) model.
struct ModelSpec {
  std::string name;  // OIP name; empty for `model:` (then APP or APP.DEPLOYMENT), set in `models:`
  std::string path;  // file; relative paths are made absolute against the spec file's folder by the CLI
  std::string version = "1";
  int intra_op = 1;  // threads of one inference
  std::vector<std::string> providers = {"cpu"};
  std::string graph_level = "all";  // disabled | basic | extended | all
  bool warmup = true;               // one request with zeros (dynamic axes 1) before READY
  std::string library;              // path of libonnxruntime; empty: found as docs/runtimes.md says
  bool operator==(const ModelSpec&) const = default;
};

// A server of the user's own that runs already (`runtime: external`). No process is started; each address is one replica.
struct BackendSpec {
  std::vector<std::string> addresses;  // "127.0.0.1:9000", "[::1]:9000", "localhost:9000", "unix:/run/x.sock"
  std::string protocol = "http1";      // http1 | h2c
  std::string health_path;  // a GET of it must answer 2xx or 3xx; empty: it is enough to be taken as a connection
  bool operator==(const BackendSpec&) const = default;
};

struct DeploymentSpec {
  std::string name;
  std::string runtime;  // "echo" | "onnx" | "external"
  std::optional<ModelSpec> model;
  std::vector<ModelSpec> models;
  std::string transform;  // registered pair of functions, e.g. "filetype"; empty: none
  int num_replicas = 1;
  int max_ongoing_requests = 5;  // per replica
  int max_queued_requests = -1;  // per deployment in a proxy; -1: 1000 (LIMIT)
  double request_timeout_s = 60;
  bool idempotent = false;  // POST and PATCH too may be sent to a second replica
  std::string user_config;  // JSON text, "" when absent
  double health_check_period_s = 10;
  double health_check_timeout_s = 30;
  double graceful_shutdown_wait_loop_s = 2;
  double graceful_shutdown_timeout_s = 20;
  double rolling_update_percentage = 0.2;
  Resources ray_actor_options;
  int max_replicas_per_node = 0;  // 0: no bound
  std::optional<BackendSpec> backend;
  std::vector<std::string> grpc_services;  // "package.Service": calls of it come here
  bool operator==(const DeploymentSpec&) const = default;
  bool external() const { return runtime == "external"; }
};

struct AppSpec {
  std::string name;
  std::string route_prefix;        // "/name" by default; "" when `route_prefix: null` (no raw HTTP)
  std::string import_path;         // "" or "colony.builtin:echo"
  std::vector<std::string> hosts;  // lower case; requests for them reach the ingress, whatever their path
  std::vector<DeploymentSpec> deployments;
  bool operator==(const AppSpec&) const = default;

  const DeploymentSpec& ingress() const;  // the one that import_path binds, else the first; CHECK: there is one
  const DeploymentSpec* find(std::string_view deployment) const;
  // OIP names under which this deployment answers: its `models:`, or APP for the ingress, APP.DEPLOYMENT for others. None
  // for an external one.
  std::vector<std::string> model_names(const DeploymentSpec& d) const;
  std::vector<std::string> model_versions(const DeploymentSpec& d) const;  // of them, in their order
};

// Stable hash (hex) of everything that needs a new process when it changes: all but num_replicas, user_config, model(s),
// request_timeout_s, idempotent, max_queued_requests, health_check_*, graceful_shutdown_*, rolling_update_percentage,
// backend, grpc_services.
std::string process_hash(const DeploymentSpec& d);
// Stable hash (hex) of the whole spec.
std::string spec_hash(const AppSpec& a);

}  // namespace colony
