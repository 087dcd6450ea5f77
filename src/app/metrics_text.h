// Joins the Prometheus texts of several processes into one, so that one scrape of the control port shows the whole node:
// families keep one HELP and TYPE, their samples stand together. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace colony::app {

// Each part is (label to add such as `process="filetype.main.x1y2z3"`, or empty; its text).
std::string join_metrics(const std::vector<std::pair<std::string, std::string>>& parts);

}  // namespace colony::app
