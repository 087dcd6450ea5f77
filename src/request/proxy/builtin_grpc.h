// The gRPC methods that the proxy answers by itself: ServerLive and its like, the model repository's index, health and
// reflection. One per ProxyLoop, lives on its loop.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "request/proxy/builtin.h"
#include "transport/grpc/health.h"
#include "transport/grpc/service.h"

namespace colony::proxy {

class GrpcBuiltin {
 public:
  explicit GrpcBuiltin(std::function<ServerView()> view);
  http::ExchangeHandler* on_request(http::Exchange& exchange, const http::RequestHead& head) {
    return dispatcher_.on_request(exchange, head);
  }
  // After a new table, and when the drain begins: health of the server and of each model.
  void update();

 private:
  std::function<ServerView()> view_;
  grpc::Dispatcher dispatcher_;
  grpc::Health health_;
  std::vector<std::string> known_;
};

// A ModelStatisticsResponse in gRPC framing.
std::string grpc_statistics(const std::vector<ModelCounts>& models);

}  // namespace colony::proxy
