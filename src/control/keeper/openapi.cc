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
     "/api/v1/proxy/restart",
     "restartProxy",
     "house",
     "Replace the proxy by a new process that takes its sockets over; no request fails",
     {},
     "",
     202,
     "application/json",
     "Begun",
     {501}},
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
  doc["components"]["schemas"] = Json::parse(openapi_schemas_json());
  return doc.dump(2) + "\n";
}

}  // namespace

const std::string& openapi_json(const std::string& version) {
  static const std::string text = make(version);  // one version per process
  return text;
}

}  // namespace colony::keeper
