#include "transport/http/limits.h"

namespace colony::http {

std::string_view limit_name(Limit limit) {
  switch (limit) {
    case Limit::kConnections: return "connections";
    case Limit::kAddressConnections: return "connections_per_address";
    case Limit::kHeadBytes: return "head_bytes";
    case Limit::kHeadFields: return "head_fields";
    case Limit::kUrl: return "url_bytes";
    case Limit::kBody: return "body_bytes";
    case Limit::kHeadTime: return "head_time_s";
    case Limit::kBodyTime: return "body_time_s";
    case Limit::kSendTime: return "send_time_s";
    case Limit::kIdle: return "idle_s";
    case Limit::kTunnelIdle: return "tunnel_idle_s";
  }
  return "unknown";
}

std::optional<Limit> SharedConnections::enter(std::string_view peer, Seat& seat) {
  if (open_.fetch_add(1, std::memory_order_relaxed) >= total_) {
    open_.fetch_sub(1, std::memory_order_relaxed);
    return Limit::kConnections;
  }
  const size_t colon = per_address_ > 0 ? peer.rfind(':') : peer.npos;
  if (colon != peer.npos) {
    std::string address(peer.substr(0, colon));
    const std::lock_guard lock(mutex_);
    size_t& of_address = by_address_[address];
    if (of_address >= per_address_) {
      open_.fetch_sub(1, std::memory_order_relaxed);
      return Limit::kAddressConnections;
    }
    ++of_address;
    seat.address_ = std::move(address);
  }
  seat.of_ = this;
  return std::nullopt;
}

void SharedConnections::leave(const std::string& address) {
  open_.fetch_sub(1, std::memory_order_relaxed);
  if (address.empty()) return;
  const std::lock_guard lock(mutex_);
  const auto it = by_address_.find(address);
  if (--it->second == 0) by_address_.erase(it);
}

}  // namespace colony::http
