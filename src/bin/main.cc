// The program: flags in, one function called, its exit code out. Verbs against a running Colony are in control/cli, the
// roles in app/. Two verbs are for Colony's own processes and not shown: `actor` and `agent`.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "app/onnx_places.h"
#include "app/up.h"
#include "colony/version.h"
#include "control/cli/verbs.h"

// WHY: parsing flags is templates that run once, and optimising them takes seconds. Only from here on: what is instantiated
// of the headers above, std::string before all, is linked into the whole program from this first of its objects.
#pragma clang optimize off
#include <CLI/CLI.hpp>

namespace {

using namespace colony;

struct UpFlags {
  std::map<std::string, std::string> values;  // of settings, by key
  std::string config_file;
  std::string model;  // of `run`
  bool print_config = false, json = false;
};

void add_settings(CLI::App& verb, UpFlags& flags) {
  for (const auto& row : app::setting_rows()) {
    const std::string key(row.key), help(row.help);
    if (!row.letter.empty() && verb.get_name() != "up") continue;
    const std::string flag = (row.letter.empty() ? "" : std::string(row.letter) + ",") + app::flag_of(row);
    if (row.kind == app::SettingKind::kSwitch) {
      verb.add_flag_callback(flag, [&flags, key] { flags.values[key] = "true"; }, help);
    } else if (row.kind == app::SettingKind::kFiles) {
      verb.add_option_function<std::vector<std::string>>(
              flag,
              [&flags, key](const std::vector<std::string>& names) {
                for (const auto& n : names) flags.values[key] += (flags.values[key].empty() ? "" : ",") + n;
              },
              help)
          ->type_name("FILE");
    } else {
      verb.add_option_function<std::string>(
              flag, [&flags, key](const std::string& v) { flags.values[key] = v; }, help)
          ->type_name(row.kind == app::SettingKind::kAddress ? "HOST:PORT"
                      : row.kind == app::SettingKind::kPath  ? "PATH"
                                                             : "VALUE")
          ->group(row.key.starts_with("limits.") ? "Limits (docs/limits.md)" : "OPTIONS");
    }
  }
  verb.add_option("--config", flags.config_file, "YAML file with the same settings as keys (data_dir: ...)")
      ->envname("COLONY_CONFIG");
}

int run_up(UpFlags& flags, const std::vector<std::string>& argv) {
  auto config = app::resolve(flags.values, flags.config_file, std::getenv);
  if (!config) return cli::finish(config.error());
  if (flags.print_config) return fmt::print("{}", app::print_config(*config, flags.json)), 0;
  app::UpOptions options{std::move(*config), {}, false, argv};
  if (options.config.detach && std::ranges::find(options.config.files, "-") != options.config.files.end())
    return cli::finish(invalid_argument("--detach leaves no standard input to read from; give --file a file"));
  if (!options.config.files.empty()) {
    auto specs = cli::read_specs(options.config.files);
    if (!specs) return cli::finish(specs.error());
    options.apps = std::move(*specs);
  }
  return app::up(std::move(options));
}

int run_one(UpFlags& flags) {
  namespace fs = std::filesystem;
  UpFlags with = flags;
  std::vector<AppSpec> apps;
  if (flags.model.ends_with(".yaml") || flags.model.ends_with(".yml") || flags.model.ends_with(".json")) {
    auto specs = cli::read_specs({flags.model});
    if (!specs) return cli::finish(specs.error());
    apps = std::move(*specs);
  } else if (flags.model.ends_with(".onnx")) {
    std::error_code ec;
    if (!fs::is_regular_file(flags.model, ec))
      return cli::finish(invalid_argument(fmt::format("{}: there is no such file", flags.model)));
    auto made = cli::app_of_model(fs::absolute(flags.model).lexically_normal().string());
    if (!made) return cli::finish(made.error());
    apps.push_back(std::move(*made));
  } else {
    return cli::finish(
        invalid_argument(fmt::format("{}: give a model (FILE.onnx) or an application (FILE.yaml)", flags.model)));
  }
  // Wrong settings are told before there is a folder to clean up.
  if (auto config = app::resolve(with.values, with.config_file, std::getenv); !config)
    return cli::finish(config.error());
  const bool own_dir = !with.values.contains("data_dir") && !std::getenv("COLONY_DATA_DIR");
  if (own_dir) {
    std::string dir = (fs::temp_directory_path() / "colony-run-XXXXXX").string();
    if (!mkdtemp(dir.data())) return cli::finish(errno_error(dir, errno));
    with.values["data_dir"] = dir;
  }
  if (!with.values.contains("control") && !std::getenv("COLONY_CONTROL")) with.values["control"] = "127.0.0.1:0";
  if (!with.values.contains("log_level") && !std::getenv("COLONY_LOG_LEVEL")) with.values["log_level"] = "warn";
  auto config = app::resolve(with.values, with.config_file, std::getenv);
  if (!config) return cli::finish(config.error());
  config->detach = false;
  return app::up({std::move(*config), std::move(apps), own_dir, {}});
}

// What was taken for a verb: the parser itself only says that one is missing.
int unknown_verb(const CLI::App& top, const std::vector<std::string>& argv) {
  auto word = std::find_if(argv.begin() + 1, argv.end(), [](const auto& a) { return !a.starts_with('-'); });
  if (word == argv.end()) return cli::finish(invalid_argument("a verb is missing; colony --help lists them"));
  std::string verbs;
  for (const auto* s : top.get_subcommands([](const CLI::App* s) { return !s->get_group().empty(); }))
    verbs += (verbs.empty() ? "" : ", ") + s->get_name();
  return cli::finish(invalid_argument(fmt::format("'{}' is no verb of colony; there are {}", *word, verbs)));
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App top{"Colony: hand it a model or some code, and it runs it as an online service.", "colony"};
  top.set_version_flag("--version", fmt::format("colony {}", COLONY_VERSION));
  top.require_subcommand(1);
  top.failure_message([](const CLI::App*, const CLI::Error& e) {
    return fmt::format("colony: {}; `colony --help` lists the verbs, `colony VERB --help` their flags\n", e.what());
  });
  top.fallthrough();
  cli::Common common;
  top.add_option("--address", common.address,
                 "control API of a running Colony (COLONY_ADDRESS; default 127.0.0.1:8270)");
  top.add_option("--token-file", common.token_file, "file with the token of the control API (COLONY_TOKEN_FILE)");
  top.add_flag("--json", common.json, "print JSON");

  int code = 0;
  const std::vector<std::string> all(argv, argv + argc);

  UpFlags up_flags;
  auto* up = top.add_subcommand("up", "start Colony on this machine");
  add_settings(*up, up_flags);
  up->add_flag("--print-config", up_flags.print_config, "print the settings and where each comes from, then exit");
  up->callback([&] {
    up_flags.json = common.json;
    code = run_up(up_flags, all);
  });

  UpFlags run_flags;
  auto* run = top.add_subcommand("run", "serve one model or application file; Ctrl-C takes all away");
  run->add_option("what", run_flags.model, "FILE.onnx or FILE.yaml")->required();
  add_settings(*run, run_flags);
  run->callback([&] { code = run_one(run_flags); });

  cli::ApplyOptions apply_options;
  auto* apply = top.add_subcommand("apply", "create or update applications");
  apply->add_option("-f,--file", apply_options.files, "YAML or JSON file; - is standard input")->required();
  apply->add_flag("--dry-run", apply_options.dry_run, "print the plan, change nothing");
  apply->add_flag("!--no-wait", apply_options.wait, "return as soon as it is stored");
  apply->add_option("--timeout", apply_options.timeout_s, "seconds to wait for RUNNING")->check(CLI::PositiveNumber);
  apply->callback([&] { code = cli::apply(common, apply_options); });

  std::string status_app;
  auto* status = top.add_subcommand("status", "applications, replicas and proxies");
  status->add_option("app", status_app, "one application");
  status->callback([&] { code = cli::status(common, status_app); });

  cli::DescribeOptions describe_options;
  auto* describe = top.add_subcommand("describe", "everything about one application");
  describe->add_option("app", describe_options.app)->required();
  describe->add_flag("--yaml", describe_options.yaml, "its spec, as apply takes it");
  describe->callback([&] { code = cli::describe(common, describe_options); });

  cli::LogsOptions logs_options;
  auto* logs = top.add_subcommand("logs", "what the replicas of an application have written");
  logs->add_option("app", logs_options.app)->required();
  logs->add_option("--replica", logs_options.replica, "only this one");
  logs->add_option("--lines", logs_options.lines, "of each replica")->check(CLI::Range(1, 10000));
  logs->add_flag("-f,--follow", logs_options.follow, "go on until Ctrl-C");
  logs->callback([&] { code = cli::logs(common, logs_options); });

  cli::ScaleOptions scale_options;
  auto* scale = top.add_subcommand("scale", "set the number of replicas");
  scale->add_option("target", scale_options.target, "APP/DEPLOYMENT")->required();
  scale->add_option("replicas", scale_options.replicas)->required()->check(CLI::Range(0, 10000));
  scale->add_flag("!--no-wait", scale_options.wait, "return as soon as it is stored");
  scale->add_option("--timeout", scale_options.timeout_s, "seconds to wait")->check(CLI::PositiveNumber);
  scale->callback([&] { code = cli::scale(common, scale_options); });

  cli::InferOptions infer_options;
  auto* infer = top.add_subcommand("infer", "send one request and print the answer");
  infer->add_option("target", infer_options.target, "APP, APP.DEPLOYMENT or a model's name")->required();
  infer->add_option("--file", infer_options.file,
                    "bytes for the application's route (- is standard input); .npy: the model's only input");
  infer->add_option("--json", infer_options.json,
                    "JSON: {\"inputs\":[...]} for the model, anything else for the route");
  infer->add_option("--npy", infer_options.npy, "NAME=FILE.npy, once for each input");
  infer->add_option("--timeout", infer_options.timeout_s, "seconds")->check(CLI::PositiveNumber);
  infer->callback([&] { code = cli::infer(common, infer_options); });

  cli::DeleteOptions delete_options;
  auto* remove = top.add_subcommand("delete", "take an application away");
  remove->add_option("app", delete_options.app)->required();
  remove->add_flag("!--no-wait", delete_options.wait, "return as soon as it is stored");
  remove->add_option("--timeout", delete_options.timeout_s, "seconds to wait")->check(CLI::PositiveNumber);
  remove->callback([&] { code = cli::remove(common, delete_options); });

  auto* down = top.add_subcommand("down", "stop the running Colony");
  down->callback([&] { code = cli::down(common); });
  std::string restart_what;
  double restart_timeout_s = 60;
  auto* restart = top.add_subcommand("restart", "replace the proxy without a failed request (colony up --processes)");
  restart->add_option("what", restart_what, "proxy")->required()->check(CLI::IsMember({"proxy"}));
  restart->add_option("--timeout", restart_timeout_s, "seconds to wait")->check(CLI::PositiveNumber);
  restart->callback([&] { code = cli::restart_proxy(common, restart_timeout_s); });
  auto* schema = top.add_subcommand("schema", "JSON Schema of the application file, for editors");
  schema->callback([&] { code = cli::schema(); });
  UpFlags doctor_flags;
  auto* doctor = top.add_subcommand("doctor", "look at this machine as Colony will find it");
  add_settings(*doctor, doctor_flags);
  doctor->callback([&] {
    auto config = app::resolve(doctor_flags.values, doctor_flags.config_file, std::getenv);
    code = config ? cli::doctor(common, {config->data_dir, config->http, config->control, app::onnx_places()})
                  : cli::finish(config.error());
  });

  std::string actor_dir;
  auto* actor = top.add_subcommand("actor", "")->group("");
  actor->add_option("--dir", actor_dir)->required();
  actor->callback([&] { code = app::actor_main(actor_dir); });
  app::AgentProcessOptions agent_options;
  auto* agent = top.add_subcommand("agent", "")->group("");
  agent->add_option("--run-dir", agent_options.run_dir)->required();
  agent->add_option("--log-dir", agent_options.log_dir)->required();
  agent->add_option("--node", agent_options.node)->required();
  agent->add_option("--cpus", agent_options.cpus);
  agent->add_option("--log-level", agent_options.log_level);
  double orphan_s = 600;
  agent->add_option("--orphan-timeout-s", orphan_s);
  agent->callback([&] {
    agent_options.orphan_timeout = from_seconds(orphan_s);
    code = app::agent_main(agent_options);
  });

  if (argc == 1) {
    fmt::print(stderr, "{}", top.help());
    return 2;
  }
  try {
    top.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_name() == "RequiredError" && top.get_subcommands().empty() && argc > 1) return unknown_verb(top, all);
    const int rc = top.exit(e);
    return rc == 0 ? 0 : 2;
  }
  return code;
}
