// What names and route prefixes may look like.
#include <fmt/format.h>

#include <algorithm>

#include "domain/spec_keys.h"

namespace colony::spec {
namespace {

constexpr size_t kMaxName = 63, kMaxDeploymentName = 48;
constexpr size_t kMaxModelName = 128;
constexpr size_t kMaxPrefix = 255;

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alnum(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z'); }

}  // namespace

std::string name_problem(std::string_view name) {
  if (name.empty()) return "must not be empty";
  if (name.size() > kMaxName) return fmt::format("has {} characters; at most {} are allowed", name.size(), kMaxName);
  if (!is_lower_alnum(name.front()) || !std::all_of(name.begin(), name.end(), [](char c) {
        return is_lower_alnum(c) || c == '-' || c == '_' || c == '.';
      }))
    return "must begin with a-z or 0-9 and hold only a-z, 0-9, '-', '_' and '.'";
  return {};
}

std::string deployment_name_problem(std::string_view name) {
  if (name.size() > kMaxDeploymentName)
    return fmt::format("has {} characters; at most {} are allowed", name.size(), kMaxDeploymentName);
  return name_problem(name);
}

std::string model_name_problem(std::string_view name) {
  if (name.empty()) return "must not be empty";
  if (name.size() > kMaxModelName)
    return fmt::format("has {} characters; at most {} are allowed", name.size(), kMaxModelName);
  if (!is_alnum(name.front()) ||
      !std::all_of(name.begin(), name.end(), [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; }))
    return "must begin with a letter or digit and hold only letters, digits, '-', '_' and '.'";
  return {};
}

std::string route_prefix_problem(std::string_view prefix) {
  if (!prefix.starts_with('/')) return "must begin with '/' (or be null: no raw HTTP)";
  if (prefix.size() > kMaxPrefix)
    return fmt::format("has {} characters; at most {} are allowed", prefix.size(), kMaxPrefix);
  if (prefix.size() > 1 && prefix.ends_with('/')) return "must not end with '/'";
  if (prefix.find("//") != std::string_view::npos) return "must not hold an empty segment ('//')";
  if (!std::all_of(prefix.begin(), prefix.end(), [](char c) {
        return is_alnum(c) || std::string_view("/-_.~!$&'()*+,;=:@").find(c) != std::string_view::npos;
      }))
    return "must be a plain path: letters, digits and /-_.~!$&'()*+,;=:@ (no '?', '#', '%', '{' or spaces)";
  const std::string padded = std::string(prefix) + "/";
  if (padded.find("/./") != std::string::npos || padded.find("/../") != std::string::npos)
    return "must not hold '.' or '..' as a segment";
  if (padded.starts_with("/-/")) return "is reserved: /-/... belongs to the proxy itself (/-/healthz, /-/routes)";
  return {};
}

}  // namespace colony::spec
