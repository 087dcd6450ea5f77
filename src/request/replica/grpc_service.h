// inference.GRPCInferenceService, grpc.health.v1 and reflection at a replica.
#pragma once

#include "request/replica/core.h"
#include "transport/grpc/health.h"
#include "transport/grpc/service.h"

namespace colony::replica {

// Owned by the replica, lives on its loop. Calls that run end with their exchanges; the server goes first.
class GrpcService {
 public:
  explicit GrpcService(Core& core);
  ~GrpcService();
  http::ExchangeHandler* on_request(http::Exchange& exchange, const http::RequestHead& head) {
    return dispatcher_.on_request(exchange, head);
  }
  void show_state();  // the lifecycle has changed, or the model hangs: health answers and watchers follow

 private:
  Core& core_;
  grpc::Dispatcher dispatcher_;
  grpc::Health health_;
  async::Timer look_;  // when work that is late will have outlived its deadline for too long
};

}  // namespace colony::replica
