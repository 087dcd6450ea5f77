// IPv4 and IPv6 are compared as one kind of address, so that a peer that came to a dual-stack socket as ::ffff:10.0.0.1 is
// the one that 10.0.0.0/8 means.
#include "request/proxy/forward/trusted_sources.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>
#include <cstring>

namespace colony::proxy {
namespace {

constexpr size_t kMaxNetworks = 256;  // LIMIT: each is looked at for a request that brings such fields

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::string_view host_of(std::string_view peer) {
  const size_t colon = peer.rfind(':');
  if (colon == std::string_view::npos) return peer;
  std::string_view host = peer.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return host;
}

bool TrustedSources::read_address(std::string_view text, Address& out, bool& v4) {
  char zero_ended[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof zero_ended) return false;
  std::memcpy(zero_ended, text.data(), text.size());
  zero_ended[text.size()] = 0;
  v4 = text.find(':') == std::string_view::npos;
  if (!v4) return inet_pton(AF_INET6, zero_ended, out.data()) == 1;
  out = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return inet_pton(AF_INET, zero_ended, out.data() + 12) == 1;
}

Result<TrustedSources> TrustedSources::parse(std::string_view text) {
  TrustedSources out;
  if (trimmed(text).empty()) return out;
  for (bool last = false; !last;) {
    const size_t comma = text.find(',');
    const std::string_view part = trimmed(text.substr(0, comma));
    last = comma == std::string_view::npos;
    if (!last) text.remove_prefix(comma + 1);
    const size_t slash = part.find('/');
    Network n;
    bool v4 = false;
    unsigned bits = 0;
    bool good = read_address(part.substr(0, slash), n.prefix, v4);
    const unsigned most = v4 ? 32 : 128;
    if (slash == std::string_view::npos) {
      bits = most;
    } else {
      const std::string_view digits = part.substr(slash + 1);
      const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
      good = good && problem == std::errc{} && end == digits.data() + digits.size() && bits <= most;
    }
    if (!good)
      return fail(invalid_argument(
          fmt::format("'{}' is no address or network; such are 10.0.0.0/8, 127.0.0.1 and fd00::/8", part)));
    if (out.networks_.size() == kMaxNetworks)
      return fail(invalid_argument(fmt::format("has more than {} networks", kMaxNetworks)));
    n.bits = static_cast<uint8_t>(v4 ? bits + 96 : bits);
    out.networks_.push_back(n);
  }
  return out;
}

bool TrustedSources::contains(std::string_view peer) const {
  Address address{};
  bool v4 = false;
  if (networks_.empty() || !read_address(host_of(peer), address, v4)) return false;
  for (const Network& n : networks_) {
    const size_t whole = n.bits / 8, rest = n.bits % 8;
    if (std::memcmp(address.data(), n.prefix.data(), whole) != 0) continue;
    if (rest == 0 || (address[whole] ^ n.prefix[whole]) >> (8 - rest) == 0) return true;
  }
  return false;
}

}  // namespace colony::proxy
