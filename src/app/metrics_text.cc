// Line by line: a sample belongs to the family that the last TYPE or HELP line named, as the text format demands.
#include "app/metrics_text.h"

#include <map>
#include <string_view>

namespace colony::app {
namespace {

struct Family {
  std::string head;  // HELP and TYPE lines of the first part that had it
  std::string samples;
};

// name{a="b"} 1  ->  name{label,a="b"} 1
std::string with_label(std::string_view line, const std::string& label) {
  if (label.empty()) return std::string(line);
  const auto brace = line.find('{'), space = line.find(' ');
  if (space == std::string_view::npos) return std::string(line);
  if (brace != std::string_view::npos && brace < space)
    return std::string(line.substr(0, brace + 1)) + label + (line[brace + 1] == '}' ? "" : ",") +
           std::string(line.substr(brace + 1));
  return std::string(line.substr(0, space)) + "{" + label + "}" + std::string(line.substr(space));
}

}  // namespace

std::string join_metrics(const std::vector<std::pair<std::string, std::string>>& parts) {
  std::map<std::string, Family> families;
  for (const auto& [label, text] : parts) {
    std::string current;
    bool first_here = false;
    for (std::string_view rest = text; !rest.empty();) {
      const auto end = rest.find('\n');
      const auto line = rest.substr(0, end);
      rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
      if (line.starts_with("# HELP ") || line.starts_with("# TYPE ")) {
        const auto name = line.substr(7, line.find(' ', 7) - 7);
        if (name != current) {
          current = name;
          first_here = !families.contains(current);
        }
        if (first_here) families[current].head += std::string(line) + "\n";
      } else if (!line.empty() && !line.starts_with('#')) {
        families[current].samples += with_label(line, label) + "\n";
      }
    }
  }
  std::string out;
  for (const auto& [name, family] : families) out += family.head + family.samples;
  return out;
}

}  // namespace colony::app
