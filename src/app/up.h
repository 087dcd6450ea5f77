// `colony up` and `colony run`: everything that one machine needs, in one process (all_in_one.h) or, with --processes, as a
// launcher that keeps an agent alive which runs keeper, master host, discovery and proxy as processes (launcher.h).
#pragma once

#include <string>
#include <vector>

#include "app/config.h"
#include "domain/app_spec.h"

namespace colony::app {

struct UpOptions {
  Config config;
  std::vector<AppSpec> apps;      // applied once the control API answers (-f, run)
  bool ephemeral = false;         // run: the data dir is taken away at the end
  std::vector<std::string> argv;  // of this process, for -d
};
// Runs until Ctrl-C, SIGTERM or `colony down`; returns the exit code.
int up(UpOptions options);

// What one process of the house is started with by its agent: reads DIR/actor.json and runs its role until SIGTERM.
int actor_main(const std::string& dir);
// `colony agent`: the node's agent as a process of its own.
struct AgentProcessOptions {
  std::string run_dir, log_dir, node, log_level = "info";
  double cpus = 0;
  Duration orphan_timeout = 600s;
};
int agent_main(const AgentProcessOptions& options);
Result<std::string> agent_address(
    const std::string& run_dir);  // "unix:RUN/agent.sock", or a short path when that is too long

}  // namespace colony::app
