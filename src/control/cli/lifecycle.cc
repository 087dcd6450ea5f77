// colony scale, delete, logs, down, schema: the small verbs.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "control/cli/print.h"
#include "control/cli/verbs.h"
#include "domain/spec_parse.h"
#include "domain/status_json.h"

namespace colony::cli {

using nlohmann::json;

int scale(const Common& common, const ScaleOptions& options) {
  auto target = find_target(common.address, common.token_file);
  if (!target) return finish(target.error());
  ControlClient client(*target);
  std::string app = options.target, deployment;
  if (auto slash = app.find('/'); slash != std::string::npos) {
    deployment = app.substr(slash + 1);
    app.resize(slash);
  } else {
    auto path = app_path(app);
    if (!path) return finish(path.error());
    auto body = client.call("GET", *path);
    if (!body) return finish(body.error());
    auto s = app_status_from_json(*body);
    if (!s) return finish(s.error());
    if (s->deployments.size() != 1) {
      std::string names;
      for (const auto& d : s->deployments) names += fmt::format("{}{}/{}", names.empty() ? "" : ", ", app, d.name);
      return finish(invalid_argument(fmt::format("{} has several deployments; say which: {}", app, names)));
    }
    deployment = s->deployments[0].name;
  }
  auto path = app_path(app);
  if (!path) return finish(path.error());
  if (auto good = check_name("deployment", deployment); !good) return finish(good.error());
  auto done = client.call("POST", fmt::format("{}/deployments/{}/scale", *path, deployment),
                          json{{"target_num_replicas", options.replicas}}.dump());
  if (!done) return finish(done.error());
  auto doc = json::parse(*done, nullptr, false);
  if (options.wait) {
    auto waited =
        wait_for(client, app, doc.is_object() ? doc.value("revision", uint64_t{0}) : 0, false, options.timeout_s);
    if (!waited) return finish(waited.error());
  }
  if (common.json)
    fmt::print("{}\n", doc.dump(2));
  else
    fmt::print("{}/{} scaled to {}\n", app, deployment, options.replicas);
  return 0;
}

int remove(const Common& common, const DeleteOptions& options) {
  auto target = find_target(common.address, common.token_file);
  if (!target) return finish(target.error());
  ControlClient client(*target);
  auto path = app_path(options.app);
  if (!path) return finish(path.error());
  auto done = client.call("DELETE", *path);
  if (!done) return finish(done.error());
  if (options.wait) {
    auto waited = wait_for(client, options.app, 0, true, options.timeout_s);
    if (!waited) return finish(waited.error());
  }
  if (common.json)
    fmt::print("{}\n", json{{"name", options.app}, {"deleted", true}}.dump(2));
  else
    fmt::print("{} deleted\n", options.app);
  return 0;
}

int logs(const Common& common, const LogsOptions& options) {
  auto target = find_target(common.address, common.token_file);
  if (!target) return finish(target.error());
  ControlClient client(*target);
  auto app = app_path(options.app);
  if (!app) return finish(app.error());
  std::string path = fmt::format("{}/logs?lines={}", *app, options.lines);
  if (!options.replica.empty()) {
    if (auto good = check_name("replica", options.replica); !good) return finish(good.error());
    path += "&replica=" + options.replica;
  }
  const auto show = [&common](std::string_view line) {
    if (line.empty()) return;
    fmt::print("{}\n", common.json ? json_log_line(line) : readable_log_line(line));
  };
  if (!options.follow) {
    auto text = client.call("GET", path);
    if (!text) return finish(text.error());
    for (std::string_view rest = *text; !rest.empty();) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      show(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return 0;
  }
  auto done = client.follow(path + "&follow=true", [&show](std::string_view line) {
    show(line);
    std::fflush(stdout);
    return true;
  });
  return done ? 0 : finish(done.error());
}

int down(const Common& common) {
  auto target = find_target(common.address, common.token_file);
  if (!target) return finish(target.error());
  ControlClient client(*target);
  auto done = client.call("POST", "/api/v1/shutdown");
  if (!done) return finish(done.error());
  if (common.json)
    fmt::print("{}\n", *done);
  else
    fmt::print("Colony at {} is shutting down\n", target->address);
  return 0;
}

namespace {

Result<std::set<std::string>> proxies(ControlClient& client) {
  TRY(const auto text, client.call("GET", "/api/v1/status"));
  std::set<std::string> out;
  const auto doc = json::parse(text, nullptr, false);
  for (const auto& p : doc.is_object() ? doc.value("proxies", json::array()) : json::array())
    out.insert(p.value("id", ""));
  return out;
}

}  // namespace

int restart_proxy(const Common& common, double timeout_s) {
  auto target = find_target(common.address, common.token_file);
  if (!target) return finish(target.error());
  ControlClient client(*target);
  auto before = proxies(client);
  if (!before) return finish(before.error());
  if (auto begun = client.call("POST", "/api/v1/proxy/restart"); !begun) return finish(begun.error());
  const auto end = std::chrono::steady_clock::now() + from_seconds(timeout_s);
  while (std::chrono::steady_clock::now() < end) {
    auto now = proxies(client);
    const bool replaced =
        now && !now->empty() && std::ranges::none_of(*now, [&](const auto& id) { return before->contains(id); });
    if (replaced) {
      if (common.json)
        fmt::print("{}\n", json{{"proxy", *now->begin()}}.dump(2));
      else
        fmt::print("proxy {} has taken over\n", *now->begin());
      return 0;
    }
    std::this_thread::sleep_for(100ms);
  }
  return finish(deadline_exceeded(fmt::format(
      "the proxy was not replaced within {:g} s; the old one goes on; the log of colony up says why", timeout_s)));
}

int schema() {
  fmt::print("{}\n", app_schema_json());
  return 0;
}

}  // namespace colony::cli
