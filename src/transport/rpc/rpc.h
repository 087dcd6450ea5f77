// Calls between the roles: unary POST /package.Service/Method with a serialized protobuf message as body, as the Connect
// protocol frames it (https://connectrpc.com/docs/protocol: content-type application/proto; an error is a JSON body
// {"code","message"} with an HTTP status), and server streams as length-prefixed messages. Bytes here; the protobuf types
// stay in each room's wire.cc. For control traffic only; every method is idempotent, so a call whose connection turns out
// dead is made once more.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "async/loop.h"
#include "transport/http/client.h"
#include "transport/http/unary.h"

namespace colony::rpc {

using Method = std::function<async::Task<Result<std::string>>(std::string request)>;
// Mounts POST /SERVICE/METHOD on a router; the Error of a failed call travels whole (code, message, reason).
void mount(http::Router& router, std::string_view service, std::string_view method, Method fn);

// `send` waits while the peer does not read; false when it has gone. An empty message is never shown to the peer: a
// method that waits for long sends one now and then to learn whether anybody is still there.
using SendFn = std::function<async::Task<bool>(std::string message)>;
using StreamMethod = std::function<async::Task<void>(std::string request, SendFn send)>;
void mount_stream(http::Router& router, std::string_view service, std::string_view method, StreamMethod fn);

class Client {
 public:
  Client(async::Loop& loop, async::Endpoint to);
  async::Task<Result<std::string>> call(std::string_view service, std::string_view method, std::string request,
                                        Deadline deadline);
  // Until the stream ends or breaks; `on_message` returns false to stop. The server sends a keep-alive (empty message,
  // not shown) every 2 s; a silence of 10 s breaks the stream.
  async::Task<Result<void>> stream(std::string_view service, std::string_view method, std::string request,
                                   std::function<bool(std::string_view)> on_message);
  // Ends what runs (kCancelled) and refuses what comes: for an owner that wants to join its tasks.
  void close() { http_.close(); }
  const async::Endpoint& endpoint() const { return to_; }

 private:
  async::Loop& loop_;
  async::Endpoint to_;
  http::Client http_;
};

}  // namespace colony::rpc
