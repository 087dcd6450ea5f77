// How the CLI looks: tables that fit the terminal, colours only on a tty, one progress line that is rewritten in place.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace colony::cli {

enum class Colour { kNone, kGreen, kYellow, kRed, kDim, kBold };
bool stdout_is_tty();
bool stderr_is_tty();
int terminal_width();  // columns; what is not printed on a terminal has no width to keep to, unless COLUMNS gives one
std::string paint(Colour colour, std::string_view text, bool tty);
Colour colour_of_state(std::string_view state);

// Columns separated by two spaces; the last one is cut with "…" when the terminal is too narrow. Cells may be painted by
// state: pass the colour column's index or -1.
class Table {
 public:
  explicit Table(std::vector<std::string> head);
  void row(std::vector<std::string> cells);
  std::string text(int state_column = -1) const;
  bool empty() const { return rows_.empty(); }

 private:
  std::vector<std::string> head_;
  std::vector<std::vector<std::string>> rows_;
};

// Progress on stderr: on a tty one line rewritten in place, elsewhere a line whenever the text changes.
class Progress {
 public:
  ~Progress();
  void show(std::string text);
  void done();  // leaves the cursor at the start of an empty line

 private:
  std::string last_;
  bool open_ = false;
};

std::string since_text(std::string_view rfc3339);  // "3m", "12s"; "" when empty
std::string short_seconds(double s);               // "0.31 s", "12 s", "3 min"
// One line of a log: "12:09:36 warn app.main.x1 what happened request_id=..." of a JSON line; any other line as it is.
std::string readable_log_line(std::string_view line);
// The line as JSON; what is none (a library that writes to stderr) becomes {"message": ...}.
std::string json_log_line(std::string_view line);
size_t display_width(std::string_view utf8);  // code points

}  // namespace colony::cli
