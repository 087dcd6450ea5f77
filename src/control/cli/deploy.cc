// The curl line is made from what the running model says of itself, so that it works when it is pasted.
#include "control/cli/deploy.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "control/cli/print.h"
#include "control/cli/verbs.h"
#include "domain/spec_parse.h"

namespace colony::cli {
namespace {

using nlohmann::json;
constexpr int64_t kMostShown = 64;  // elements of one input that are worth showing on a command line

// A body of zeros for the model's inputs, or nothing when it would not fit a line.
std::string sample_body(const json& metadata) {
  json inputs = json::array();
  for (const auto& in : metadata.value("inputs", json::array())) {
    int64_t elements = 1;
    json shape = json::array();
    for (const auto& d : in.value("shape", json::array())) {
      const int64_t n = d.is_number_integer() && d.get<int64_t>() > 0 ? d.get<int64_t>() : 1;
      shape.push_back(n);
      elements *= n;
      if (elements > kMostShown) return {};
    }
    const std::string type = in.value("datatype", "");
    if (type == "FP16" || type == "BF16") return {};
    json zero = type == "BYTES" ? json("text") : type == "BOOL" ? json(false) : json(0);
    inputs.push_back({{"name", in.value("name", "")},
                      {"datatype", type},
                      {"shape", shape},
                      {"data", json(static_cast<size_t>(elements), zero)}});
  }
  return inputs.empty() ? std::string() : json{{"inputs", inputs}}.dump();
}

}  // namespace

std::string usage(ControlClient& client, const std::string& http, const AppSpec& app) {
  const auto& ingress = app.ingress();
  const bool tls = http.starts_with("https://");
  const std::string url = tls ? http : "http://" + http, curl = tls ? "curl --cacert FILE" : "curl";
  if (!ingress.transform.empty() && !app.route_prefix.empty())
    return fmt::format("{} --data-binary @FILE {}{}", curl, url, app.route_prefix);
  if (ingress.runtime == "echo" && !app.route_prefix.empty())
    return fmt::format("{} -d hello {}{}", curl, url, app.route_prefix);
  if (ingress.external())  // a server of the user's own: what it answers, only the user knows
    return app.route_prefix.empty() ? "" : fmt::format("{} {}{}", curl, url, app.route_prefix);
  const auto model = app.model_names(ingress).front();
  // WHY no more: which authority to trust, only the user knows.
  if (tls) return fmt::format("{} {}/v2/models/{}   # its inputs", curl, url, model);
  auto reply = client.fetch(http, {"GET", "/v2/models/" + model, {{"host", http}}, {}}, 10s);
  std::string body;
  if (reply && reply->status == 200) body = sample_body(json::parse(reply->body, nullptr, false));
  if (body.empty())
    return fmt::format("curl {}/v2/models/{}   # its inputs; then: colony infer {} --npy NAME=FILE.npy", url, model,
                       app.name);
  return fmt::format("curl -d '{}' {}/v2/models/{}/infer", body, url, model);
}

int deploy(Target control, const std::string& http, const std::vector<AppSpec>& apps) {
  ControlClient client(std::move(control));
  const bool tty = stdout_is_tty();
  int code = 0;
  for (const auto& app : apps) {
    auto stored = client.call("PUT", "/api/v1/applications/" + app.name, to_json_text(app));
    if (!stored) {
      code = finish(stored.error());
      continue;
    }
    const auto doc = json::parse(*stored, nullptr, false);
    auto there = wait_for(client, app.name, doc.is_object() ? doc.value("revision", uint64_t{0}) : 0, false, 600);
    if (!there) {
      code = finish(there.error());
      continue;
    }
    fmt::print("  {}  {}\n  {}\n", app.name, paint(Colour::kGreen, "RUNNING", tty), usage(client, http, app));
    std::fflush(stdout);
  }
  return code;
}

}  // namespace colony::cli
