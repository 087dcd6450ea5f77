// colony infer: learns the data address from the control API and asks the proxy like any client; prints a readable answer.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "control/cli/npy.h"
#include "control/cli/print.h"
#include "control/cli/verbs.h"
#include "domain/spec_parse.h"

namespace colony::cli {
namespace {

using nlohmann::json;
constexpr size_t kMaxFile = 256u << 20;  // LIMIT: bytes of one --file
constexpr Duration kAnswerGrace = 2s;    // the server answers at the deadline; its reason is worth this wait

// A file, or a pipe, or "-" for standard input.
Result<std::string> slurp(const std::string& path) {
  std::string bytes;
  std::FILE* in = path == "-" ? stdin : std::fopen(path.c_str(), "rbe");
  char buffer[1 << 16];
  size_t n = 0;
  while (in && bytes.size() <= kMaxFile && (n = std::fread(buffer, 1, sizeof buffer, in)) > 0) bytes.append(buffer, n);
  const bool bad = !in || std::ferror(in) != 0;
  const int why = errno;
  if (in && in != stdin) std::fclose(in);
  if (bad) return fail(invalid_argument(fmt::format("{}: cannot be read ({})", path, std::strerror(why))));
  if (bytes.size() > kMaxFile)
    return fail(invalid_argument(fmt::format("{}: more than {} bytes; that many are sent at most", path, kMaxFile)));
  return bytes;
}

// A request to an application that nobody serves would wait for its whole time: said at once, with the reason.
Result<void> check_served(const json& status, const std::string& name) {
  for (const auto& app : status.value("applications", json::array())) {
    if (app.value("name", "") != name || app.value("status", "") != "DEPLOY_FAILED") continue;
    for (const auto& d : app.value("deployments", json::array()))
      for (const auto& r : d.value("replicas", json::array()))
        if (r.value("state", "") == "READY") return {};
    return fail(unavailable(fmt::format("{} serves nothing: DEPLOY_FAILED: {}", name, app.value("message", "")),
                            "deploy_failed"));
  }
  return {};
}

struct Place {
  std::string address;  // of a proxy
  std::string route;    // "" when the app has none
  std::string model;    // OIP name
};

Result<Place> find_place(ControlClient& client, const std::string& target) {
  Place place;
  TRY(auto status_text, client.call("GET", "/api/v1/status"));
  const auto status = json::parse(status_text, nullptr, false);
  for (const auto& p : status.value("proxies", json::array()))
    if (place.address.empty()) place.address = p.value("address", "");
  if (place.address.empty()) return fail(unavailable("no proxy is ready; see `colony status`", "no_proxy"));
  if (place.address.starts_with("https://"))
    return fail(unimplemented(fmt::format(
        "the proxy speaks TLS, which this command does not; ask it with curl --cacert FILE {}/...", place.address)));
  const auto dot = target.find('.');
  for (const auto& name : {target, target.substr(0, dot)}) {
    auto spec = client.call("GET", "/api/v1/applications/" + name + "/spec");
    if (!spec) {
      if (spec.error().code == Code::kNotFound) continue;
      return fail(std::move(spec).error());
    }
    TRY_VOID(check_served(status, name));
    auto app = parse_app({*spec, SpecFormat::kJson, {}, ModelPaths::kAny});
    if (!app) return fail(to_error(app.error()));
    if (const auto& ingress = app->ingress(); name == target && ingress.external())
      return fail(
          invalid_argument(fmt::format("{} is a server of your own and serves no model here: ask it at http://{}{}",
                                       name, place.address, app->route_prefix)));
    if (name == target) {
      place.route = app->route_prefix;
      place.model = app->model_names(app->ingress()).front();
    } else {
      place.model = target;
    }
    return place;
  }
  place.model = target;  // a model's own name
  TRY(auto reply, client.fetch(place.address, {"GET", "/v2/models/" + target, {{"host", place.address}}, {}}, 10s));
  if (reply.status != 404) return place;
  std::string names;
  for (const auto& app : status.value("applications", json::array()))
    names += (names.empty() ? "" : ", ") + app.value("name", "");
  return fail(not_found(
      fmt::format("there is no application or model {}; there are: {}", target, names.empty() ? "none" : names)));
}

std::string preview(const json& data) {
  std::string out;
  size_t n = 0;
  for (const auto& v : data) {
    if (++n > 8) return out + ", …";
    out += (out.empty() ? "" : ", ") + v.dump();
  }
  return out;
}

void print_answer(const http::ClientReply& reply, bool raw_json) {
  const auto doc = json::parse(reply.body, nullptr, false);
  if (doc.is_discarded()) {
    std::fwrite(reply.body.data(), 1, reply.body.size(), stdout);
    if (!reply.body.ends_with('\n')) std::fputc('\n', stdout);
    return;
  }
  if (raw_json || !doc.is_object() || !doc.contains("outputs")) {
    fmt::print("{}\n", doc.dump(2, ' ', false, json::error_handler_t::replace));
    return;
  }
  Table table({"OUTPUT", "DATATYPE", "SHAPE", "DATA"});
  for (const auto& o : doc["outputs"])
    table.row({o.value("name", ""), o.value("datatype", ""), o.value("shape", json::array()).dump(),
               preview(o.value("data", json::array()))});
  fmt::print("{}", table.text());
}

// One infer body with binary tensors, as OIP's binary extension lays it out.
Result<http::ClientRequest> tensors(ControlClient& client, const Place& place, const InferOptions& options) {
  std::vector<std::pair<std::string, std::string>> named;  // name, file
  if (!options.file.empty()) {
    TRY(auto reply,
        client.fetch(place.address, {"GET", "/v2/models/" + place.model, {{"host", place.address}}, {}}, 10s));
    const auto meta = json::parse(reply.body, nullptr, false);
    if (reply.status != 200 || !meta.is_object())
      return fail(not_found(fmt::format("model {}: {}", place.model, reply.body)));
    const auto inputs = meta.value("inputs", json::array());
    if (inputs.size() != 1)
      return fail(invalid_argument(
          fmt::format("model {} has {} inputs; name them: --npy NAME=FILE.npy", place.model, inputs.size())));
    named.emplace_back(inputs[0].value("name", ""), options.file);
  }
  for (const auto& text : options.npy) {
    const auto eq = text.find('=');
    if (eq == std::string::npos) return fail(invalid_argument(fmt::format("--npy {}: give NAME=FILE.npy", text)));
    named.emplace_back(text.substr(0, eq), text.substr(eq + 1));
  }
  json body{{"inputs", json::array()}};
  std::string binary;
  for (const auto& [name, file] : named) {
    TRY(auto bytes, slurp(file));
    auto array = parse_npy(bytes);
    if (!array) return fail(std::move(array).error().within(file));
    body["inputs"].push_back({{"name", name},
                              {"datatype", array->datatype},
                              {"shape", array->shape},
                              {"parameters", {{"binary_data_size", array->data.size()}}}});
    binary += array->data;
  }
  const std::string head = body.dump();
  return http::ClientRequest{
      "POST",
      "/v2/models/" + place.model + "/infer",
      {{"content-type", "application/octet-stream"}, {"inference-header-content-length", std::to_string(head.size())}},
      head + binary};
}

}  // namespace

int infer(const Common& common, const InferOptions& options) {
  const int ways = !options.file.empty() + !options.json.empty() + !options.npy.empty();
  if (ways != 1) return finish(invalid_argument("infer: give one of --file FILE, --json TEXT or --npy NAME=FILE.npy"));
  auto target = find_target(common.address, common.token_file);
  if (!target) return finish(target.error());
  if (auto good = check_name("application or model", options.target); !good) return finish(good.error());
  ControlClient client(*target);
  auto place = find_place(client, options.target);
  if (!place) return finish(place.error());

  http::ClientRequest request{"POST", place->route, {}, {}};
  if (!options.npy.empty() || options.file.ends_with(".npy")) {
    auto built = tensors(client, *place, options);
    if (!built) return finish(built.error());
    request = std::move(*built);
  } else if (!options.json.empty()) {
    const auto doc = json::parse(options.json, nullptr, false);
    if (doc.is_discarded()) return finish(invalid_argument("--json: is not JSON"));
    request.headers.emplace_back("content-type", "application/json");
    request.body = options.json;
    if (doc.is_object() && doc.contains("inputs")) request.target = "/v2/models/" + place->model + "/infer";
  } else {
    auto bytes = slurp(options.file);
    if (!bytes) return finish(bytes.error());
    request.headers.emplace_back("content-type", "application/octet-stream");
    request.body = std::move(*bytes);
  }
  if (request.target.empty())
    return finish(invalid_argument(fmt::format(
        "{} has no route; send tensors: --json '{{\"inputs\":[…]}}' or --npy NAME=FILE.npy", options.target)));
  request.headers.emplace_back("host", place->address);
  request.headers.emplace_back("x-request-timeout-ms", fmt::format("{:.0f}", std::ceil(options.timeout_s * 1e3)));
  auto reply = client.fetch(place->address, std::move(request), from_seconds(options.timeout_s) + kAnswerGrace);
  if (!reply) return finish(std::move(reply).error().within("proxy " + place->address));
  if (reply->status >= 300) {
    const auto doc = json::parse(reply->body, nullptr, false);
    std::string message = doc.is_object() && doc.contains("error") && doc["error"].is_string()
                              ? doc["error"].get<std::string>()
                              : reply->body.substr(0, 300);
    return finish(Error{
        code_from_http(reply->status), fmt::format("{} answered {}: {}", options.target, reply->status, message), {}});
  }
  print_answer(*reply, common.json);
  return 0;
}

}  // namespace colony::cli
