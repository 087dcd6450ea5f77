// What the proxy answers by itself: its health and routes, the server part of the Open Inference Protocol, which names no
// model, and the errors for what does not exist. The gRPC twin is builtin_grpc.h. Pure: text from a view of the table.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "request/proxy/route/table.h"

namespace colony::proxy {

// What one model's requests came to, by the proxy's own counters over all loops. Models of one deployment share them.
struct ModelCounts {
  std::string model, version;
  uint64_t ok = 0, failed = 0;
  uint64_t ok_ns = 0;  // total time of the requests
};

// What the built-in answers know.
struct ServerView {
  const RouteTable* routes = nullptr;  // null: no table has arrived yet
  bool draining = false;
  std::function<bool(std::string_view model)> has_replica = {};  // one that is ready; unset: none of any
  std::function<std::vector<ModelCounts>()> counts = {};
  bool serves(std::string_view model) const { return has_replica && has_replica(model); }
};

struct BuiltinReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string extra;  // further header lines
};

// `path` was resolved to Target::kBuiltin.
BuiltinReply answer_builtin(std::string_view method, std::string_view path, const ServerView& view);

// Target::kNotFound: names what was asked for and what exists.
Error route_error(std::string_view path, std::string_view reason, const RouteTable& routes);

inline constexpr std::string_view kServerName = "colony";
// Of the protocol, in Triton's words: what the replicas understand beyond the core.
inline constexpr std::string_view kExtensions[] = {"binary_tensor_data", "model_configuration", "statistics"};

}  // namespace colony::proxy
