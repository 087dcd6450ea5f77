// Ray Serve's REST API as its own command line uses it (`serve deploy`, `serve status`, `serve config`, `serve shutdown` of
// Ray 2.x): applications are told in its words and in the shape of its ServeInstanceDetails. Two differences, on purpose:
// a PUT leaves applications alone that its body does not name (?prune=true deletes them), and nothing is ever ignored.
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "control/keeper/api_state.h"

namespace colony::keeper {
namespace {

using Json = nlohmann::ordered_json;

double seconds(WallTime t) { return std::chrono::duration<double>(t.time_since_epoch()).count(); }

std::string_view replica_state(ReplicaState s) {
  switch (s) {
    case ReplicaState::kPending:
    case ReplicaState::kStarting:
    case ReplicaState::kFailed: return "STARTING";  // a failed one is started again
    case ReplicaState::kReady: return "RUNNING";
    case ReplicaState::kDraining: return "STOPPING";
  }
  return "STARTING";
}

std::string_view trigger(const DeploymentStatus& d, bool deleting) {
  if (deleting) return "DELETING";
  if (d.status == "HEALTHY") return "CONFIG_UPDATE_COMPLETED";
  if (d.status == "UNHEALTHY") return "REPLICA_STARTUP_FAILED";
  return "CONFIG_UPDATE_STARTED";
}

Json deployment_config(const DeploymentSpec& d) {
  Json j{{"name", d.name},
         {"max_ongoing_requests", d.max_ongoing_requests},
         {"max_queued_requests", d.max_queued_requests},
         {"graceful_shutdown_wait_loop_s", d.graceful_shutdown_wait_loop_s},
         {"graceful_shutdown_timeout_s", d.graceful_shutdown_timeout_s},
         {"health_check_period_s", d.health_check_period_s},
         {"health_check_timeout_s", d.health_check_timeout_s},
         {"rolling_update_percentage", d.rolling_update_percentage},
         {"ray_actor_options",
          {{"num_cpus", d.ray_actor_options.num_cpus},
           {"num_gpus", d.ray_actor_options.num_gpus},
           {"memory", d.ray_actor_options.memory},
           {"resources", d.ray_actor_options.resources}}}};
  if (d.num_replicas > 0) j["num_replicas"] = d.num_replicas;  // Ray knows no deployment without replicas
  if (d.max_replicas_per_node > 0 && d.max_replicas_per_node <= 100)
    j["max_replicas_per_node"] = d.max_replicas_per_node;
  if (Json config = Json::parse(d.user_config, nullptr, false); config.is_object())
    j["user_config"] = std::move(config);
  return j;
}

Json deployment_details(const DeploymentStatus& d, const DeploymentSpec& spec, bool deleting) {
  Json replicas = Json::array();
  for (const ReplicaStatus& r : d.replicas)
    replicas.push_back({{"node_id", r.node},
                        {"actor_name", r.id},
                        {"replica_id", r.id},
                        {"state", replica_state(r.state)},
                        {"pid", r.pid > 0 ? Json(r.pid) : Json(nullptr)},
                        {"start_time_s", seconds(r.since)}});
  return {{"name", d.name},
          {"status", d.status},
          {"status_trigger", trigger(d, deleting)},
          {"message", d.message},
          {"deployment_config", deployment_config(spec)},
          {"target_num_replicas", d.target_replicas},
          {"required_resources", {{"CPU", spec.ray_actor_options.num_cpus}, {"GPU", spec.ray_actor_options.num_gpus}}},
          {"replicas", std::move(replicas)}};
}

Json app_details(const AppStatus& a, const AppSpec& spec) {
  Json deployments = Json::object(), configs = Json::array();
  for (const DeploymentStatus& d : a.deployments) {
    DeploymentSpec none;  // one that is on its way out has no spec any more
    none.name = d.name;
    const DeploymentSpec* of = spec.find(d.name);
    deployments[d.name] = deployment_details(d, of == nullptr ? none : *of, a.status == "DELETING");
  }
  for (const DeploymentSpec& d : spec.deployments) configs.push_back(deployment_config(d));
  Json prefix = a.route_prefix.empty() ? Json(nullptr) : Json(a.route_prefix);
  // Ray's schema demands an import_path of every declared application; one of ours that has none is shown without.
  Json config(nullptr);
  if (!spec.import_path.empty())
    config = {{"name", a.name}, {"route_prefix", prefix}, {"import_path", spec.import_path}, {"deployments", configs}};
  return {{"name", a.name},
          {"route_prefix", prefix},
          {"docs_path", nullptr},
          {"status", a.status},
          {"message", a.message},
          {"last_deployed_time_s", seconds(a.last_deployed)},
          {"deployed_app_config", std::move(config)},
          {"source", "declarative"},
          {"deployments", std::move(deployments)},
          {"external_scaler_enabled", false}};
}

}  // namespace

// Ray's client asks this first and refuses servers older than 1.12. The version is the one whose API this is.
const std::string& ray_version_json() {
  static const std::string text =
      R"({"version":"4","ray_version":"2.60.0","ray_commit":"colony","session_name":"colony"})";
  return text;
}

async::Task<http::Reply> ControlApi::State::ray_get(http::Request request) {
  if (auto ok = check_params(request, {"api_type"}); !ok) co_return error_as_reply(ok.error());
  const std::string api_type = request.param("api_type").value_or("declarative");
  if (api_type != "declarative" && api_type != "imperative")
    co_return error_as_reply(
        invalid_argument(fmt::format("api_type='{}' must be declarative or imperative", api_type)));
  Json proxies = Json::object(), apps = Json::object();
  for (const auto& [id, p] : table.proxies())
    proxies[p.node.empty() ? id : p.node] = {{"node_id", p.node}, {"actor_name", id}, {"status", "HEALTHY"}};
  if (api_type == "declarative")
    for (const AppStatus& a : deps.keeper.statuses()) {
      AppSpec none;
      none.name = a.name;
      auto spec = deps.keeper.spec(a.name);
      apps[a.name] = app_details(a, spec ? *spec : none);
    }
  const Json body{{"controller_info", {{"node_id", "colony"}, {"actor_name", "colony-keeper"}}},
                  {"proxy_location", "EveryNode"},
                  {"http_options", nullptr},
                  {"grpc_options", nullptr},
                  {"proxies", std::move(proxies)},
                  {"applications", std::move(apps)},
                  {"target_capacity", nullptr}};
  co_return json_reply(200, body.dump(-1, ' ', false, Json::error_handler_t::replace));
}

async::Task<http::Reply> ControlApi::State::ray_put(http::Request request) {
  if (auto ok = check_params(request, {"prune", "dry_run"}); !ok) co_return error_as_reply(ok.error());
  auto prune = flag_param(request, "prune");
  if (!prune) co_return error_as_reply(prune.error());
  auto dry_run = flag_param(request, "dry_run");
  if (!dry_run) co_return error_as_reply(dry_run.error());
  const auto format = body_format(request);
  if (!format) co_return unsupported_type(request);
  auto parse = [&] {
    return Result<Checked<std::vector<AppSpec>>>(
        parse_ray_document(SpecSource{request.body, *format, {}, ModelPaths::kAbsolute}));
  };
  auto parsed = co_await deps.pool.run(deps.loop, parse);
  if (!parsed) co_return error_as_reply(parsed.error());
  if (!*parsed) co_return problems_reply(parsed->error());
  Applied done = co_await apply_all(std::move(**parsed), ChangeOptions{{}, *dry_run}, *prune);
  if (done.error) co_return error_as_reply(*done.error);
  std::string changes;
  for (const Change& c : done.changes) changes += (changes.empty() ? "" : ",") + change_json(c, *dry_run);
  co_return json_reply(200, fmt::format(R"({{"applications":[{}]}})", changes));
}

// Every application goes, as in Ray.
async::Task<http::Reply> ControlApi::State::ray_delete(http::Request request) {
  if (auto ok = check_params(request, {}); !ok) co_return error_as_reply(ok.error());
  std::string names;
  for (const std::string& name : deps.keeper.names()) {
    auto done = co_await deps.keeper.remove(name, {});
    if (!done && done.error().code != Code::kNotFound) co_return error_as_reply(done.error());
    names += (names.empty() ? "" : ",") + json_string(name);
  }
  co_return json_reply(200, fmt::format(R"({{"deleted":[{}]}})", names));
}

}  // namespace colony::keeper
