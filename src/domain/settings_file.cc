// The generic document reader does the work; scalars are let through, and groups of them: `limits: {idle_s: 5}` is the
// setting limits.idle_s.
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
  const auto take = [&](const doc::Member& m, const std::string& key) {
    switch (m.value.kind) {
      case doc::Kind::kNull: words.push_back({key, "", m.mark.line}); break;
      case doc::Kind::kBool: words.push_back({key, m.value.flag ? "true" : "false", m.mark.line}); break;
      case doc::Kind::kInt:
      case doc::Kind::kReal:
      case doc::Kind::kString: words.push_back({key, m.value.text, m.mark.line}); break;
      case doc::Kind::kList:
      case doc::Kind::kMap:
        problems.push_back({std::string(source.file), m.mark.line, m.mark.column, key, "",
                            fmt::format("is {}; give one value", kind_name(m.value.kind))});
    }
  };
  for (const auto& m : root->members) {
    if (m.value.kind != doc::Kind::kMap) {
      take(m, m.key);
      continue;
    }
    for (const auto& inner : m.value.members) take(inner, m.key + "." + inner.key);
  }
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return words;
}

}  // namespace colony
