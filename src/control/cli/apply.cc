// colony apply: reads the files (all problems at once), shows the plan, stores each app, then follows it until READY or
// the reason why not.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "control/cli/print.h"
#include "control/cli/verbs.h"
#include "domain/spec_parse.h"
#include "domain/status_json.h"

namespace colony::cli {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

Result<std::string> read_file(const std::string& path) {
  if (path == "-") {
    std::stringstream all;
    all << std::cin.rdbuf();
    return all.str();
  }
  std::error_code ec;
  if (fs::is_directory(path, ec))
    return fail(invalid_argument(fmt::format("{}: is a directory; give a YAML file", path)));
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(invalid_argument(fmt::format("{}: cannot be read ({})", path, std::strerror(errno))));
  std::string text(kMaxSpecBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

void print_plan(const json& plan) {
  const bool tty = stdout_is_tty();
  if (!plan.contains("actions") || plan["actions"].empty()) {
    fmt::print("  {}\n", paint(Colour::kDim, "no change", tty));
    return;
  }
  for (const auto& action : plan["actions"]) {
    const std::string text = action.is_object() ? action.value("text", action.dump()) : action.dump();
    const std::string kind = action.is_object() ? action.value("kind", "") : "";
    const Colour colour = kind.starts_with("create")   ? Colour::kGreen
                          : kind.starts_with("delete") ? Colour::kRed
                                                       : Colour::kYellow;
    fmt::print("  {} {}\n",
               paint(colour,
                     kind.starts_with("create")   ? "+"
                     : kind.starts_with("delete") ? "-"
                                                  : "~",
                     tty),
               text);
  }
}

std::string progress_text(const AppStatus& s) {
  std::string text = fmt::format("{} {}", s.name, s.status);
  for (const auto& d : s.deployments) {
    int ready = 0;
    std::string phase;
    for (const auto& r : d.replicas) {
      ready += r.state == ReplicaState::kReady;
      if (r.state == ReplicaState::kStarting && phase.empty())
        phase = r.phases.empty() ? "starting" : r.phases.back().phase;
    }
    text += fmt::format("  {} {}/{}{}", d.name, ready, d.target_replicas, phase.empty() ? "" : " (" + phase + ")");
  }
  return text;
}

}  // namespace

int finish(const Error& error) {
  fmt::print(stderr, "colony: {}\n", error.message);
  return exit_code(error.code);
}

Result<std::vector<AppSpec>> read_specs(const std::vector<std::string>& files) {
  std::vector<AppSpec> specs;
  Problems problems;
  for (const auto& file : files) {
    TRY(auto text, read_file(file));
    const auto format = file.ends_with(".json") ? SpecFormat::kJson : SpecFormat::kYaml;
    auto parsed = parse_document({text, format, file == "-" ? "<stdin>" : std::string_view(file), ModelPaths::kAny});
    if (!parsed) {
      problems.insert(problems.end(), parsed.error().begin(), parsed.error().end());
      continue;
    }
    const fs::path folder = file == "-" ? fs::current_path() : fs::absolute(file).parent_path();
    for (auto& app : *parsed) {
      make_paths_absolute(app, folder.lexically_normal().string());
      specs.push_back(std::move(app));
    }
  }
  if (!problems.empty()) return fail(to_error(problems));
  return specs;
}

Result<AppSpec> app_of_model(const std::string& path) {
  std::string name;
  for (const char c : fs::path(path).stem().string()) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else if (!name.empty() && !name.ends_with('-'))
      name += '-';
  }
  while (name.ends_with('-')) name.pop_back();
  if (name.empty()) name = "model";
  const json spec{{"name", name.substr(0, 63)},
                  {"deployments", {{{"name", "model"}, {"runtime", "onnx"}, {"model", {{"path", path}}}}}}};
  auto parsed = parse_app({spec.dump(), SpecFormat::kJson, path, ModelPaths::kAny});
  if (!parsed) return fail(to_error(parsed.error()));
  return *parsed;
}

Result<void> wait_for(ControlClient& client, const std::string& app, uint64_t revision, bool until_gone,
                      double timeout_s) {
  Progress progress;
  std::optional<Result<void>> outcome;
  const auto give_up = std::chrono::steady_clock::now() + from_seconds(timeout_s);
  AppStatus last;
  while (!outcome) {
    auto followed = client.follow(fmt::format("/api/v1/applications/{}/watch", app), [&](std::string_view line) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      if (line.empty()) return true;
      auto s = app_status_from_json(line);
      if (!s || s->name != app) return true;
      last = *s;
      progress.show(progress_text(*s));
      if (until_gone) {
        if (s->status == "DELETED") outcome = Result<void>{};
      } else if (s->revision >= revision) {
        if (s->status == "RUNNING") outcome = Result<void>{};
        if (s->status == "DEPLOY_FAILED")
          outcome =
              fail(Error{Code::kInternal, fmt::format("{}: DEPLOY_FAILED: {}", app, s->message), "deploy_failed"});
        if (s->status == "DELETED" || s->status == "DELETING")
          outcome = fail(Error{Code::kAborted, fmt::format("{}: was deleted meanwhile", app), "deleted"});
      }
      return !outcome.has_value();
    });
    if (outcome) break;
    if (!followed && followed.error().code == Code::kNotFound) {
      if (until_gone) return {};
      return fail(std::move(followed).error());
    }
    if (std::chrono::steady_clock::now() > give_up)
      return fail(deadline_exceeded(fmt::format("{}: not there after {:.0f} s; last seen {}{}{}", app, timeout_s,
                                                last.status, last.message.empty() ? "" : ": ", last.message)));
    if (!followed && followed.error().code != Code::kDeadlineExceeded) return fail(std::move(followed).error());
  }
  progress.done();
  return std::move(*outcome);
}

int apply(const Common& common, const ApplyOptions& options) {
  auto specs = read_specs(options.files);
  if (!specs) return finish(specs.error());
  auto target = find_target(common.address, common.token_file);
  if (!target) return finish(target.error());
  ControlClient client(*target);
  json all = json::array();
  for (const auto& spec : *specs) {
    const std::string path = "/api/v1/applications/" + spec.name, body = to_json_text(spec);
    auto plan = client.call("PUT", path + "?dry_run=true", body);
    if (!plan) return finish(plan.error());
    auto plan_doc = json::parse(*plan, nullptr, false);
    if (!common.json) {
      fmt::print("{}\n", paint(Colour::kBold, spec.name, stdout_is_tty()));
      print_plan(plan_doc.contains("plan") ? plan_doc["plan"] : plan_doc);
      std::fflush(stdout);
    }
    if (options.dry_run) {
      all.push_back(plan_doc);
      continue;
    }
    auto stored = client.call("PUT", path, body);
    if (!stored) return finish(stored.error());
    auto doc = json::parse(*stored, nullptr, false);
    all.push_back(doc);
  }
  if (!options.dry_run && options.wait) {
    for (size_t i = 0; i < specs->size(); ++i) {
      const auto& name = (*specs)[i].name;
      const uint64_t revision = all[i].is_object() ? all[i].value("revision", uint64_t{0}) : 0;
      const auto begun = std::chrono::steady_clock::now();
      auto done = wait_for(client, name, revision, false, options.timeout_s);
      if (!done) return finish(done.error());
      if (!common.json)
        fmt::print("{} {} in {}\n", name, paint(Colour::kGreen, "RUNNING", stdout_is_tty()),
                   short_seconds(to_seconds(std::chrono::steady_clock::now() - begun)));
    }
  }
  if (common.json) fmt::print("{}\n", all.dump(2));
  return 0;
}

}  // namespace colony::cli
