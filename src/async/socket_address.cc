// See socket_address.h.
#include "async/socket_address.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>

namespace colony::async {
namespace {

constexpr size_t kUnixPathMax = sizeof(sockaddr_un{}.sun_path) - 1;  // 107

Error bad(const Endpoint& at, std::string_view why) {
  return invalid_argument(
      fmt::format("address '{}': {}; right are 127.0.0.1:8000, [::1]:8000, localhost:8000 or unix:/path", at.text, why),
      "bad_address");
}

Result<SocketAddress> parse_unix(const Endpoint& at) {
  const std::string_view path = at.path();
  if (path.empty()) return fail(bad(at, "the path of the socket is missing"));
  if (path.find('\0') != std::string_view::npos) return fail(bad(at, "the path of the socket holds a zero byte"));
  if (path.size() > kUnixPathMax) {
    return fail(invalid_argument(
        fmt::format("unix socket path '{}' has {} bytes, the system allows {}: choose a shorter folder", path,
                    path.size(), kUnixPathMax),
        "path_too_long"));
  }
  SocketAddress out;
  auto* un = reinterpret_cast<sockaddr_un*>(&out.storage);
  un->sun_family = AF_UNIX;
  std::memcpy(un->sun_path, path.data(), path.size());
  out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return out;
}

}  // namespace

Result<SocketAddress> parse_address(const Endpoint& at) {
  if (at.is_unix()) return parse_unix(at);
  const std::string_view text = at.text;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return fail(bad(at, "the port is missing"));
  const std::string_view digits = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (ec != std::errc() || end != digits.data() + digits.size())
    return fail(bad(at, "the port is not a number from 0 to 65535"));
  std::string host(text.substr(0, colon));
  SocketAddress out;
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    out.size = sizeof *in6;
    if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &in6->sin6_addr) != 1)
      return fail(bad(at, "no IPv6 address stands in the brackets"));
    return out;
  }
  if (host == "localhost") host = "127.0.0.1";
  auto* in = reinterpret_cast<sockaddr_in*>(&out.storage);
  in->sin_family = AF_INET;
  in->sin_port = htons(port);
  out.size = sizeof *in;
  if (inet_pton(AF_INET, host.c_str(), &in->sin_addr) != 1)
    return fail(bad(at, "the host is neither a numeric address nor localhost"));
  return out;
}

std::string address_text(const SocketAddress& address) {
  char host[INET6_ADDRSTRLEN] = "";
  switch (address.family()) {
    case AF_INET: {
      const auto* in = reinterpret_cast<const sockaddr_in*>(&address.storage);
      inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
      return fmt::format("{}:{}", host, ntohs(in->sin_port));
    }
    case AF_INET6: {
      const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
      inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
      return fmt::format("[{}]:{}", host, ntohs(in6->sin6_port));
    }
    default: {
      const auto* un = reinterpret_cast<const sockaddr_un*>(&address.storage);
      return address.size > offsetof(sockaddr_un, sun_path) && un->sun_path[0] ? fmt::format("unix:{}", un->sun_path)
                                                                               : "unix";
    }
  }
}

}  // namespace colony::async
