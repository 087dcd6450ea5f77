// The sink behind LOG (base/log.h): one line per message, for a person on a terminal, as JSON everywhere else. A line holds
// time (UTC, milliseconds), level, role, pid, message and the pairs of the LogContext. Files are only ever appended to:
// whoever rotates them copies and truncates. The one global object of the program.
#pragma once

#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"
#include "base/time.h"

namespace colony::observe {

enum class LogFormat : uint8_t { kAuto, kText, kJson };  // kAuto: text on a terminal, otherwise JSON

struct LogOptions {
  std::string role;  // "keeper", "proxy", ...; in every line
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kAuto;
  std::string path;  // empty: standard error
};

// May be called again (a fork's child, a test). Before the first call LOG writes plain text to standard error.
Result<void> install_log(const LogOptions& options);
// Back to plain standard error, everything written.
void uninstall_log();
uint64_t log_lines_lost();  // counter: no memory, disk full

// "debug", "info", "warn", "error"; "text", "json", "auto". kInvalidArgument names what would be right.
Result<LogLevel> parse_log_level(std::string_view text);
Result<LogFormat> parse_log_format(std::string_view text);

struct LogLine {
  WallTime time;
  LogLevel level;
  std::string_view role;
  int pid;
  std::string_view file;  // of the LOG statement
  int line;
  std::string_view message;
  std::string_view context;  // "key=value key=value"
};
// One line without its newline. Control characters are escaped in both forms, so a message cannot forge a line.
std::string format_text(const LogLine& line);
std::string format_json(const LogLine& line);
std::string format_time(WallTime time);  // 2026-01-31T08:15:30.123Z

}  // namespace colony::observe
