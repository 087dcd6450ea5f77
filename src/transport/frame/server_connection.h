// The replica's end of one framed link: a slot per call, each an Exchange. Internal to transport/frame; made by
// serve_frames(). The connection's side is server.cc, the Exchange's verbs are in exchange.cc.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "async/deferred.h"
#include "async/link_stream.h"
#include "transport/frame/flow.h"
#include "transport/frame/server.h"
#include "transport/http/chunked.h"

namespace colony::frame {

class ServerConnection;

// One call in service. The objects are kept and used again: a call allocates nothing once its slot has been in use.
class ServerCall final : public http::Exchange {
 public:
  ServerCall(ServerConnection& connection, uint32_t slot) : connection_(connection), slot_(slot) {}

  void reply(std::string_view block, std::string_view body, http::More more) override;
  void reply(const http::ReplyHead& head, std::string_view body, http::More more) override;
  void body(std::string_view data, http::More more) override;
  void end(std::string_view trailers) override;
  void abort(const Error& error) override;
  int64_t writable() const override;
  void consumed(size_t bytes) override;
  http::Carrier carrier() const override { return http::Carrier::kFrame; }
  Deadline deadline() const override { return deadline_; }
  std::string_view peer() const override;
  async::Loop& loop() override;

 private:
  friend class ServerConnection;
  // The reply has been handed over, or given up; of a tunnel both halves have ended.
  bool over() const { return cut_ || (out_.ended() && (!tunnel_ || request_ended_)); }
  bool wants_body() const { return handler_ && !cut_ && (!reply_ended_ || tunnel_); }
  void settle_if_over();
  void send(std::string_view data, bool end);
  void break_off(const Error& error);
  void interim(const http::ReplyHead& head, std::string_view body);

  ServerConnection& connection_;
  const uint32_t slot_;
  uint32_t stream_ = 0;  // 0: the slot is free
  http::ExchangeHandler* handler_ = nullptr;
  mutable Outflow out_;
  Inflow in_;
  Deadline deadline_ = Deadline::never();
  bool head_request_ = false, grpc_ = false;
  bool request_ended_ = false, replied_ = false, reply_ended_ = false, no_body_ = false;
  bool upgrade_ = false, tunnel_ = false;  // the request asked for one; it was answered with 101
  bool ok_ = true, cut_ = false, listed_ = false;
};

// Owned by http::Server, lives on its loop. A frame that no honest proxy sends ends the link, and with it all its calls.
class ServerConnection final : public http::Connection {
 public:
  ServerConnection(std::unique_ptr<async::Stream> stream, http::ConnectionContext& context);
  ~ServerConnection() override;

  size_t on_bytes(std::string_view data) override;
  void on_end() override { over(); }
  void on_closed(const Error&) override { over(); }
  void drain() override;
  size_t open_requests() const override { return open_; }
  bool idle() const override { return open_ == 0; }
  bool closing() const override { return draining_ || closed_; }

 private:
  friend class ServerCall;
  bool take(const Header& header, std::string_view payload);
  bool take_hello(std::string_view payload);
  bool take_ring_offer();
  bool take_request(const Header& header, std::string_view payload);
  bool take_body(const Header& header, std::string_view payload);
  bool take_end(const Header& header, std::string_view payload);
  void end_request(ServerCall& call, std::string_view trailers);
  ServerCall* find(uint32_t stream);
  bool dead_link(std::string_view why);
  void say_goaway();
  void list(ServerCall& call);
  void settle();
  void finish(ServerCall& call);
  void leave_if_drained();
  void over();
  void on_timer();
  uint32_t busy_ns();
  uint32_t busy_so_far(uint32_t requests) const;

  http::ConnectionContext& context_;
  std::unique_ptr<async::Stream> stream_;
  async::LinkStream* shared_;  // stream_'s, where it has one
  std::string peer_;
  std::vector<std::unique_ptr<ServerCall>> slots_;
  std::vector<ServerCall*> settling_;  // replies are whole; on_done is owed
  async::Deferred settle_;
  async::Timer timer_;
  size_t open_ = 0;
  TimePoint heard_;  // when bytes came last
  TimePoint leave_at_ = TimePoint::max();
  TimePoint began_;        // the call of on_bytes() under way
  uint32_t answered_ = 0;  // in it
  uint32_t busy_ns_ = 0;   // per request of the last one that answered any; 0: there was none yet
  bool tells_busy_ = false;
  bool greeted_ = false, hello_seen_ = false, ring_expected_ = false, in_callback_ = false;
  bool draining_ = false, proxy_leaves_ = false, ended_ = false, closed_ = false;
};

}  // namespace colony::frame
