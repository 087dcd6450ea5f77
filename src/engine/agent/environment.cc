// See environment.h. The sanitizers' options are on the list because a test build's children need them.
#include "engine/agent/environment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace colony::engine {

bool inherits_variable(std::string_view name) {
  static constexpr std::array<std::string_view, 22> kNames{"PATH",
                                                           "HOME",
                                                           "USER",
                                                           "LOGNAME",
                                                           "LANG",
                                                           "LANGUAGE",
                                                           "TZ",
                                                           "TMPDIR",
                                                           "SSL_CERT_FILE",
                                                           "SSL_CERT_DIR",
                                                           "XDG_CACHE_HOME",
                                                           "XDG_RUNTIME_DIR",
                                                           "VIRTUAL_ENV",
                                                           "LD_LIBRARY_PATH",
                                                           "COLONY_LOG_LEVEL",
                                                           "COLONY_LOG_FORMAT",
                                                           "COLONY_CACHE",
                                                           "COLONY_ORT_LIBRARY",
                                                           "ASAN_OPTIONS",
                                                           "UBSAN_OPTIONS",
                                                           "LSAN_OPTIONS",
                                                           "TSAN_OPTIONS"};
  return std::ranges::find(kNames, name) != kNames.end() || name.starts_with("LC_");
}

std::vector<std::string> actor_environment(const char* const* own, const std::map<std::string, std::string>& of_agent,
                                           const std::map<std::string, std::string>& of_spec) {
  std::map<std::string, std::string> all;
  for (; own != nullptr && *own != nullptr; ++own) {
    const std::string_view line(*own);
    const size_t cut = line.find('=');
    if (cut != std::string_view::npos && inherits_variable(line.substr(0, cut))) {
      all.insert_or_assign(std::string(line.substr(0, cut)), std::string(line.substr(cut + 1)));
    }
  }
  all.try_emplace("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  for (const auto& [name, value] : of_agent) all.insert_or_assign(name, value);
  for (const auto& [name, value] : of_spec) all.insert_or_assign(name, value);
  std::vector<std::string> out;
  for (const auto& [name, value] : all) out.push_back(fmt::format("{}={}", name, value));
  return out;
}

}  // namespace colony::engine
