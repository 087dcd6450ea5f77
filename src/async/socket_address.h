// Endpoint text to and from socket addresses. Numeric IPv4 and IPv6 and the name "localhost"; other host names are
// refused, because a look-up would block the loop.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "async/loop.h"

namespace colony::async {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family() const { return storage.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

// kInvalidArgument names the text and what would be right.
Result<SocketAddress> parse_address(const Endpoint& at);
// "127.0.0.1:8000", "[::1]:8000", "unix:/path", "unix" for an unnamed unix socket.
std::string address_text(const SocketAddress& address);

}  // namespace colony::async
