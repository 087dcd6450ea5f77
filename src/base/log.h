// LOG(level, "text {}", value): one line, formatted here, written by whatever sink observe/log.cc installed (stderr
// until then). Fields that belong to every line of a request (request id, trace id) are set with LogContext on the
// stack.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <string_view>

namespace colony {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

// `context` is a JSON-free list "key=value key=value" of the innermost LogContext of this thread; empty if none.
using LogSink = void (*)(LogLevel level, const char* file, int line, std::string_view message,
                         std::string_view context);

void set_log_sink(LogSink sink);
void set_log_level(LogLevel level);
bool log_enabled(LogLevel level);
void log_write(LogLevel level, const char* file, int line, std::string_view message);

// Adds "key=value ..." to every line that this thread writes while the object lives. Not across a co_await.
class LogContext {
 public:
  explicit LogContext(std::string_view text);
  ~LogContext();
  LogContext(const LogContext&) = delete;
  LogContext& operator=(const LogContext&) = delete;

 private:
  std::string_view previous_;
};

}  // namespace colony

#define COLONY_LOG_debug ::colony::LogLevel::kDebug
#define COLONY_LOG_info ::colony::LogLevel::kInfo
#define COLONY_LOG_warn ::colony::LogLevel::kWarn
#define COLONY_LOG_error ::colony::LogLevel::kError
#define LOG(level, ...)                                                                        \
  do {                                                                                         \
    if (::colony::log_enabled(COLONY_LOG_##level)) [[unlikely]]                                \
      ::colony::log_write(COLONY_LOG_##level, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)
