// What lies beside a magika model: config.min.json (sizes, labels, thresholds) and content_types_kb.min.json (what each
// label means). Read once at load; nothing in it is trusted.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace colony::runtime::filetype {

struct ContentType {
  std::string mime_type, group, description;
  bool is_text = false;
};

struct Config {
  size_t beg_size = 0, end_size = 0, block_size = 0;
  size_t min_file_size = 0;  // smaller files never reach the model
  int32_t padding = 0;
  double medium_threshold = 0;
  std::vector<std::string> labels;                         // by class number
  std::unordered_map<std::string, double> thresholds;      // of labels that differ from the medium one
  std::unordered_map<std::string, std::string> overwrite;  // label of the model -> label to answer
  std::unordered_map<std::string, ContentType> types;      // every label that can be answered
};

Result<Config> read_config(const std::string& folder);

}  // namespace colony::runtime::filetype
