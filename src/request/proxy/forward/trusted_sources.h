// Whose word about a request's origin counts: the networks of the proxies in front of this one (--trusted-proxies). From
// anybody else `forwarded` and `x-forwarded-*` are dropped, since a client may write there what it likes. A value, read by
// every loop; contains() allocates nothing.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace colony::proxy {

class TrustedSources {
 public:
  // "10.0.0.0/8,127.0.0.1,fd00::/8"; "" trusts nobody. Blanks around a part do not matter.
  static Result<TrustedSources> parse(std::string_view text);
  // `peer` as http::Exchange::peer() gives it: "10.1.2.3:4711", "[fd00::1]:4711". What is no address is not trusted.
  bool contains(std::string_view peer) const;
  bool empty() const { return networks_.empty(); }

 private:
  using Address = std::array<uint8_t, 16>;  // an IPv4 address as ::ffff:a.b.c.d
  struct Network {
    Address prefix{};
    uint8_t bits = 0;
  };
  static bool read_address(std::string_view text, Address& out, bool& v4);

  std::vector<Network> networks_;
};

// "10.1.2.3" of "10.1.2.3:4711", "fd00::1" of "[fd00::1]:4711"; what has no port stays as it is.
std::string_view host_of(std::string_view peer);

}  // namespace colony::proxy
