// The bounds of a server by name, who has met them, and what the loops of one server share of them. The values are in
// ServerOptions; docs/limits.md is the table for people.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace colony::http {

enum class Limit : uint8_t {
  kConnections,
  kAddressConnections,
  kHeadBytes,
  kHeadFields,
  kUrl,
  kBody,
  kHeadTime,
  kBodyTime,
  kSendTime,
  kIdle,
  kTunnelIdle,
};
inline constexpr size_t kLimits = 11;
std::string_view limit_name(Limit limit);  // as in the configuration, "head_bytes"

using LimitHits = std::array<uint64_t, kLimits>;

// How many connections the loops of one server hold, together and per client address. Any thread; asked when a connection
// comes and when it goes.
class SharedConnections {
 public:
  // per_address 0: no bound.
  SharedConnections(size_t total, size_t per_address) : total_(total), per_address_(per_address) {}
  size_t open() const { return open_.load(std::memory_order_relaxed); }

  // A connection's place among them; given back by its destructor.
  class Seat {
   public:
    Seat() = default;
    Seat(Seat&& other) noexcept : of_(std::exchange(other.of_, nullptr)), address_(std::move(other.address_)) {}
    Seat& operator=(Seat&&) = delete;
    ~Seat() {
      if (of_) of_->leave(address_);
    }

   private:
    friend class SharedConnections;
    SharedConnections* of_ = nullptr;
    std::string address_;  // empty: not counted by address
  };
  // `peer`: "127.0.0.1:40312"; what has no port (a unix socket) is not counted by address. Otherwise which limit is met.
  std::optional<Limit> enter(std::string_view peer, Seat& seat);

 private:
  void leave(const std::string& address);

  const size_t total_, per_address_;
  std::atomic<size_t> open_{0};
  std::mutex mutex_;
  std::unordered_map<std::string, size_t> by_address_;  // guarded by mutex_
};

}  // namespace colony::http
