// Ready means that requests can be routed: a table has arrived and the proxy does not drain.
#include "request/proxy/builtin.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "colony/version.h"

namespace colony::proxy {
namespace {

using Json = nlohmann::json;

std::string dump(const Json& j) { return j.dump(-1, ' ', false, Json::error_handler_t::replace); }

bool ready(const ServerView& v) { return v.routes && !v.draining; }

BuiltinReply refusal(int status, std::string_view message, std::string_view code, std::string_view reason,
                     std::string_view extra = {}) {
  return {.status = status,
          .body = dump({{"error", message}, {"code", code}, {"reason", reason}}),
          .extra = fmt::format("x-colony-reason: {}\r\n{}", reason, extra)};
}

BuiltinReply not_ready(const ServerView& v) {
  const std::string_view why = v.draining ? "the proxy is draining" : "no routing table has arrived yet";
  return refusal(503, why, "UNAVAILABLE", v.draining ? "draining" : "no_table", "retry-after: 1\r\n");
}

BuiltinReply wrong_method(std::string_view method, std::string_view path, std::string_view allow) {
  return refusal(405, fmt::format("{} answers {}, not {}", path, allow, method), "INVALID_ARGUMENT",
                 "method_not_allowed", fmt::format("allow: {}\r\n", allow));
}

BuiltinReply models(const ServerView& v, bool index) {
  Json list = Json::array();
  if (v.routes)
    for (const auto& m : v.routes->models()) {
      const bool ready = index && v.serves(m);
      list.push_back(index ? Json{{"name", m},
                                  {"version", v.routes->model_version(m)},
                                  {"state", ready ? "READY" : "UNAVAILABLE"},
                                  {"reason", ready ? "" : "no replica is ready"}}
                           : Json(m));
    }
  return {.body = dump(index ? list : Json{{"models", list}})};
}

BuiltinReply statistics(const ServerView& v) {
  Json list = Json::array();
  for (const ModelCounts& m : v.counts ? v.counts() : std::vector<ModelCounts>())
    list.push_back({{"name", m.model},
                    {"version", m.version},
                    {"inference_count", m.ok},
                    {"execution_count", m.ok},
                    {"inference_stats",
                     {{"success", {{"count", m.ok}, {"ns", m.ok_ns}}}, {"fail", {{"count", m.failed}, {"ns", 0}}}}}});
  return {.body = dump({{"model_stats", list}})};
}

}  // namespace

BuiltinReply answer_builtin(std::string_view method, std::string_view path, const ServerView& v) {
  if (path == "*")  // OPTIONS about the server as a whole: every route answers what it likes
    return {.status = 204, .content_type = "", .extra = "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"};
  if (path == "/v2/repository/index") return method == "POST" ? models(v, true) : wrong_method(method, path, "POST");
  if (method != "GET" && method != "HEAD") return wrong_method(method, path, "GET, HEAD");
  if (path == "/-/healthz") {
    if (!ready(v)) return not_ready(v);
    return {.content_type = "text/plain", .body = "success"};
  }
  if (path == "/-/routes") {
    Json routes = Json::object();
    if (v.routes)
      for (const auto& [prefix, app] : v.routes->prefixes()) routes[prefix] = app;
    return {.body = dump(routes)};
  }
  if (path == "/v2" || path == "/v2/")
    return {.body = dump({{"name", kServerName}, {"version", COLONY_VERSION}, {"extensions", kExtensions}})};
  if (path == "/v2/health/live") return {.body = dump({{"live", true}})};
  if (path == "/v2/health/ready") return ready(v) ? BuiltinReply{.body = dump({{"ready", true}})} : not_ready(v);
  if (path == "/v2/models" || path == "/v2/models/") return models(v, false);
  if (path == "/v2/models/stats") return statistics(v);
  return refusal(404, fmt::format("no page '{}'; there are /-/healthz and /-/routes", path.substr(0, 200)), "NOT_FOUND",
                 "unknown_route");
}

Error route_error(std::string_view path, std::string_view reason, const RouteTable& routes) {
  const std::string shown(path.substr(0, 200));
  if (reason == "unknown_model")
    return not_found(fmt::format("'{}' names no model that is served here ({})", shown, routes.what_exists()),
                     "unknown_model");
  if (reason == "unknown_service")
    return unimplemented(fmt::format("no app serves the gRPC method '{}' ({})", shown, routes.what_exists()),
                         "unknown_service");
  return not_found(fmt::format("no app answers at '{}' ({})", shown, routes.what_exists()), "unknown_route");
}

}  // namespace colony::proxy
