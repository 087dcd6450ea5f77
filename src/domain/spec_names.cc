// What names and route prefixes may look like.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

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

std::string host_problem(std::string_view host) {
  if (host.empty()) return "must not be empty";
  if (host.size() > kMaxPrefix)
    return fmt::format("has {} characters; at most {} are allowed", host.size(), kMaxPrefix);
  if (host.front() == '[' && host.back() == ']') {
    in6_addr v6{};
    const std::string inner(host.substr(1, host.size() - 2));
    return inet_pton(AF_INET6, inner.c_str(), &v6) == 1 ? "" : "holds no IPv6 address in its brackets";
  }
  if (host.find(':') != std::string_view::npos) return "must be a host alone, without a port";
  if (!is_alnum(host.front()) || !is_alnum(host.back()) ||
      !std::all_of(host.begin(), host.end(), [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; }))
    return "must be a host name (letters, digits, '-', '_' and '.'), without wildcards";
  return {};
}

std::string grpc_service_problem(std::string_view service) {
  if (service.empty()) return "must not be empty";
  if (service.size() > kMaxPrefix)
    return fmt::format("has {} characters; at most {} are allowed", service.size(), kMaxPrefix);
  bool first = true;  // of an identifier
  for (char c : service) {
    if (c == '.' && !first) {
      first = true;
      continue;
    }
    const bool letter = is_alnum(c) && !(c >= '0' && c <= '9');
    if (!(letter || c == '_' || (!first && is_alnum(c))))
      return "must be a full name as in the .proto file: package.Service, without a slash or a method";
    first = false;
  }
  if (first) return "must be a full name as in the .proto file: package.Service";
  for (std::string_view own : {"inference.GRPCInferenceService", "grpc.health.v1.Health",
                               "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"})
    if (service == own) return "is answered by the proxy itself; reach yours by `hosts`";
  return {};
}

std::string address_problem(std::string_view address) {
  constexpr std::string_view kRight = "right are 127.0.0.1:9000, [::1]:9000, localhost:9000 or unix:/path";
  constexpr size_t kMaxSocketPath = 107;
  if (address.starts_with("unix:")) {
    const std::string_view path = address.substr(5);
    if (!path.starts_with('/')) return fmt::format("needs the socket's absolute path; {}", kRight);
    if (path.size() > kMaxSocketPath)
      return fmt::format("has a path of {} bytes; the system allows {}", path.size(), kMaxSocketPath);
    return {};
  }
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return fmt::format("has no port; {}", kRight);
  const std::string_view digits = address.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (ec != std::errc() || end != digits.data() + digits.size() || port == 0)
    return fmt::format("has no port from 1 to 65535; {}", kRight);
  const std::string host(address.substr(0, colon));
  in6_addr v6{};
  in_addr v4{};
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) == 1) return {};
    return fmt::format("holds no IPv6 address in its brackets; {}", kRight);
  }
  if (host == "localhost" || inet_pton(AF_INET, host.c_str(), &v4) == 1) return {};
  return fmt::format("has a host that is no numeric address (names are not looked up); {}", kRight);
}

}  // namespace colony::spec
