// A flat configuration file (YAML or JSON, `key: value` lines): read into words with the line of each. What the keys mean is
// the caller's business (app/config.h).
#pragma once

#include <string>
#include <vector>

#include "domain/spec_parse.h"

namespace colony {

struct SettingWord {
  std::string key, value;  // scalars as written; true and false as such
  int line = 0;
};

Checked<std::vector<SettingWord>> parse_settings(const SpecSource& source);

}  // namespace colony
