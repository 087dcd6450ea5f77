// The table-driven reader: problems with their path, scalars with their bounds, keys that are not in the table.
#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <tuple>

#include "domain/spec_keys.h"

namespace colony::spec {

void Reading::problem(Mark mark, std::string value, std::string message) {
  if (problems_.size() >= doc::kMaxProblems) {
    ++left_out_;
    left_out_other_ = true;
    return;
  }
  problems_.push_back(
      Problem{std::string(source_.file), mark.line, mark.column, path_, std::move(value), std::move(message), false});
}

void Reading::conflict(Mark mark, std::string value, std::string message) {
  if (problems_.size() >= doc::kMaxProblems) {
    ++left_out_;
    return;
  }
  problem(mark, std::move(value), std::move(message));
  problems_.back().conflict = true;
}

void Reading::wrong_kind(const Node& n, std::string_view expected) {
  problem(n, fmt::format("expected {}, got {}", expected, doc::kind_name(n.kind)));
}

Reading::Step::Step(Reading& r, std::string_view key) : r_(r), length_(r.path_.size()) {
  if (!r.path_.empty()) r.path_ += '.';
  constexpr size_t kShownKey = 60;
  r.path_ += key.substr(0, kShownKey);
}
Reading::Step::Step(Reading& r, size_t index) : r_(r), length_(r.path_.size()) {
  r.path_ += fmt::format("[{}]", index);
}

Problems Reading::take() {
  if (left_out_ > 0)
    problems_.push_back(Problem{
        std::string(source_.file), 0, 0, {}, {}, fmt::format("and {} more problems", left_out_), !left_out_other_});
  std::sort(problems_.begin(), problems_.end(), [](const Problem& a, const Problem& b) {
    auto place = [](const Problem& p) { return std::tuple(p.line > 0 ? p.line : INT_MAX, p.column, p.key_path); };
    return place(a) < place(b);
  });
  return std::move(problems_);
}

namespace {

// Numbers for YAML 1.2 and texts for YAML 1.1, which most emitters follow and so leave unquoted: 1e3, 0o17, 09.
bool may_be_text(const Node& n) {
  const std::string& s = n.text;
  if (n.kind == Kind::kReal) return s.find_first_of("eE") != std::string::npos && s.find('.') == std::string::npos;
  return n.kind == Kind::kInt && s.size() > 1 && s[0] == '0' && s[1] != 'x';
}

int64_t characters(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

}  // namespace

bool read_text(Reading& r, const Node& n, std::string& out) {
  if (n.kind != Kind::kString && !(r.source().format == SpecFormat::kYaml && may_be_text(n))) {
    if (n.kind == Kind::kInt || n.kind == Kind::kReal || n.kind == Kind::kBool)
      r.problem(n, fmt::format("expected a string, got {}; put it in quotes", doc::kind_name(n.kind)));
    else
      r.wrong_kind(n, "a string");
    return false;
  }
  if (const int64_t length = characters(n.text); length > kMaxText) {
    r.problem(n, fmt::format("has {} characters; at most {} are allowed", length, kMaxText));
    return false;
  }
  if (n.text.find('\0') != std::string::npos) {
    r.problem(n, "holds a NUL byte");
    return false;
  }
  out = n.text;
  return true;
}

bool read_bool(Reading& r, const Node& n, bool& out) {
  if (n.kind != Kind::kBool) {
    r.wrong_kind(n, "true or false");
    return false;
  }
  out = n.flag;
  return true;
}

bool read_int(Reading& r, const Node& n, int64_t low, int64_t high, int64_t& out) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  int64_t value = n.integer;
  if (n.kind == Kind::kReal && std::trunc(n.real) == n.real && std::abs(n.real) < kExact) {
    value = static_cast<int64_t>(n.real);  // 2.0, as JSON Schema counts it
  } else if (n.kind == Kind::kReal) {
    r.problem(n, fmt::format("must be an integer from {} to {}", low, high));
    return false;
  } else if (n.kind != Kind::kInt) {
    r.wrong_kind(n, fmt::format("an integer from {} to {}", low, high));
    return false;
  }
  if (value < low || value > high) {
    r.problem(n, fmt::format("must be from {} to {}", low, high));
    return false;
  }
  out = value;
  return true;
}

bool read_real(Reading& r, const Node& n, double low, double high, double& out) {
  if (n.kind != Kind::kInt && n.kind != Kind::kReal) {
    r.wrong_kind(n, fmt::format("a number from {} to {}", low, high));
    return false;
  }
  if (!(n.real >= low && n.real <= high)) {
    r.problem(n, fmt::format("must be from {} to {}", low, high));
    return false;
  }
  out = n.real;
  return true;
}

namespace {

// Optimal string alignment: insertions, deletions, changes and swaps of neighbours.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

// Does `given` hold nothing but what `standard` has? Mappings may leave members out; null is "the default" in Ray.
bool holds_default(const Node& given, const Node& standard) {
  if (given.kind == Kind::kNull) return true;
  if (given.kind == Kind::kMap && standard.kind == Kind::kMap)
    return std::all_of(given.members.begin(), given.members.end(), [&](const doc::Member& m) {
      const Node* s = standard.find(m.key);
      return s != nullptr && holds_default(m.value, *s);
    });
  const bool numbers = (given.kind == Kind::kInt || given.kind == Kind::kReal) &&
                       (standard.kind == Kind::kInt || standard.kind == Kind::kReal);
  return numbers ? given.real == standard.real : doc::json_text(given) == doc::json_text(standard);
}

}  // namespace

std::string nearest(std::string_view word, std::span<const std::string_view> candidates) {
  constexpr size_t kLongest = 64;
  if (word.size() > kLongest || word.size() < 2) return {};
  std::string lower(word);
  for (char& c : lower) c = c == '-' ? '_' : static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  size_t best = std::max<size_t>(1, lower.size() / 3) + 1;
  std::string_view found;
  for (std::string_view c : candidates)
    if (size_t distance = edit_distance(lower, c); distance < best) {
      best = distance;
      found = c;
    }
  if (found.empty() && lower.size() >= 4)  // "replicas" for num_replicas, "prefix" for route_prefix
    for (std::string_view c : candidates)
      if (c.find(lower) != std::string_view::npos || (c.size() >= 4 && lower.find(c) != std::string::npos)) {
        found = c;
        break;
      }
  return std::string(found);
}

void refuse_key(Reading& r, const doc::Member& m, std::string_view what, std::span<const std::string_view> names,
                std::span<const Later> later) {
  for (const Later& l : later) {
    if (l.name != m.key) continue;
    if (r.dialect() == Dialect::kRay && !l.ray_default.empty()) {
      auto standard = doc::parse_json(SpecSource{l.ray_default, SpecFormat::kJson, "", {}});
      if (standard && holds_default(m.value, *standard)) return;
    }
    return r.problem(m.mark, doc::shown(m.value), fmt::format("is not supported yet; {}", l.instead));
  }
  if (std::string near = nearest(m.key, names); !near.empty())
    return r.problem(m.mark, {}, fmt::format("unknown key; did you mean {}?", near));
  std::string known;
  for (std::string_view n : names) known += (known.empty() ? "" : ", ") + std::string(n);
  r.problem(m.mark, {}, fmt::format("unknown key; {} has: {}", what, known));
}

}  // namespace colony::spec
