// The generic document reader does the work; only scalars are let through.
#include "domain/settings_file.h"

#include <fmt/format.h>

#include "domain/doc.h"

namespace colony {

Checked<std::vector<SettingWord>> parse_settings(const SpecSource& source) {
  auto root = doc::parse(source);
  if (!root) return std::unexpected(std::move(root).error());
  std::vector<SettingWord> words;
  Problems problems;
  if (root->kind == doc::Kind::kNull) return words;
  if (root->kind != doc::Kind::kMap)
    return std::unexpected(
        Problems{{std::string(source.file), root->mark.line, root->mark.column, "", "",
                  fmt::format("is {}; a configuration file is `key: value` lines", kind_name(root->kind))}});
  for (const auto& m : root->members) {
    switch (m.value.kind) {
      case doc::Kind::kNull: words.push_back({m.key, "", m.mark.line}); break;
      case doc::Kind::kBool: words.push_back({m.key, m.value.flag ? "true" : "false", m.mark.line}); break;
      case doc::Kind::kInt:
      case doc::Kind::kReal:
      case doc::Kind::kString: words.push_back({m.key, m.value.text, m.mark.line}); break;
      case doc::Kind::kList:
      case doc::Kind::kMap:
        problems.push_back({std::string(source.file), m.mark.line, m.mark.column, m.key, "",
                            fmt::format("is {}; give one value", kind_name(m.value.kind))});
    }
  }
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return words;
}

}  // namespace colony
