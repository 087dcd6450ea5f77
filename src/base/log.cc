// The switch between LOG and its sink. The fallback writes to stderr, so that a line is never lost before start-up.
#include "base/log.h"

#include <atomic>
#include <cstdio>

namespace colony {
namespace {

void to_stderr(LogLevel level, const char*, int, std::string_view message, std::string_view context) {
  static constexpr const char* kNames[] = {"debug", "info", "warn", "error"};
  std::fprintf(stderr, "%s %.*s%s%.*s\n", kNames[static_cast<int>(level)], static_cast<int>(message.size()),
               message.data(), context.empty() ? "" : " ", static_cast<int>(context.size()), context.data());
}

std::atomic<LogSink> g_sink{&to_stderr};
std::atomic<LogLevel> g_level{LogLevel::kInfo};
thread_local std::string_view t_context;

}  // namespace

void set_log_sink(LogSink sink) { g_sink.store(sink ? sink : &to_stderr); }
void set_log_level(LogLevel level) { g_level.store(level); }
bool log_enabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

void log_write(LogLevel level, const char* file, int line, std::string_view message) {
  g_sink.load(std::memory_order_relaxed)(level, file, line, message, t_context);
}

LogContext::LogContext(std::string_view text) : previous_(t_context) { t_context = text; }
LogContext::~LogContext() { t_context = previous_; }

}  // namespace colony
