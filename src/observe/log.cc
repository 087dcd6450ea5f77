// See log.h. WHY spdlog below our own formatting: its sinks know how to write whole lines from many threads and never
// throw into the caller; what a line looks like is ours.
#include "observe/log.h"

#include <fmt/chrono.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>

namespace colony::observe {
namespace {

constexpr std::string_view kLevels[] = {"debug", "info", "warn", "error"};

struct Installed {
  std::shared_ptr<spdlog::logger> logger;
  std::string role;
  LogFormat format;
};

std::mutex g_mutex;
std::shared_ptr<const Installed> g_installed;  // guarded by g_mutex
std::atomic<uint64_t> g_lost{0};

std::shared_ptr<const Installed> installed() {
  std::lock_guard lock(g_mutex);
  return g_installed;
}

template <class F>
void each_pair(std::string_view context, F fn) {
  while (!context.empty()) {
    const size_t space = context.find(' ');
    const std::string_view pair = context.substr(0, space);
    context = space == std::string_view::npos ? std::string_view() : context.substr(space + 1);
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos && equals > 0) fn(pair.substr(0, equals), pair.substr(equals + 1));
  }
}

void append_plain(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

void write_line(LogLevel level, const char* file, int line, std::string_view message, std::string_view context) {
  try {
    const auto sink = installed();
    if (!sink) return;
    const LogLine record{std::chrono::system_clock::now(), level, sink->role, ::getpid(), file, line, message, context};
    const std::string text = sink->format == LogFormat::kJson ? format_json(record) : format_text(record);
    sink->logger->log(spdlog::level::critical, spdlog::string_view_t(text.data(), text.size()));
  } catch (...) {
    g_lost.fetch_add(1, std::memory_order_relaxed);  // no memory for the line: logging never ends what it reports on
  }
}

}  // namespace

std::string format_time(WallTime time) {
  using namespace std::chrono;
  const auto s = floor<seconds>(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(system_clock::to_time_t(s)),
                     duration_cast<milliseconds>(time - s).count());
}

std::string format_text(const LogLine& l) {
  std::string out =
      fmt::format("{} {:5} {}[{}] ", format_time(l.time), kLevels[static_cast<size_t>(l.level)], l.role, l.pid);
  append_plain(out, l.message);
  each_pair(l.context, [&](std::string_view key, std::string_view value) {
    out += ' ';
    append_plain(out, key);
    out += '=';
    append_plain(out, value);
  });
  if (l.level >= LogLevel::kWarn) out += fmt::format(" ({}:{})", base_name(l.file), l.line);
  return out;
}

std::string format_json(const LogLine& l) {
  nlohmann::ordered_json out = {{"time", format_time(l.time)},
                                {"level", kLevels[static_cast<size_t>(l.level)]},
                                {"role", l.role},
                                {"pid", l.pid},
                                {"message", l.message}};
  each_pair(l.context, [&](std::string_view key, std::string_view value) {
    if (!out.contains(key)) out[std::string(key)] = value;
  });
  if (l.level >= LogLevel::kWarn) out["source"] = fmt::format("{}:{}", base_name(l.file), l.line);
  return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Result<void> install_log(const LogOptions& options) {
  auto next = std::make_shared<Installed>();
  next->role = options.role;
  next->format = options.format;
  if (options.format == LogFormat::kAuto)
    next->format = options.path.empty() && ::isatty(STDERR_FILENO) ? LogFormat::kText : LogFormat::kJson;
  try {
    spdlog::sink_ptr sink;
    if (options.path.empty()) {
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.path);
    }
    next->logger = std::make_shared<spdlog::logger>("colony", std::move(sink));
    next->logger->set_formatter(std::make_unique<spdlog::pattern_formatter>("%v"));
    next->logger->set_level(spdlog::level::trace);
    next->logger->flush_on(spdlog::level::trace);
    // A full disk does not stop the program.
    next->logger->set_error_handler([](const std::string&) { g_lost.fetch_add(1, std::memory_order_relaxed); });
  } catch (const std::exception& e) {
    return fail(errno_error("open the log " + options.path, errno ? errno : EIO));
  }
  {
    std::lock_guard lock(g_mutex);
    g_installed = std::move(next);
  }
  set_log_level(options.level);
  set_log_sink(&write_line);
  return {};
}

void uninstall_log() {
  set_log_sink(nullptr);
  std::lock_guard lock(g_mutex);
  if (g_installed) g_installed->logger->flush();
  g_installed = nullptr;
}

uint64_t log_lines_lost() { return g_lost.load(std::memory_order_relaxed); }

Result<LogLevel> parse_log_level(std::string_view text) {
  for (size_t i = 0; i < std::size(kLevels); ++i) {
    if (text == kLevels[i]) return static_cast<LogLevel>(i);
  }
  return fail(invalid_argument(fmt::format("log level '{}': right are debug, info, warn, error", text)));
}

Result<LogFormat> parse_log_format(std::string_view text) {
  if (text == "auto") return LogFormat::kAuto;
  if (text == "text") return LogFormat::kText;
  if (text == "json") return LogFormat::kJson;
  return fail(invalid_argument(fmt::format("log format '{}': right are auto, text, json", text)));
}

}  // namespace colony::observe
