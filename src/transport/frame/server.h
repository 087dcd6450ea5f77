// The replica's end of the framed link: turns frames into http::Exchange objects for a Service. Made by http::Server when
// a connection opens with kMagic. Replies of one loop turn leave in one write.
#pragma once

#include <memory>

#include "async/loop.h"
#include "transport/http/exchange.h"

namespace colony::frame {

class ServerConnection {
 public:
  virtual ~ServerConnection() = default;
  // Takes over a stream whose first bytes are kMagic (not yet consumed). `on_closed` may destroy the connection.
  static std::unique_ptr<ServerConnection> serve(std::unique_ptr<async::Stream> stream, async::Loop& loop,
                                                 http::Service& service, std::function<void()> on_closed);
  virtual void goaway() = 0;  // tells the proxy to start nothing new here
  virtual size_t open_requests() const = 0;
};

}  // namespace colony::frame
