// What http::Server holds per connection once the first bytes have told the carrier: HTTP/1.1 (h1_connection.cc) and
// HTTP/2 (h2_connection.cc) hide behind it, and the frame link's server end has the same shape. Internal to transport/;
// services see only Exchange.
#pragma once

#include <functional>
#include <memory>

#include "async/loop.h"
#include "transport/http/exchange.h"
#include "transport/http/server.h"

namespace colony::http {

class Connection;

// Called once by a connection that is over (lost, drained, or ended by a protocol error), after every running request
// has had its on_done. The callee destroys the connection later in the same turn, never inside the call: whoever calls
// it may still unwind through the connection's own frames, but starts nothing new. Not called from the destructor.
using ConnectionClosed = std::function<void(Connection&)>;

// What all connections of one server share; owned by the server, which outlives them.
// Who counts: the server `accepted`, `refused`, `open_connections`; the connection `requests` (at on_request),
// `bad_requests` (a head or frame it refused by itself) and `open_requests`.
struct ConnectionContext {
  async::Loop& loop;
  Service& service;
  const ServerOptions& options;
  ServerStats& stats;
  ConnectionClosed on_closed;
  bool draining = false;     // every request that begins now is its connection's last
  std::string scratch = {};  // where a connection puts text together during one call
};

// One accepted stream, from its first byte to its end. Owned by the server, lives on its loop, owns its stream.
// Destruction closes the stream at once; running requests then get on_done(false).
class Connection : public async::StreamHandler {
 public:
  // Begins nothing new: an idle connection ends now, a busy one after the answers that it owes (GOAWAY for HTTP/2,
  // Connection: close for HTTP/1.1). on_closed follows, possibly inside this call. Twice is harmless.
  virtual void drain() = 0;
  // The same for a client that may be about to send a request: an idle HTTP/1.1 connection waits for it (context.draining
  // makes it the last one) until drain(); HTTP/2 announces the end first.
  virtual void drain_gently() { drain(); }
  virtual size_t open_requests() const = 0;
  // No request is open and no part of one has arrived: closing it now loses nothing.
  virtual bool idle() const = 0;
  // on_closed has been called, or will be as soon as what was begun has ended.
  virtual bool closing() const = 0;
};

// The stream has shown its first bytes to the caller, who has consumed none. The factory makes itself the stream's
// handler; the caller then passes the bytes it holds to on_bytes() and returns its answer as the number consumed. For
// HTTP/2 these bytes start with "PRI * HTTP/2.0".
std::unique_ptr<Connection> serve_http1(std::unique_ptr<async::Stream> stream, ConnectionContext& context);
std::unique_ptr<Connection> serve_http2(std::unique_ptr<async::Stream> stream, ConnectionContext& context);

inline constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace colony::http
