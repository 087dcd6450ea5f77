// Which sink a process writes its log lines to: chosen once at its start.
#pragma once

#include <string>

namespace colony::app {

// `colony up`: by --log-level and --log-format.
void set_up_log(const std::string& role, const std::string& level, const std::string& format);
// A process that an agent has started: JSON lines into its own file; `payload` may hold "log_level".
void set_up_process_log(const std::string& role, const std::string& payload);

}  // namespace colony::app
