// The clean environment of an actor's process: a short list of names taken over from ours, what the agent adds for all,
// what the spec adds for this one. Nothing else: no RAY_*, OMP_NUM_THREADS or CUDA_* that happens to be set here.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace colony::engine {

// Is a variable of this name taken over from the agent's own environment?
bool inherits_variable(std::string_view name);
// "NAME=value" lines, sorted by name; later maps win.
std::vector<std::string> actor_environment(const char* const* own, const std::map<std::string, std::string>& of_agent,
                                           const std::map<std::string, std::string>& of_spec);

}  // namespace colony::engine
