// Puts a registry on a router (transport/rpc), so that other processes reach it by address (discovery/remote.h). Owns
// nothing but the streams of its subscribers; lives on the registry's loop and outlives the router's requests.
#pragma once

#include "discovery/registry.h"
#include "transport/http/unary.h"

namespace colony::discovery {

class Service {
 public:
  // Mounts the methods. `router` and `registry` outlive the Service.
  Service(async::Loop& loop, Registry& registry, http::Router& router);
  ~Service();  // after stop() has been awaited
  // Ends the streams of all subscribers.
  async::Task<void> stop();
  size_t streams() const { return streams_; }

 private:
  async::Task<Result<std::string>> publish(std::string request);
  async::Task<Result<std::string>> withdraw(std::string request);
  async::Task<Result<std::string>> register_proxy(std::string request);
  async::Task<Result<std::string>> unregister_proxy(std::string request);
  async::Task<Result<std::string>> acknowledge(std::string request);
  async::Task<void> subscribe(std::function<async::Task<bool>(std::string)> send);

  async::Loop& loop_;
  Registry& registry_;
  async::Scope scope_;
  size_t streams_ = 0;
  async::Signal ended_;
};

}  // namespace colony::discovery
