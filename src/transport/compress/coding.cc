// The names of codings, and which of them an Accept-Encoding asks for.
#include "transport/compress/coding.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace colony::compress {
namespace {

struct Name {
  std::string_view token;
  Coding coding;
};
constexpr std::array<Name, 5> kNames{{{"identity", Coding::kIdentity},
                                      {"gzip", Coding::kGzip},
                                      {"deflate", Coding::kDeflate},
                                      {"zstd", Coding::kZstd},
                                      {"x-gzip", Coding::kGzip}}};

bool same(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

// "q=0.5" in thousandths; what cannot be read counts as 0, so that nobody gets what he may not want.
int quality(std::string_view parameter) {
  parameter = trimmed(parameter);
  if (parameter.size() < 3 || !same(parameter.substr(0, 2), "q=")) return 0;
  parameter.remove_prefix(2);
  if (parameter[0] != '0' && parameter[0] != '1') return 0;
  int value = (parameter[0] - '0') * 1000;
  if (parameter.size() > 1 && parameter[1] != '.') return 0;
  for (size_t i = 2, unit = 100; i < parameter.size(); ++i, unit /= 10) {
    if (i > 4 || parameter[i] < '0' || parameter[i] > '9') return 0;
    value += (parameter[i] - '0') * static_cast<int>(unit);
  }
  return value <= 1000 ? value : 0;
}

int rank(Coding c) { return c == Coding::kZstd ? 3 : c == Coding::kGzip ? 2 : c == Coding::kDeflate ? 1 : 0; }

}  // namespace

std::string_view to_string(Coding coding) {
  for (const Name& n : kNames)
    if (n.coding == coding) return n.token;
  CHECK(false);
  return {};
}

std::optional<Coding> parse_coding(std::string_view token) {
  token = trimmed(token);
  for (const Name& n : kNames)
    if (same(n.token, token)) return n.coding;
  return std::nullopt;
}

Coding choose(std::string_view accepted) {
  Coding best = Coding::kIdentity;
  int best_quality = 0;
  while (!accepted.empty()) {
    const size_t comma = accepted.find(',');
    const std::string_view item = accepted.substr(0, comma);
    accepted.remove_prefix(comma == accepted.npos ? accepted.size() : comma + 1);
    const size_t semicolon = item.find(';');
    const auto coding = parse_coding(item.substr(0, semicolon));
    if (!coding) continue;
    const int q = semicolon == item.npos ? 1000 : quality(item.substr(semicolon + 1));
    if (q > best_quality || (q == best_quality && q > 0 && rank(*coding) > rank(best))) {
      best = *coding;
      best_quality = q;
    }
  }
  return best;
}

}  // namespace colony::compress
