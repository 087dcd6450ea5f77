// Stores applications over the control API, follows them until they run and prints how to use each: what -f and `run` do
// once Colony is up. Used from a thread of its own.
#pragma once

#include <string>
#include <vector>

#include "control/cli/control_client.h"
#include "domain/app_spec.h"

namespace colony::cli {

// Returns the exit code; problems are printed.
int deploy(Target control, const std::string& http, const std::vector<AppSpec>& apps);
// The curl line that uses an application, with a request that its model takes when that is small enough to be shown.
std::string usage(ControlClient& client, const std::string& http, const AppSpec& app);

}  // namespace colony::cli
