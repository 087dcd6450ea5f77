// The framed link between a proxy and a replica, seen from the proxy: one connection per (loop, replica) that multiplexes
// all requests. Requests of one loop turn leave in one write; replies are handed over straight from the read buffer.
// Wire format: transport/frame/codec.h. Lives on its loop. A broken link fails all its calls in one pass.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "async/loop.h"
#include "transport/http/head.h"

namespace colony::frame {

using CallId = uint64_t;  // slot and generation; a stale one is ignored everywhere

// What the caller keeps per call. After on_end or on_failed the call is over and the CallId stale.
class CallHandler {
 public:
  // `head` is parsed strictly (a replica runs user code). Body bytes directly follow head.block in memory.
  // end: the reply is whole with this. Interim replies (status below 200 but 101) may come before, without body and end.
  virtual void on_reply(const http::ReplyHead& head, std::string_view body, bool end) = 0;
  virtual void on_body(std::string_view data, bool end) = 0;
  virtual void on_end(std::string_view trailers) = 0;  // only when neither call above had end = true
  // Status 101 made the call a tunnel: `end` is never true, on_end({}) says that the replica has ended its half, and the
  // call is over with this, once end() has been given as well and everything has left. Possibly inside end().
  virtual void on_tunnel_over() {}
  virtual void on_writable() {}  // credit for request body bytes is back
  // The link broke, the replica reset the call, or the link is going away and never took it (retry = kYes then).
  virtual void on_failed(const Error& error) = 0;

 protected:
  ~CallHandler() = default;
};

class Link {
 public:
  virtual ~Link() = default;  // fails nothing: the owner must have ended its calls
  struct Events {
    std::function<void()> on_ready;               // hello exchanged: calls may start
    std::function<void()> on_goaway;              // no new calls; running ones finish
    std::function<void(const Error&)> on_closed;  // after every call's on_failed; the Link may be destroyed in it
  };
  static std::unique_ptr<Link> connect(async::Loop& loop, async::Endpoint to, Deadline deadline, Events events);

  virtual bool ready() const = 0;  // connected, hello done, no goaway
  // Starts a call; when the link is not ready(), or carries all that the replica takes, it fails by on_failed at the end of
  // the turn (so look at ready() before a retry). `head` without hop-by-hop fields; `extra`: "name: value\r\n" lines that are added to it. `body`: the
  // part of the body that is here already; end: nothing follows. The deadline travels as milliseconds left.
  virtual CallId call(const http::RequestHead& head, std::string_view extra, std::string_view body, bool end,
                      Deadline deadline, CallHandler& handler) = 0;
  // Same with a head block that is ready to travel: hop-by-hop fields dropped, additions made (the proxy keeps it in that
  // form, since it may have to send it twice); it is copied as it is.
  virtual CallId call_block(std::string_view block, std::string_view body, bool end, Deadline deadline,
                            CallHandler& handler) = 0;
  virtual int64_t writable(CallId id) const = 0;  // request body credit
  virtual void body(CallId id, std::string_view data, bool end) = 0;
  virtual void end(CallId id, std::string_view trailers) = 0;
  virtual void consumed(CallId id, size_t reply_bytes) = 0;  // gives credit back to the replica
  virtual void cancel(CallId id) = 0;                        // no callback follows
  virtual void drain(CallId) {}                              // of a tunnel: asks the replica's protocol to end it
  virtual void drain_tunnels() {}                            // no new calls come: as drain(), where nobody else does it
  virtual size_t outstanding() const = 0;
  // What the last reply said: nanoseconds for which a request keeps the replica's loop busy; 0: it was answered elsewhere
  // (by a thread, later), or nobody knows.
  virtual uint32_t busy_ns() const { return 0; }
  virtual size_t pending() const = 0;  // bytes in the outbox
};

}  // namespace colony::frame
