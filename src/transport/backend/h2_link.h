// The h2c link's parts (link.h): H2Wire is one connection, an nghttp2 client session (h2_wire.cc, h2_wire_callbacks.cc),
// H2Link the few of them and the calls that wait for a stream (h2_link.cc). Internal to transport/backend.
// WHY no nghttp2 header here: it is kept out of what others include.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "transport/backend/link_base.h"

struct nghttp2_session;

namespace colony::backend {

class H2Link;
class H2Wire;

struct H2Call : CallSlot<H2Wire> {
  using CallSlot::CallSlot;
  size_t buffered() const { return body.size() - sent; }
  void clear();

  int32_t stream = -1;

  std::string block;  // while it waits: the head
  Deadline deadline = Deadline::never();
  std::string body;  // of the request, not yet in frames from `sent` on
  size_t sent = 0;
  std::string trailers;
  bool ended = false;     // the request is whole
  bool deferred = false;  // nghttp2 was told that there are no bytes now
  mutable bool wants_room = false;

  std::string head, reply_trailers;  // of the reply, as it comes
  size_t unconsumed = 0;
  size_t interim = 0;  // bytes of interim replies
  bool replied = false;
  bool reset = false;  // by the backend
};

// One connection. Owned by the link; closed ones live to the end of the turn.
class H2Wire final : public async::StreamHandler {
 public:
  H2Wire(H2Link& link, async::Loop& loop, std::unique_ptr<async::Stream> stream);
  ~H2Wire() override;

  bool takes_calls() const { return greeted_ && !goaway_ && !closed_ && open_ < max_streams_; }
  bool greeted() const { return greeted_; }
  bool leaving() const { return goaway_ || closed_; }
  bool submit(H2Call& call, const http::RequestHead& head);  // false: no further stream can be opened here
  void resume(H2Call& call);                                 // more of the request is there
  void consumed(H2Call& call, size_t bytes);
  void forget(H2Call& call, bool cancel);  // the call is over; cancel: the backend is told
  void end_of_turn();                      // what was submitted leaves
  void look(TimePoint now);                // is anybody there?
  void close() { closed_ = true; }

  size_t on_bytes(std::string_view data) override;
  void on_drained() override;
  void on_end() override;
  void on_closed(const Error& error) override;

  size_t index = 0;  // in the link's list

 private:
  friend struct H2WireCallbacks;
  void pull();
  void flush();
  void broken(std::string_view why);

  H2Link& link_;
  async::Loop& loop_;
  std::unique_ptr<async::Stream> stream_;
  nghttp2_session* session_ = nullptr;
  std::string out_;
  std::vector<H2Call*> roomy_;  // on_writable is due
  size_t open_ = 0;
  size_t max_streams_ = 100;
  TimePoint heard_;
  bool pinged_ = false;
  bool greeted_ = false, goaway_ = false, closed_ = false;
  bool in_session_ = false, pull_stopped_ = false, broken_ = false;
  async::Timer greet_, again_;
};

// Calls share connections; a further one is made when all streams of the others are taken, or when the backend says
// goodbye on one (GOAWAY), whose calls then finish there.
class H2Link final : public LinkBase<H2Call, H2Wire> {
 public:
  static constexpr size_t kMaxConnections = 16;          // LIMIT: per link; further calls wait for a stream
  static constexpr size_t kMaxStreams = 1000;            // LIMIT: per connection, whatever the backend allows
  static constexpr size_t kWindow = 256 * 1024;          // LIMIT: reply bytes of one call that were not consumed yet
  static constexpr int64_t kRequestWindow = 256 * 1024;  // LIMIT: request bytes of one call that wait here

  H2Link(async::Loop& loop, async::Endpoint to, Deadline deadline, Events events);
  ~H2Link() override = default;

  frame::CallId call(const http::RequestHead& head, std::string_view extra, std::string_view body, bool end,
                     Deadline deadline, frame::CallHandler& handler) override;
  int64_t writable(frame::CallId id) const override;
  void body(frame::CallId id, std::string_view data, bool end) override;
  void end(frame::CallId id, std::string_view trailers) override;
  void consumed(frame::CallId id, size_t reply_bytes) override;

 private:
  friend class H2Wire;
  friend struct H2WireCallbacks;

  void start(H2Call& call, const http::RequestHead& head, std::string_view extra, std::string_view body, bool end,
             Deadline deadline) override;
  void abandon(H2Wire& wire, H2Call& call) override { wire.forget(call, true); }
  void on_connected(Result<std::unique_ptr<async::Stream>> stream) override;
  void before_failures() override;
  void serve_waiting();
  void dial_as_needed();
  void greeted();
  void drop_wire(H2Wire& wire, const Error& why);  // its calls fail; destroyed at the end of the turn
  void refused(Error why);                         // no connection could be made

  async::Timer look_;
};

nghttp2_session* new_client_session(H2Wire& wire);

}  // namespace colony::backend
