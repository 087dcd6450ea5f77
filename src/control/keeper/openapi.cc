// The OpenAPI 3.1 document of the control API, made from one table of operations and the schema of application specs
// (domain/spec_parse.h), which is the one that the parser uses. Routes are mounted in api.cc; api_test.cc compares the two.
#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "control/keeper/api_state.h"

namespace colony::keeper {
namespace {

using Json = nlohmann::ordered_json;

struct Operation {
  std::string_view method, path, id, tag, summary;
  std::initializer_list<std::string_view> params;  // names in kParams
  std::string_view body;                           // schema name, "" for none
  int status;
  std::string_view content, reply;  // of the good reply: content type, schema name
  std::initializer_list<int> errors;
};

const Operation kOperations[] = {
    {"get",
     "/api/v1/applications",
     "listApplications",
     "applications",
     "Status of every application",
     {},
     "",
     200,
     "application/json",
     "Applications",
     {}},
    {"put",
     "/api/v1/applications",
     "applyDocument",
     "applications",
     "Create or update every application of a document, one by one",
     {"dry_run", "prune"},
     "Document",
     200,
     "application/json",
     "DocumentChange",
     {409, 413, 415, 429}},
    {"get",
     "/api/v1/applications/{name}",
     "getApplication",
     "applications",
     "Status of one application",
     {"name"},
     "",
     200,
     "application/json",
     "AppStatus",
     {404}},
    {"put",
     "/api/v1/applications/{name}",
     "applyApplication",
     "applications",
     "Create or update one application",
     {"name", "dry_run", "revision"},
     "Application",
     200,
     "application/json",
     "Change",
     {409, 413, 415, 429}},
    {"delete",
     "/api/v1/applications/{name}",
     "deleteApplication",
     "applications",
     "Drain and stop everything of an application, then forget it",
     {"name", "dry_run", "revision"},
     "",
     200,
     "application/json",
     "Change",
     {404, 409}},
    {"get",
     "/api/v1/applications/{name}/spec",
     "getSpec",
     "applications",
     "The spec that was last accepted",
     {"name"},
     "",
     200,
     "application/json",
     "AnySpec",
     {404}},
    {"post",
     "/api/v1/applications/{name}/deployments/{deployment}/scale",
     "scale",
     "applications",
     "Set the number of replicas of one deployment",
     {"name", "deployment", "dry_run", "revision"},
     "Scale",
     200,
     "application/json",
     "Change",
     {404, 409, 412, 413, 415}},
    {"get",
     "/api/v1/applications/{name}/watch",
     "watchApplication",
     "streams",
     "Status of one application now and on every change, one JSON object per line; empty lines keep the connection "
     "alive",
     {"name"},
     "",
     200,
     "application/jsonl",
     "",
     {404}},
    {"get",
     "/api/v1/applications/{name}/logs",
     "getLogs",
     "streams",
     "The last lines of the replicas' logs; with follow=true what comes after them, too",
     {"name", "deployment_query", "replica", "lines", "follow"},
     "",
     200,
     "text/plain; charset=utf-8",
     "",
     {404}},
    {"get",
     "/api/v1/watch",
     "watchAll",
     "streams",
     "Status of all applications (or one) now and on every change",
     {"app"},
     "",
     200,
     "application/jsonl",
     "",
     {404}},
    {"get",
     "/api/v1/status",
     "getStatus",
     "house",
     "Applications, proxies, nodes and version",
     {},
     "",
     200,
     "application/json",
     "Status",
     {}},
    {"get",
     "/api/v1/nodes",
     "getNodes",
     "house",
     "The nodes and what of them is in use",
     {},
     "",
     200,
     "application/json",
     "Nodes",
     {}},
    {"post",
     "/api/v1/shutdown",
     "shutdown",
     "house",
     "Stop this Colony: drain, stop every replica, end",
     {},
     "",
     202,
     "application/json",
     "Stopping",
     {501}},
    {"get",
     "/api/v1/schema",
     "getSchema",
     "house",
     "JSON Schema of a document, for editors",
     {},
     "",
     200,
     "application/json",
     "Anything",
     {}},
    {"get", "/openapi.json", "getOpenapi", "house", "This document", {}, "", 200, "application/json", "Anything", {}},
    {"get",
     "/metrics",
     "getMetrics",
     "house",
     "Metrics in the Prometheus text format",
     {},
     "",
     200,
     "text/plain; version=0.0.4; charset=utf-8",
     "",
     {}},
    {"get",
     "/-/healthz",
     "getHealth",
     "house",
     "200 while this process serves; needs no token",
     {},
     "",
     200,
     "text/plain; charset=utf-8",
     "",
     {}},
    {"get",
     "/api/ray/version",
     "getRayVersion",
     "ray",
     "The version of Ray whose Serve REST API is spoken",
     {},
     "",
     200,
     "application/json",
     "RayVersion",
     {}},
    {"get",
     "/api/serve/applications/",
     "getRayApplications",
     "ray",
     "Ray Serve: ServeInstanceDetails",
     {"api_type"},
     "",
     200,
     "application/json",
     "RayDetails",
     {}},
    {"put",
     "/api/serve/applications/",
     "applyRayDocument",
     "ray",
     "Ray Serve: ServeDeploySchema; applications that it does not name stay, unless prune is true",
     {"dry_run", "prune"},
     "RayDocument",
     200,
     "application/json",
     "Anything",
     {409, 413, 415, 429}},
    {"delete",
     "/api/serve/applications/",
     "deleteRayApplications",
     "ray",
     "Ray Serve: delete every application",
     {},
     "",
     200,
     "application/json",
     "Anything",
     {}},
};

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

Json param(std::string_view name, std::string_view in, Json schema, std::string_view about) {
  return {
      {"name", name}, {"in", in}, {"required", in == "path"}, {"description", about}, {"schema", std::move(schema)}};
}

Json parameters() {
  const Json name{{"type", "string"}, {"pattern", "^[a-z0-9][-a-z0-9_.]{0,62}$"}};
  const Json lines{{"type", "integer"}, {"minimum", 0}, {"maximum", 100000}, {"default", 100}};
  const Json revision{{"type", "integer"}, {"minimum", 0}, {"maximum", INT64_MAX}};
  return {
      {"name", param("name", "path", name, "Name of the application")},
      {"deployment", param("deployment", "path", name, "Name of the deployment")},
      {"dry_run", param("dry_run", "query", type("boolean"), "Check everything and return the plan; change nothing")},
      {"prune", param("prune", "query", type("boolean"), "Delete the applications that the document does not name")},
      {"revision", param("revision", "query", revision,
                         "Refuse with 409 unless the application is at this revision (0: unless it does not exist)")},
      {"app", param("app", "query", name, "Only this application")},
      {"deployment_query", param("deployment", "query", type("string"), "Only replicas of this deployment")},
      {"replica", param("replica", "query", type("string"), "Only this replica, by its id")},
      {"lines", param("lines", "query", lines, "How many lines of each replica")},
      {"follow", param("follow", "query", type("boolean"), "Go on with what is written from now on")},
      {"api_type", param("api_type", "query", {{"type", "string"}, {"enum", {"declarative", "imperative"}}},
                         "As in Ray; everything here is declarative")},
  };
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
  out["Deployment"] = {{"oneOf", {ref("EchoDeployment"), ref("ModelDeployment"), ref("ModelsDeployment")}}};
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

std::string make(const std::string& version) {
  const std::map<int, std::string_view> errors = {{400, "The request is wrong; the body says what and where"},
                                                  {401, "A bearer token is needed, or is not the right one"},
                                                  {404, "There is no such thing; the body names what there is"},
                                                  {409, "A name is taken, or the revision is another one"},
                                                  {412, "What is kept does not allow it"},
                                                  {413, "The body is too large"},
                                                  {415, "The content type is not understood"},
                                                  {429, "A limit is reached"},
                                                  {500, "A fault of the server"},
                                                  {501, "This server was not started in a way that allows it"},
                                                  {503, "The server cannot do it now; try again"}};
  Json doc{{"openapi", "3.1.0"},
           {"info",
            {{"title", "Colony control API"},
             {"version", version.empty() ? "0" : version},
             {"license", {{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}}},
           {"security", Json::array({Json::object(), {{"bearer", Json::array()}}})},
           {"paths", Json::object()},
           {"components", Json::object()}};
  Json all_params = parameters();
  for (const Operation& op : kOperations) {
    Json params = Json::array();
    for (std::string_view p : op.params) params.push_back({{"$ref", fmt::format("#/components/parameters/{}", p)}});
    Json responses;
    Json content;
    content[std::string(op.content)]["schema"] = op.reply.empty() ? type("string") : ref(op.reply);
    responses[std::to_string(op.status)] = {{"description", "Done"}, {"content", content}};
    std::set<int> codes(op.errors);
    codes.insert({400, 401, 500, 503});
    for (const int code : codes)
      responses[std::to_string(code)] = {{"description", errors.at(code)},
                                         {"content", {{"application/json", {{"schema", ref("Error")}}}}}};
    Json one{{"operationId", op.id}, {"tags", {op.tag}}, {"summary", op.summary}, {"parameters", params}};
    if (!op.body.empty())
      one["requestBody"] = {
          {"required", true},
          {"content",
           {{"application/json", {{"schema", ref(op.body)}}}, {"application/yaml", {{"schema", ref(op.body)}}}}}};
    one["responses"] = std::move(responses);
    doc["paths"][std::string(op.path)][std::string(op.method)] = std::move(one);
  }
  doc["components"]["parameters"] = std::move(all_params);
  doc["components"]["securitySchemes"]["bearer"] = {{"type", "http"}, {"scheme", "bearer"}};
  Json schemas = status_schemas();
  schemas.update(spec_schemas());
  doc["components"]["schemas"] = std::move(schemas);
  return doc.dump(2) + "\n";
}

}  // namespace

const std::string& openapi_json(const std::string& version) {
  static const std::string text = make(version);  // one version per process
  return text;
}

}  // namespace colony::keeper
