// One request in service, whatever carried it: HTTP/1.1, HTTP/2 or a frame link. Servers (transport/http/server.h and
// transport/frame/server.h) make an Exchange per request and show it to a Service; the Service answers through it.
// Everything runs on the connection's loop. The proxy, the control API and the replica all serve through this one face.
#pragma once

#include <string>
#include <string_view>

#include "async/loop.h"
#include "transport/http/head.h"

namespace colony::http {

enum class More : bool { kNo, kYes };  // does more follow (body or trailers)?
enum class Carrier : uint8_t { kHttp1, kHttp2, kFrame };

// What a Service keeps per request. Nothing here is called from inside a call into the Exchange (so the handler may answer
// and look at itself afterwards), and the bytes shown are valid during the call only. Order of calls: on_body* on_end? ... then on_done exactly once, last.
// The connection never touches the handler after on_done; the handler may delete or recycle itself there.
class ExchangeHandler {
 public:
  // The handler must say exchange.consumed(n) for every byte once it has no more use for it: that is the sender's credit.
  virtual void on_body(std::string_view data) = 0;
  // The request is whole. `trailers`: "name: value\r\n" lines, usually empty. on_end comes even for requests without a
  // body (right after on_request has returned).
  virtual void on_end(std::string_view trailers) = 0;
  // After writable() had been zero or less: there is room again.
  virtual void on_writable() {}
  // Tunnels only: the server drains; end the tunnel in the order that its protocol knows, within seconds.
  virtual void on_drain() {}
  // The last call. ok: the whole reply was handed over. Otherwise the client went away, its deadline passed or the
  // connection broke: cancel the work. The Exchange is gone after this call.
  virtual void on_done(bool ok) = 0;

 protected:
  ~ExchangeHandler() = default;
};

// Interim replies (status below 200 but 101) may come before the reply; a carrier that knows none drops them.
//
// Tunnel: a request with head.upgrade may be answered with 101 and More::kYes. on_end has come for the request as always;
// from the 101 on on_body and body() carry raw bytes under the same credit, on_end({}) comes once more when the client has
// ended its half, end({}) ends ours, and on_done comes when both have ended. No deadline holds any more, only
// ServerOptions::tunnel_idle. Two carriers know tunnels: HTTP/1.1 and the frame link.
class Exchange {
 public:
  // Starts the reply. `block` is a full HTTP/1.1 reply head; hop-by-hop fields in it are dropped. With neither
  // content-length nor More::kNo the body is framed by the carrier (chunked, DATA frames). `body` is the first part.
  // With More::kNo the reply is whole after this call (a missing content-length is added).
  virtual void reply(std::string_view block, std::string_view body, More more) = 0;
  // Same, when the caller has parsed the block already (the proxy); body must directly follow block in memory or be empty.
  virtual void reply(const ReplyHead& head, std::string_view body, More more) = 0;
  virtual void body(std::string_view data, More more) = 0;
  // Ends the reply with trailers ("name: value\r\n" lines, may be empty). gRPC's status travels here.
  virtual void end(std::string_view trailers) = 0;
  // Breaks the reply off: RST_STREAM, cancel frame, or closing the HTTP/1.1 connection when the head has left;
  // before the head has left it answers with the error as JSON (or gRPC status). Afterwards on_done(false) comes.
  virtual void abort(const Error& error) = 0;

  // Bytes of reply body that may be given before on_writable must be awaited. More is buffered, so respect it.
  virtual int64_t writable() const = 0;
  virtual void consumed(size_t bytes) = 0;

  virtual Carrier carrier() const = 0;
  virtual Deadline deadline() const = 0;  // from the carrier (the frame link's head); never() when it has none
  virtual std::string_view peer() const = 0;
  virtual bool secure() const { return false; }  // came over TLS
  virtual async::Loop& loop() = 0;

 protected:
  ~Exchange() = default;
};

class Service {
 public:
  virtual ~Service() = default;
  // `head` and its views are valid during the call only. Returns the handler, never null. The Service may already reply
  // in this call; on_done then comes after it has returned.
  virtual ExchangeHandler* on_request(Exchange& exchange, const RequestHead& head) = 0;
};

// The one shape of our errors as text: {"error":"message","code":"NOT_FOUND","reason":"..."}. Bytes of the message that are
// no UTF-8 become U+FFFD.
std::string error_json(const Error& error);
// Answers with a whole reply; adds content-length. `extra`: further "name: value\r\n" lines.
void reply_with(Exchange& exchange, int status, std::string_view content_type, std::string_view body,
                std::string_view extra = {});
// Answers with error_json() and the status of its code; for a gRPC request a trailers-only
// reply with grpc-status and grpc-message. 429 and 503 carry Retry-After.
void reply_error(Exchange& exchange, bool grpc, const Error& error, std::string_view extra = {});

}  // namespace colony::http
