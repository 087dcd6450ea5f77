// The schemas of the control API's bodies: what is observed, what is asked for. See openapi.cc.
#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "control/keeper/api_state.h"

namespace colony::keeper {
namespace {

using Json = nlohmann::ordered_json;

Json ref(std::string_view schema) { return {{"$ref", fmt::format("#/components/schemas/{}", schema)}}; }
Json type(std::string_view name) { return {{"type", name}}; }
Json nullable(std::string_view name) { return {{"type", {name, "null"}}}; }
Json array_of(Json items) { return {{"type", "array"}, {"items", std::move(items)}}; }

// An object with exactly these members, all of them there.
Json object(std::initializer_list<std::pair<std::string_view, Json>> members,
            std::initializer_list<std::string_view> optional = {}) {
  Json properties = Json::object(), required = Json::array();
  for (const auto& [name, schema] : members) {
    properties[std::string(name)] = schema;
    if (std::find(optional.begin(), optional.end(), name) == optional.end()) required.push_back(name);
  }
  return {{"type", "object"}, {"properties", properties}, {"required", required}, {"additionalProperties", false}};
}

Json status_schemas() {
  const Json time{{"type", {"string", "null"}}, {"format", "date-time"}};
  const Json count{{"type", "integer"}, {"minimum", 0}};
  Json out;
  out["Problem"] = object({{"message", type("string")},
                           {"key_path", type("string")},
                           {"value", type("string")},
                           {"line", {{"type", "integer"}, {"minimum", 1}}},
                           {"column", {{"type", "integer"}, {"minimum", 1}}}},
                          {"line", "column"});
  out["Error"] = object({{"error", {{"type", "string"}, {"description", "for a person: what, and the way out"}}},
                         {"code", {{"type", "string"}, {"description", "the name of a gRPC code"}}},
                         {"reason", {{"type", "string"}, {"description", "for a machine: a stable word"}}},
                         {"problems", array_of(ref("Problem"))}},
                        {"problems"});
  out["ReplicaStatus"] = object({{"id", type("string")},
                                 {"state", {{"enum", {"PENDING", "STARTING", "READY", "DRAINING", "FAILED"}}}},
                                 {"reason", type("string")},
                                 {"pid", count},
                                 {"node", type("string")},
                                 {"restarts", count},
                                 {"since", time},
                                 {"phases", array_of(object({{"phase", type("string")}, {"seconds", type("number")}}))},
                                 {"last_error", type("string")},
                                 {"last_log_lines", array_of(type("string"))},
                                 {"address", type("string")},
                                 {"revision", count}});
  out["DeploymentStatus"] = object({{"name", type("string")},
                                    {"status", type("string")},
                                    {"message", type("string")},
                                    {"target_replicas", count},
                                    {"replicas", array_of(ref("ReplicaStatus"))}});
  out["AppStatus"] = object({{"name", type("string")},
                             {"status", type("string")},
                             {"message", type("string")},
                             {"revision", count},
                             {"epoch", count},
                             {"last_deployed", time},
                             {"route_prefix", nullable("string")},
                             {"deployments", array_of(ref("DeploymentStatus"))}});
  out["Applications"] = object({{"applications", array_of(ref("AppStatus"))}});
  const Json action = object({{"kind", type("string")},
                              {"app", type("string")},
                              {"deployment", type("string")},
                              {"keys", array_of(type("string"))},
                              {"from", type("string")},
                              {"to", type("string")},
                              {"text", type("string")}},
                             {"deployment", "keys", "from", "to"});
  out["Change"] = object({{"name", type("string")},
                          {"revision", count},
                          {"changed", type("boolean")},
                          {"dry_run", type("boolean")},
                          {"plan", object({{"actions", array_of(action)}})}});
  out["DocumentChange"] = object({{"applications", array_of(ref("Change"))}, {"deleted", array_of(type("string"))}});
  out["Node"] = object({{"id", type("string")},
                        {"host", type("string")},
                        {"zone", type("string")},
                        {"agent_address", type("string")},
                        {"alive", type("boolean")},
                        {"cpus", type("number")},
                        {"cpus_used", type("number")},
                        {"gpus", type("number")},
                        {"gpus_used", type("number")},
                        {"memory", count},
                        {"memory_used", count}});
  out["Nodes"] = object({{"nodes", array_of(ref("Node"))}});
  out["Proxy"] = object({{"id", type("string")},
                         {"address", type("string")},
                         {"node", type("string")},
                         {"zone", type("string")},
                         {"ongoing", count},
                         {"protocols", array_of(type("string"))}});
  out["Status"] = object({{"version", type("string")},
                          {"applications", array_of(ref("AppStatus"))},
                          {"proxies", array_of(ref("Proxy"))},
                          {"nodes", array_of(ref("Node"))},
                          {"nodes_error", nullable("string")}});
  out["Stopping"] = object({{"status", {{"const", "stopping"}}}});
  out["RayVersion"] = object({{"version", type("string")},
                              {"ray_version", type("string")},
                              {"ray_commit", type("string")},
                              {"session_name", type("string")}});
  out["RayDetails"] = {{"type", "object"}, {"required", {"proxies", "applications"}}};
  out["Anything"] = Json::object();
  return out;
}

// Both forms of one application: with deployments of our own, or the built-in app that import_path binds. The parser's
// checks that look at several keys (runtime against model) are said here, as far as JSON Schema can say them.
Json spec_schemas() {
  const Json document = Json::parse(app_schema_json());
  const Json app = document["properties"]["applications"]["items"];
  Json deployment = app["properties"]["deployments"]["items"];
  // The server's files: their paths are absolute here, while a spec file's may be relative to it.
  auto absolute = [](Json& model) {
    model["properties"]["path"]["pattern"] = "^/[^\\x00]*$";
    model["properties"]["library"]["pattern"] = "^(/[^\\x00]*)?$";
  };
  deployment["properties"]["model"]["anyOf"][0]["pattern"] = "^/[^\\x00]*$";
  absolute(deployment["properties"]["model"]["anyOf"][1]);
  absolute(deployment["properties"]["models"]["items"]);
  Json external = deployment;
  external["properties"]["runtime"]["enum"] = {"external"};
  external["properties"]["backend"]["anyOf"].erase(1);
  external["properties"]["backend"]["anyOf"][0]["properties"]["addresses"]["uniqueItems"] = true;
  for (const char* key : {"model", "models", "transform", "num_replicas"}) external["properties"].erase(key);
  external["required"].push_back("backend");
  for (const char* key : {"backend", "grpc_services"}) deployment["properties"].erase(key);
  Json onnx = deployment, echo = deployment;
  onnx["properties"]["runtime"]["enum"] = {"onnx"};
  onnx["properties"].erase("models");
  onnx["properties"]["model"]["anyOf"].erase(2);
  onnx["required"].push_back("model");
  Json several = deployment;
  several["properties"]["runtime"]["enum"] = {"onnx"};
  several["properties"].erase("model");
  several["properties"]["models"]["minItems"] = 1;
  several["required"].push_back("models");
  echo["properties"]["runtime"]["enum"] = {"echo"};
  for (const char* key : {"model", "models", "transform"}) echo["properties"].erase(key);
  echo["required"].push_back("runtime");

  Json out;
  out["Deployment"] = {
      {"oneOf", {ref("EchoDeployment"), ref("ModelDeployment"), ref("ModelsDeployment"), ref("ExternalDeployment")}}};
  out["ExternalDeployment"] = std::move(external);
  out["EchoDeployment"] = std::move(echo);
  out["ModelDeployment"] = std::move(onnx);
  out["ModelsDeployment"] = std::move(several);
  Json named = app;
  named["properties"].erase("import_path");
  named["properties"]["deployments"]["items"] = ref("Deployment");
  named["properties"]["deployments"]["minItems"] = 1;
  named["required"].push_back("deployments");
  Json unnamed = named;  // the name is in the path
  unnamed["properties"].erase("name");
  unnamed["required"] = {"deployments"};
  out["NamedApplication"] = named;
  out["Application"] = unnamed;
  out["AnySpec"] = {{"type", "object"}, {"required", {"name", "deployments"}}};
  out["Document"] = object({{"applications", array_of(ref("NamedApplication"))}});
  out["Document"]["properties"]["applications"]["maxItems"] = kMaxApps;
  Json ray_app = object({{"name", app["properties"]["name"]},
                         {"route_prefix", app["properties"]["route_prefix"]},
                         {"import_path", {{"const", kBuiltinEcho}}}},
                        {"name", "route_prefix"});
  out["RayDocument"] = object({{"applications", array_of(std::move(ray_app))}});
  out["Scale"] = object({{"target_num_replicas", {{"type", "integer"}, {"minimum", 0}, {"maximum", 10000}}}});
  return out;
}

}  // namespace

std::string openapi_schemas_json() {
  Json all = status_schemas();
  all.update(spec_schemas());
  return all.dump();
}

}  // namespace colony::keeper
