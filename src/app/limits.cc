// One line per limit; a limit that is not given keeps its default (a house of another version started this process).
#include "app/limits.h"

namespace colony::app {

void set_limits(proxy::ProxyOptions& options, const std::map<std::string, double>& limits) {
  const auto number = [&](const char* key, auto& to) {
    if (auto it = limits.find(key); it != limits.end()) to = static_cast<std::decay_t<decltype(to)>>(it->second);
  };
  const auto seconds = [&](const char* key, Duration& to) {
    if (auto it = limits.find(key); it != limits.end()) to = from_seconds(it->second);
  };
  http::ServerOptions& server = options.server;
  number("connections", server.max_connections);
  number("connections_per_address", server.max_per_address);
  number("streams", server.max_streams);
  number("head_bytes", server.max_head_bytes);
  number("head_fields", server.max_head_fields);
  number("url_bytes", server.max_url);
  number("body_bytes", server.max_body);
  seconds("head_time_s", server.head_timeout);
  seconds("body_time_s", server.body_timeout);
  number("body_rate", server.body_rate);
  seconds("send_time_s", server.send_timeout);
  number("send_rate", server.send_rate);
  seconds("idle_s", server.idle_timeout);
  seconds("tunnel_idle_s", server.tunnel_idle);
  number("memory_bytes", options.max_memory);
}

}  // namespace colony::app
