// An agent by address: AgentPort over rpc::Client. Calls fail with kUnavailable while nobody answers there; the watch
// reconnects by itself with a bounded back-off and says kResync each time.
#pragma once

#include <memory>

#include "async/scope.h"
#include "engine/agent/event_hub.h"
#include "engine/agent/port.h"
#include "transport/rpc/rpc.h"

namespace colony::engine {

// Owner: whoever made it, which awaits stop() before it destroys it. Lives on its loop.
class RemoteAgent final : public AgentPort {
 public:
  struct Options {
    Duration call_timeout = 10s;
    Duration backoff_min = 20ms, backoff_max = 1s;
  };
  RemoteAgent(async::Loop& loop, async::Endpoint at, Options options);
  RemoteAgent(async::Loop& loop, async::Endpoint at) : RemoteAgent(loop, std::move(at), Options()) {}
  ~RemoteAgent() override;
  async::Task<void> stop();

  async::Task<Result<Reservation>> reserve(Fence fence, ActorSpec spec) override;
  async::Task<Result<ActorStatus>> start(Fence fence, Reservation reservation) override;
  async::Task<Result<void>> stop(Fence fence, std::string actor, Duration grace) override;
  async::Task<Result<std::vector<ActorStatus>>> list(std::string app) override;
  std::unique_ptr<Subscription> watch(std::function<void(const Event&)> on_event) override;
  async::Task<Result<Node>> node() override;
  async::Task<Result<std::string>> logs(std::string actor, size_t lines) override;

  bool connected() const { return connected_; }  // the watch stands

 private:
  async::Task<Result<std::string>> call(std::string_view method, std::string request, Duration extra = {});
  async::Task<void> session();

  async::Loop& loop_;
  Options options_;
  rpc::Client rpc_;
  EventHub hub_;
  async::Scope scope_;
  bool connected_ = false;
};

}  // namespace colony::engine
