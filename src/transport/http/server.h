// A listening server: accepts on one endpoint and tells HTTP/1.1, HTTP/2 (prior knowledge) and, where allowed, the frame
// link apart by the first bytes; every request goes to one Service as an Exchange. Lives on its loop.
#pragma once

#include <memory>

#include "async/loop.h"
#include "transport/http/exchange.h"
#include "transport/http/limits.h"
#include "transport/tls/acceptor.h"

namespace colony::http {

struct ServerOptions {
  bool accept_frames = false;  // the replica's socket
  bool reuse_port = false;
  bool relay_continue =
      false;  // the Service gives 100 Continue by an interim reply; else we do, when it is shown the head
  size_t max_connections = 20000;                       // LIMIT: further ones are closed at once and counted
  size_t max_per_address = 0;                           // LIMIT: of them, of one client address; 0: no bound
  std::shared_ptr<SharedConnections> connections = {};  // over several servers, instead of the two above
  // Of a request. Above: 431 (a head can have no more than kMaxHeadBytes and kMaxFields), 414, 413.
  size_t max_head_bytes = kMaxHeadBytes, max_head_fields = kMaxFields, max_url = 16 * 1024;
  uint64_t max_body = 0;        // 0: no bound; bodies are streamed
  Duration idle_timeout = 75s;  // keep-alive without a request
  Duration tunnel_idle = 300s;  // an upgraded connection without a byte in either direction
  Duration head_timeout = 10s;  // from the first byte of a head to its end
  // A client is given this long, and then must have kept up with the rate (bytes per second; 0: the time is not kept).
  // Body: while it is waited for and no reply has begun. Reply: over every such span in which bytes wait for the client.
  Duration body_timeout = 30s, send_timeout = 60s;
  uint64_t body_rate = 500, send_rate = 500;
  size_t body_window = 256 * 1024;                         // request bytes accepted ahead of consumed()
  size_t max_streams = 256;                                // HTTP/2 concurrent streams per connection
  std::shared_ptr<const tls::ServerContext> certificates;  // null: no TLS; else nothing but TLS
  tls::AcceptorOptions tls;
};

struct ServerStats {
  uint64_t accepted = 0, refused = 0, requests = 0, bad_requests = 0;
  size_t open_connections = 0, open_requests = 0;
  size_t open_links = 0;  // of the connections, those that are framed links
  tls::AcceptorStats tls;
  LimitHits hits = {};
  void hit(Limit limit) { ++hits[static_cast<size_t>(limit)]; }
};

class Server {
 public:
  static Result<std::unique_ptr<Server>> listen(async::Loop& loop, const async::Endpoint& at, Service& service,
                                                ServerOptions options = {});
  virtual ~Server() = default;  // closes everything at once
  virtual async::Endpoint endpoint() const = 0;
  // Stops accepting; idle connections end; busy ones answer what they have begun (GOAWAY, Connection: close).
  void drain() { drain(Duration::zero()); }
  // The same, but a connection that is idle or has said nothing yet is not ended before `grace` is over: its client may be
  // about to send a request. That one is answered and told to be the last (HTTP/2 is told at once, by GOAWAY).
  virtual void drain(Duration grace) = 0;
  // Only the connections that are open now are told to begin nothing new; new ones are still accepted (a replica that
  // drains goes on answering its master).
  virtual void drain_connections() = 0;
  // For connections from now on; only where options.certificates was given.
  virtual void use_certificates(std::shared_ptr<const tls::ServerContext> certificates) = 0;
  virtual bool drained() const = 0;  // after drain(): no connection is left
  virtual ServerStats stats() const = 0;
};

}  // namespace colony::http
