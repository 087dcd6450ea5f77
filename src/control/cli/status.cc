// colony status and colony describe: what is there, as tables; the same as JSON or YAML.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "control/cli/print.h"
#include "control/cli/verbs.h"
#include "domain/spec_parse.h"
#include "domain/status_json.h"

namespace colony::cli {
namespace {

using nlohmann::json;

std::string detail(const ReplicaStatus& r) {
  if (!r.reason.empty()) return r.reason;
  if (r.state == ReplicaState::kStarting && !r.phases.empty())
    return fmt::format("{} {}", r.phases.back().phase, short_seconds(r.phases.back().seconds));
  return r.last_error;
}

void print_app(const AppStatus& s) {
  const bool tty = stdout_is_tty();
  fmt::print("{}  {}  revision {}{}{}\n", paint(Colour::kBold, s.name, tty),
             paint(colour_of_state(s.status), s.status, tty), s.revision,
             s.route_prefix.empty() ? "" : "  route " + s.route_prefix, s.message.empty() ? "" : "\n  " + s.message);
  Table table({"  REPLICA", "STATE", "PID", "NODE", "SINCE", "RESTARTS", "DETAIL"});
  for (const auto& d : s.deployments) {
    int ready = 0;
    for (const auto& r : d.replicas) ready += r.state == ReplicaState::kReady;
    fmt::print("  {}  {}  {}/{} ready\n", d.name, paint(colour_of_state(d.status), d.status, tty), ready,
               d.target_replicas);
    for (const auto& r : d.replicas)
      table.row({"  " + r.id, std::string(to_string(r.state)), r.pid ? std::to_string(r.pid) : "-", r.node,
                 since_text(to_rfc3339(r.since)), std::to_string(r.restarts), detail(r)});
  }
  if (!table.empty()) fmt::print("{}", table.text(1));
  for (const auto& d : s.deployments)
    for (const auto& r : d.replicas)
      for (const auto& line : r.last_log_lines)
        fmt::print("  {} {}\n", paint(Colour::kDim, r.id + " |", tty), readable_log_line(line));
}

}  // namespace

int status(const Common& common, const std::string& app) {
  auto target = find_target(common.address, common.token_file);
  if (!target) return finish(target.error());
  ControlClient client(*target);
  if (!app.empty()) {
    auto path = app_path(app);
    if (!path) return finish(path.error());
    auto body = client.call("GET", *path);
    if (!body) return finish(body.error());
    if (common.json) return fmt::print("{}\n", json::parse(*body, nullptr, false).dump(2)), 0;
    auto s = app_status_from_json(*body);
    if (!s) return finish(s.error());
    print_app(*s);
    return 0;
  }
  auto body = client.call("GET", "/api/v1/status");
  if (!body) return finish(body.error());
  auto doc = json::parse(*body, nullptr, false);
  if (common.json) return fmt::print("{}\n", doc.dump(2)), 0;
  auto apps = app_statuses_from_json(doc.value("applications", json::array()).dump());
  if (!apps) return finish(apps.error());
  if (apps->empty()) fmt::print("no applications; deploy one: colony apply -f app.yaml\n");
  for (const auto& s : *apps) {
    print_app(s);
    fmt::print("\n");
  }
  Table proxies({"PROXY", "ADDRESS", "NODE", "ONGOING"});
  for (const auto& p : doc.value("proxies", json::array()))
    proxies.row({p.value("id", ""), p.value("address", ""), p.value("node", ""),
                 std::to_string(p.value("ongoing", uint64_t{0}))});
  if (!proxies.empty()) fmt::print("{}", proxies.text());
  return 0;
}

int describe(const Common& common, const DescribeOptions& options) {
  auto target = find_target(common.address, common.token_file);
  if (!target) return finish(target.error());
  ControlClient client(*target);
  auto path = app_path(options.app);
  if (!path) return finish(path.error());
  auto spec = client.call("GET", *path + "/spec");
  if (!spec) return finish(spec.error());
  if (options.yaml) {
    auto parsed = parse_app({*spec, SpecFormat::kJson, {}, ModelPaths::kAny});
    if (!parsed) return finish(to_error(parsed.error()));
    fmt::print("{}", to_yaml_text({*parsed}));
    return 0;
  }
  auto body = client.call("GET", *path);
  if (!body) return finish(body.error());
  if (common.json) {
    json both{{"spec", json::parse(*spec, nullptr, false)}, {"status", json::parse(*body, nullptr, false)}};
    return fmt::print("{}\n", both.dump(2)), 0;
  }
  auto s = app_status_from_json(*body);
  if (!s) return finish(s.error());
  print_app(*s);
  const bool tty = stdout_is_tty();
  for (const auto& d : s->deployments)
    for (const auto& r : d.replicas) {
      std::string phases;
      for (const auto& p : r.phases)
        phases += fmt::format("{}{} {}", phases.empty() ? "" : ", ", p.phase, short_seconds(p.seconds));
      fmt::print("\n{}\n  address  {}\n  revision {}\n  phases   {}\n", paint(Colour::kBold, r.id, tty), r.address,
                 r.revision, phases);
      if (!r.last_error.empty()) fmt::print("  last error  {}\n", r.last_error);
    }
  auto parsed = parse_app({*spec, SpecFormat::kJson, {}, ModelPaths::kAny});
  if (parsed) fmt::print("\n{}\n{}", paint(Colour::kBold, "spec", tty), to_yaml_text({*parsed}));
  return 0;
}

}  // namespace colony::cli
