// See listening_sockets.h.
#include "app/listening_sockets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "async/socket_address.h"
#include "base/log.h"
#include "engine/agent/kept_sockets.h"

namespace colony::app {
namespace {

constexpr Duration kPredecessorPatience = 5s;

// Those of another address are of no use: the setting has changed.
bool serve(const std::vector<async::Descriptor>& sockets, const std::string& address) {
  const auto parsed = async::parse_address({address});
  if (sockets.empty() || !parsed) return false;
  const std::string at = async::endpoint_of(sockets.front()).text, wanted = async::address_text(*parsed);
  if (wanted.ends_with(":0")) return at.starts_with(wanted.substr(0, wanted.size() - 1));
  return at == wanted;
}

std::vector<async::Descriptor> given_by_agent() {
  std::vector<async::Descriptor> out;
  const char* text = std::getenv(engine::kSocketsVariable);
  const int count = text ? std::atoi(text) : 0;
  for (int fd = 3; fd < 3 + count; ++fd) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) out.emplace_back(fd);
  }
  return out;
}

Result<std::vector<async::Descriptor>> bind_new(const std::string& address, size_t count) {
  std::vector<async::Descriptor> out;
  // WHY: sockets that share a port (SO_REUSEPORT) would share it with those of another process as well, which would then
  // get half of the connections. One that does not share tells whether the port is free.
  TRY(auto alone, async::open_listening_socket({address}, {}));
  if (count == 1) {
    out.push_back(std::move(alone));
    return out;
  }
  const async::Endpoint at = async::endpoint_of(alone);
  alone.reset();
  for (size_t i = 0; i < count; ++i) {
    TRY(auto socket, async::open_listening_socket(at, {.reuse_port = true}));
    out.push_back(std::move(socket));
  }
  return out;
}

}  // namespace

async::Task<Result<ListeningSockets>> ListeningSockets::open(async::Loop& loop, Wanted wanted) {
  if (auto given = given_by_agent(); serve(given, wanted.address)) {
    LOG(info, "goes on with {} listening sockets that the agent kept", given.size());
    co_return ListeningSockets(std::move(given), true);
  }
  if (!wanted.predecessor.empty() && ::access(wanted.predecessor.c_str(), F_OK) == 0) {
    auto lent =
        co_await async::borrow_descriptors(loop, wanted.predecessor, Deadline::after(loop.now(), kPredecessorPatience));
    if (lent && serve(*lent, wanted.address)) {
      LOG(info, "takes {} listening sockets over", lent->size());
      co_return ListeningSockets(std::move(*lent), true);
    }
    LOG(warn, "no sockets to take over: {}", lent ? "they listen elsewhere" : lent.error().message);
  }
  CO_TRY(auto made, bind_new(wanted.address, std::min(wanted.count, async::kMaxLent)));
  co_return ListeningSockets(std::move(made), false);
}

Result<std::vector<async::Endpoint>> ListeningSockets::endpoints() const {
  std::vector<async::Endpoint> out;
  for (const auto& socket : sockets_) {
    TRY(auto copy, socket.copy());
    out.push_back({fmt::format("fd:{}", copy.release())});
  }
  return out;
}

Result<std::unique_ptr<async::DescriptorLender>> ListeningSockets::lend(async::Loop& loop, const std::string& path) && {
  return async::DescriptorLender::open(loop, path, std::move(sockets_));
}

}  // namespace colony::app
