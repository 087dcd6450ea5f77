// Terminal output without a library: widths in code points, colours by ANSI codes, NO_COLOR honoured.
#include "control/cli/print.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "domain/status_json.h"

namespace colony::cli {

bool stdout_is_tty() { return isatty(STDOUT_FILENO) == 1 && !std::getenv("NO_COLOR"); }
bool stderr_is_tty() { return isatty(STDERR_FILENO) == 1 && !std::getenv("NO_COLOR"); }

int terminal_width() {
  winsize w{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20) return w.ws_col;
  if (const char* c = std::getenv("COLUMNS"); c && std::atoi(c) > 20) return std::atoi(c);
  return isatty(STDOUT_FILENO) ? 80 : 1 << 20;
}

std::string paint(Colour colour, std::string_view text, bool tty) {
  static constexpr const char* kCodes[] = {"", "32", "33", "31", "2", "1"};
  if (!tty || colour == Colour::kNone) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<int>(colour)], text);
}

Colour colour_of_state(std::string_view s) {
  if (s == "READY" || s == "RUNNING" || s == "HEALTHY") return Colour::kGreen;
  if (s == "FAILED" || s == "DEPLOY_FAILED" || s == "UNHEALTHY") return Colour::kRed;
  return Colour::kYellow;
}

size_t display_width(std::string_view s) {
  return static_cast<size_t>(std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

namespace {
std::string cut(std::string_view s, size_t width) {
  if (display_width(s) <= width) return std::string(s);
  std::string out;
  size_t n = 0;
  for (size_t i = 0; i < s.size() && n + 1 < width;) {
    size_t len = 1;
    while (i + len < s.size() && (s[i + len] & 0xc0) == 0x80) ++len;
    out += s.substr(i, len);
    i += len;
    ++n;
  }
  return out + "…";
}
}  // namespace

Table::Table(std::vector<std::string> head) : head_(std::move(head)) {}
void Table::row(std::vector<std::string> cells) {
  cells.resize(head_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::text(int state_column) const {
  std::vector<size_t> width(head_.size());
  for (size_t c = 0; c < head_.size(); ++c) {
    width[c] = display_width(head_[c]);
    for (const auto& r : rows_) width[c] = std::max(width[c], display_width(r[c]));
  }
  size_t before = 0;
  for (size_t c = 0; c + 1 < width.size(); ++c) before += width[c] + 2;
  const auto total = static_cast<size_t>(terminal_width());
  if (!width.empty() && before + width.back() > total)
    width.back() = std::max<size_t>(total > before ? total - before : 0, 12);
  const bool tty = stdout_is_tty();
  std::string out;
  auto line = [&](const std::vector<std::string>& cells, bool head) {
    std::string text;
    for (size_t c = 0; c < cells.size(); ++c) {
      const bool last = c + 1 == cells.size();
      const std::string cell = last ? cut(cells[c], width[c]) : cells[c];
      const Colour colour = head                                  ? Colour::kDim
                            : static_cast<int>(c) == state_column ? colour_of_state(cells[c])
                                                                  : Colour::kNone;
      text += paint(colour, cell, tty);
      if (!last) text += std::string(width[c] + 2 - display_width(cell), ' ');
    }
    while (text.ends_with(' ')) text.pop_back();
    out += text + "\n";
  };
  line(head_, true);
  for (const auto& r : rows_) line(r, false);
  return out;
}

Progress::~Progress() { done(); }
void Progress::show(std::string text) {
  if (text == last_) return;
  last_ = text;
  if (stderr_is_tty()) {
    std::fprintf(stderr, "\r\x1b[K%s", cut(text, static_cast<size_t>(terminal_width() - 1)).c_str());
    open_ = true;
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  std::fflush(stderr);
}
void Progress::done() {
  if (open_) std::fprintf(stderr, "\r\x1b[K");
  open_ = false;
}

std::string short_seconds(double s) {
  if (s < 1) return fmt::format("{:.0f} ms", s * 1000);
  if (s < 120) return fmt::format("{:.1f} s", s);
  if (s < 7200) return fmt::format("{:.0f} min", s / 60);
  return fmt::format("{:.1f} h", s / 3600);
}

std::string readable_log_line(std::string_view line) {
  const auto doc = nlohmann::json::parse(line, nullptr, false);
  if (!doc.is_object() || !doc.contains("message") || !doc["message"].is_string()) return std::string(line);
  const auto text = [&doc](const char* key) {
    auto it = doc.find(key);
    return it != doc.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  const std::string time = text("time"), message = text("message");
  const bool own = !text("role").empty() && !message.starts_with(text("role"));
  std::string out = fmt::format("{} {:<5} {}{}", time.size() >= 19 ? time.substr(11, 8) : time, text("level"),
                                own ? text("role") + ": " : "", message);
  for (const auto& [key, value] : doc.items())
    if (key != "time" && key != "level" && key != "role" && key != "pid" && key != "message" && key != "source")
      out += fmt::format(" {}={}", key, value.is_string() ? value.get<std::string>() : value.dump());
  return out;
}

std::string json_log_line(std::string_view line) {
  if (nlohmann::json::accept(line)) return std::string(line);
  return nlohmann::json{{"message", line}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string since_text(std::string_view rfc3339) {
  auto t = parse_rfc3339(rfc3339);
  if (!t) return "";
  const auto s = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now() - *t).count();
  if (s < 120) return fmt::format("{}s", std::max<int64_t>(s, 0));
  if (s < 7200) return fmt::format("{}m", s / 60);
  if (s < 172800) return fmt::format("{}h", s / 3600);
  return fmt::format("{}d", s / 86400);
}

}  // namespace colony::cli
