// Applications over HTTP: each handler reads its request, calls one verb of the keeper, writes its reply. Documents are
// parsed on the pool: a megabyte of YAML takes longer than the loop may be kept.
#include "control/keeper/api.h"

#include <fmt/format.h>

#include <set>

#include "base/log.h"
#include "control/keeper/api_state.h"
#include "domain/status_json.h"

namespace colony::keeper {
namespace {

constexpr size_t kMaxBody = kMaxSpecBytes;
using http::Reply;
using http::Request;

std::string app_of(const Request& r) { return std::string(r.header("path.name")); }

std::string node_json(const engine::NodeStatus& n) {
  return fmt::format(
      R"({{"id":{},"host":{},"zone":{},"agent_address":{},"alive":{},"cpus":{},"cpus_used":{},"gpus":{},"gpus_used":{},)"
      R"("memory":{},"memory_used":{}}})",
      json_string(n.id), json_string(n.host), json_string(n.zone), json_string(n.agent_address), n.alive, n.cpus,
      n.cpus_used, n.gpus, n.gpus_used, n.memory, n.memory_used);
}

std::string nodes_json(const std::vector<engine::NodeStatus>& nodes) {
  std::string out;
  for (const auto& n : nodes) out += (out.empty() ? "" : ",") + node_json(n);
  return "[" + out + "]";
}

std::string proxies_json(const discovery::TableView& table) {
  std::string out;
  for (const auto& [id, p] : table.proxies()) {
    std::string protocols;
    for (const std::string& s : p.protocols) protocols += (protocols.empty() ? "" : ",") + json_string(s);
    out += fmt::format(R"({}{{"id":{},"address":{},"node":{},"zone":{},"ongoing":{},"protocols":[{}]}})",
                       out.empty() ? "" : ",", json_string(p.id), json_string(p.address), json_string(p.node),
                       json_string(p.zone), p.ongoing, protocols);
  }
  return "[" + out + "]";
}

async::Task<Reply> answer_fixed(std::function<Reply()> make, Request request) {
  if (auto ok = check_params(request, {}); !ok) co_return error_as_reply(ok.error());
  co_return make();
}

Reply size_reply(const Request& r) {
  Reply reply = error_as_reply(invalid_argument(
      fmt::format("the body has {} bytes; at most {} are read", r.body.size(), kMaxBody), "body_too_large"));
  reply.status = 413;
  return reply;
}

}  // namespace

ControlApi::State::State(Deps d, Options o) : deps(d), options(std::move(o)), scope(d.loop) {
  subscription = deps.discovery.subscribe([this](const TableUpdate& u) { table.apply(u); });
}

ControlApi::ControlApi(Deps deps, Options options) : state_(std::make_unique<State>(deps, std::move(options))) {}
ControlApi::~ControlApi() = default;
void ControlApi::stop() { state_->scope.stop(); }

async::Task<Reply> ControlApi::State::list_apps(Request request) {
  if (auto ok = check_params(request, {}); !ok) co_return error_as_reply(ok.error());
  co_return json_reply(200, fmt::format(R"({{"applications":{}}})", to_json_text(deps.keeper.statuses())));
}

async::Task<Reply> ControlApi::State::get_app(Request request) {
  if (auto ok = check_params(request, {}); !ok) co_return error_as_reply(ok.error());
  auto status = deps.keeper.status(app_of(request));
  co_return status ? json_reply(200, to_json_text(*status)) : error_as_reply(status.error());
}

async::Task<Reply> ControlApi::State::get_spec(Request request) {
  if (auto ok = check_params(request, {}); !ok) co_return error_as_reply(ok.error());
  auto spec = deps.keeper.spec(app_of(request));
  co_return spec ? json_reply(200, to_json_text(*spec)) : error_as_reply(spec.error());
}

async::Task<Reply> ControlApi::State::put_app(Request request) {
  if (auto ok = check_params(request, {"dry_run", "revision"}); !ok) co_return error_as_reply(ok.error());
  auto change = change_options(request);
  if (!change) co_return error_as_reply(change.error());
  const auto format = body_format(request);
  if (!format) co_return unsupported_type(request);
  if (request.body.size() > kMaxBody) co_return size_reply(request);
  const std::string name = app_of(request);
  auto parse = [&] {
    return Result<Checked<AppSpec>>(parse_app(SpecSource{request.body, *format, {}, ModelPaths::kAbsolute}, name));
  };
  auto parsed = co_await deps.pool.run(deps.loop, parse);
  if (!parsed) co_return error_as_reply(parsed.error());
  if (!*parsed) co_return problems_reply(parsed->error());
  auto done = co_await deps.keeper.apply(std::move(**parsed), *change);
  if (!done) co_return error_as_reply(done.error());
  co_return json_reply(200, change_json(*done, change->dry_run));
}

// Everything is checked before anything is done, as far as one can know; then one by one.
async::Task<ControlApi::State::Applied> ControlApi::State::apply_all(std::vector<AppSpec> specs, ChangeOptions change,
                                                                     bool prune) {
  Applied out;
  std::set<std::string> wanted;
  for (const AppSpec& s : specs) wanted.insert(s.name);
  const bool only_dry = change.dry_run;
  for (const bool dry : {true, false}) {
    if (!dry && only_dry) break;
    change.dry_run = dry;
    out.changes.clear();
    for (const AppSpec& s : specs) {
      auto done = co_await deps.keeper.apply(s, change);
      if (!done) {
        if (dry) out.changes.clear();
        out.error = std::move(done).error();
        co_return out;
      }
      out.changes.push_back(std::move(*done));
    }
  }
  if (!prune) co_return out;
  for (const std::string& name : deps.keeper.names()) {
    if (wanted.contains(name)) continue;
    auto done = co_await deps.keeper.remove(name, ChangeOptions{{}, only_dry});
    if (!done) {
      out.error = std::move(done).error();
      co_return out;
    }
    out.deleted.push_back(name);
  }
  co_return out;
}

async::Task<Reply> ControlApi::State::put_document(Request request) {
  if (auto ok = check_params(request, {"dry_run", "prune"}); !ok) co_return error_as_reply(ok.error());
  auto dry_run = flag_param(request, "dry_run");
  if (!dry_run) co_return error_as_reply(dry_run.error());
  auto prune = flag_param(request, "prune");
  if (!prune) co_return error_as_reply(prune.error());
  const auto format = body_format(request);
  if (!format) co_return unsupported_type(request);
  if (request.body.size() > kMaxBody) co_return size_reply(request);
  auto parse = [&] {
    return Result<Checked<std::vector<AppSpec>>>(
        parse_document(SpecSource{request.body, *format, {}, ModelPaths::kAbsolute}));
  };
  auto parsed = co_await deps.pool.run(deps.loop, parse);
  if (!parsed) co_return error_as_reply(parsed.error());
  if (!*parsed) co_return problems_reply(parsed->error());
  Applied done = co_await apply_all(std::move(**parsed), ChangeOptions{{}, *dry_run}, *prune);
  if (done.error) {
    std::string names;
    for (const Change& c : done.changes) names += (names.empty() ? "" : ", ") + c.name;
    Error e = *done.error;
    if (!names.empty()) e.message += fmt::format(" (before that these were applied: {})", names);
    co_return error_as_reply(e);
  }
  std::string changes, deleted;
  for (const Change& c : done.changes) changes += (changes.empty() ? "" : ",") + change_json(c, *dry_run);
  for (const std::string& n : done.deleted) deleted += (deleted.empty() ? "" : ",") + json_string(n);
  co_return json_reply(200, fmt::format(R"({{"applications":[{}],"deleted":[{}]}})", changes, deleted));
}

async::Task<Reply> ControlApi::State::delete_app(Request request) {
  if (auto ok = check_params(request, {"dry_run", "revision"}); !ok) co_return error_as_reply(ok.error());
  auto change = change_options(request);
  if (!change) co_return error_as_reply(change.error());
  auto done = co_await deps.keeper.remove(app_of(request), *change);
  if (!done) co_return error_as_reply(done.error());
  co_return json_reply(200, change_json(*done, change->dry_run));
}

async::Task<Reply> ControlApi::State::scale(Request request) {
  if (auto ok = check_params(request, {"dry_run", "revision"}); !ok) co_return error_as_reply(ok.error());
  auto change = change_options(request);
  if (!change) co_return error_as_reply(change.error());
  const auto format = body_format(request);
  if (!format) co_return unsupported_type(request);
  if (request.body.size() > kMaxBody) co_return size_reply(request);
  auto replicas = parse_scale(SpecSource{request.body, *format, {}, ModelPaths::kAny});
  if (!replicas) co_return problems_reply(replicas.error());
  auto done =
      co_await deps.keeper.scale(app_of(request), std::string(request.header("path.deployment")), *replicas, *change);
  if (!done) co_return error_as_reply(done.error());
  co_return json_reply(200, change_json(*done, change->dry_run));
}

async::Task<Reply> ControlApi::State::get_status(Request request) {
  if (auto ok = check_params(request, {}); !ok) co_return error_as_reply(ok.error());
  auto nodes = co_await deps.engine.nodes();
  co_return json_reply(
      200, fmt::format(R"({{"version":{},"applications":{},"proxies":{},"nodes":{},"nodes_error":{}}})",
                       json_string(options.version), to_json_text(deps.keeper.statuses()), proxies_json(table),
                       nodes ? nodes_json(*nodes) : "[]", nodes ? "null" : json_string(nodes.error().message)));
}

async::Task<Reply> ControlApi::State::get_metrics(Request) {
  Reply r = text_reply(200, co_await options.metrics());
  r.content_type = "text/plain; version=0.0.4; charset=utf-8";
  co_return r;
}

async::Task<Reply> ControlApi::State::get_nodes(Request request) {
  if (auto ok = check_params(request, {}); !ok) co_return error_as_reply(ok.error());
  auto nodes = co_await deps.engine.nodes();
  if (!nodes) co_return error_as_reply(nodes.error());
  co_return json_reply(200, fmt::format(R"({{"nodes":{}}})", nodes_json(*nodes)));
}

async::Task<Reply> ControlApi::State::post_shutdown(Request request) {
  if (auto ok = check_params(request, {}); !ok) co_return error_as_reply(ok.error());
  if (!options.shutdown)
    co_return error_as_reply(unimplemented("this keeper was not started by colony up; stop it where it was started"));
  // After the turn that sends the reply.
  deps.loop.post([&loop = deps.loop, stop = options.shutdown] { loop.post(stop); });
  co_return json_reply(202, R"({"status":"stopping"})");
}

async::Task<Reply> ControlApi::State::post_restart_proxy(Request request) {
  if (auto ok = check_params(request, {}); !ok) co_return error_as_reply(ok.error());
  if (!options.restart_proxy)
    co_return error_as_reply(
        unimplemented("the proxy is part of this process; colony up --processes has one that can be restarted alone"));
  options.restart_proxy();
  co_return json_reply(202, R"({"status":"restarting"})");
}

void ControlApi::mount(http::Router& router) {
  State* s = state_.get();
  if (!s->options.token.empty())
    router.guard([s](const Request& request) -> Result<void> {
      if (request.path == "/-/healthz") return {};
      const std::string_view given = request.header("authorization");
      constexpr std::string_view kScheme = "Bearer ";
      if (given.starts_with(kScheme) && same_secret(given.substr(kScheme.size()), s->options.token)) return {};
      return fail(Error{Code::kUnauthenticated,
                        given.empty() ? "a bearer token is needed: Authorization: Bearer TOKEN (--token-file)"
                                      : "the bearer token is not the one of this server",
                        "unauthenticated", Origin::kClient, Retry::kNo});
    });
  using Handler = async::Task<Reply> (State::*)(Request);
  auto on = [&](std::string_view method, std::string_view pattern, Handler handler) {
    router.unary(method, pattern, [s, handler](Request r) { return (s->*handler)(std::move(r)); });
  };
  auto stream_on = [&](std::string_view pattern, async::Task<void> (State::*handler)(Request, http::ReplyStream&)) {
    router.stream("GET", pattern,
                  [s, handler](Request r, http::ReplyStream& out) { return (s->*handler)(std::move(r), out); });
  };
  auto fixed = [&](std::string_view pattern, std::function<Reply()> make) {
    router.unary("GET", pattern, [make](Request r) { return answer_fixed(make, std::move(r)); });
  };
  on("GET", "/api/v1/applications", &State::list_apps);
  on("PUT", "/api/v1/applications", &State::put_document);
  on("GET", "/api/v1/applications/{name}", &State::get_app);
  on("PUT", "/api/v1/applications/{name}", &State::put_app);
  on("DELETE", "/api/v1/applications/{name}", &State::delete_app);
  on("GET", "/api/v1/applications/{name}/spec", &State::get_spec);
  on("POST", "/api/v1/applications/{name}/deployments/{deployment}/scale", &State::scale);
  stream_on("/api/v1/applications/{name}/watch", &State::watch_app);
  stream_on("/api/v1/applications/{name}/logs", &State::logs);
  stream_on("/api/v1/watch", &State::watch_all);
  on("GET", "/api/v1/status", &State::get_status);
  on("GET", "/api/v1/nodes", &State::get_nodes);
  on("POST", "/api/v1/shutdown", &State::post_shutdown);
  on("POST", "/api/v1/proxy/restart", &State::post_restart_proxy);
  fixed("/api/v1/schema", [] { return json_reply(200, app_schema_json()); });
  fixed("/openapi.json", [s] { return json_reply(200, openapi_json(s->options.version)); });
  fixed("/-/healthz", [] { return text_reply(200, "success\n"); });
  if (s->options.metrics) on("GET", "/metrics", &State::get_metrics);
  fixed("/api/ray/version", [] { return json_reply(200, ray_version_json()); });
  for (const std::string_view path : {"/api/serve/applications/", "/api/serve/applications"}) {
    on("GET", path, &State::ray_get);
    on("PUT", path, &State::ray_put);
    on("DELETE", path, &State::ray_delete);
  }
}

}  // namespace colony::keeper
