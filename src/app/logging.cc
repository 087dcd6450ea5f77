// A process whose log cannot be set up goes on with plain lines on standard error, which its agent keeps as well.
#include "app/logging.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "observe/log.h"

namespace colony::app {

void set_up_log(const std::string& role, const std::string& level, const std::string& format) {
  observe::LogOptions o;
  o.role = role;
  if (auto parsed = observe::parse_log_level(level)) o.level = *parsed;
  if (auto parsed = observe::parse_log_format(format)) o.format = *parsed;
  set_log_level(o.level);
  if (auto installed = observe::install_log(o); !installed) LOG(warn, "log: {}", installed.error().message);
}

void set_up_process_log(const std::string& role, const std::string& payload) {
  const auto doc = nlohmann::json::parse(payload, nullptr, false);
  const char* from_agent = std::getenv("COLONY_LOG_LEVEL");
  std::string level = from_agent ? from_agent : "info";
  if (doc.is_object() && doc.contains("log_level") && doc["log_level"].is_string())
    level = doc["log_level"].get<std::string>();
  set_up_log(role, level, "json");
}

}  // namespace colony::app
