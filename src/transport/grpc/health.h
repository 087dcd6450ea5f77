// grpc.health.v1.Health: what gRPC clients and orchestrators ask. Holds the status per service name and tells watchers
// of changes. The role says what is true; nothing is probed here.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "transport/grpc/service.h"

namespace colony::grpc {

enum class Serving : uint8_t { kUnknown = 0, kServing = 1, kNotServing = 2 };

// Owned by the role, outlives the Dispatcher's calls. Lives on the loop of the Dispatcher's servers.
class Health {
 public:
  Health();
  ~Health();
  void register_on(Dispatcher& dispatcher);
  // Service "" is the server as a whole. Watchers see the change in this turn.
  void set(std::string_view service, Serving status);
  void remove(std::string_view service);  // NOT_FOUND from Check, SERVICE_UNKNOWN to watchers
  // The role drains: everything is NOT_SERVING and later set() calls are ignored.
  void shut_down();

 private:
  class Watcher;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace colony::grpc
