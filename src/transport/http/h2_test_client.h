// Clients of HTTP/2 for tests, over any Loop: one on nghttp2 that behaves, one of bare frames that need not. And a small
// server of one endpoint, so that connections can be tested without http::Server. Implemented in h2_test_client_test.cc.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/loop.h"
#include "transport/http/connection.h"

struct nghttp2_session;

namespace colony::http::testing {

// One call of H2TestClient, filled as the reply comes.
struct H2TestCall {
  int32_t id = 0;
  int status = 0;
  std::vector<int> informational;
  std::map<std::string, std::string> headers, trailers;
  std::string body;
  bool ended = false;   // END_STREAM came
  bool closed = false;  // the stream is over, however
  uint32_t error = 0;   // of RST_STREAM
  // What is still to be sent.
  std::string out;
  size_t sent = 0;
  bool out_ends = true, deferred = false;
  std::string out_trailers;
};

class H2TestClient final : public async::StreamHandler {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  H2TestClient(async::Loop& loop, const async::Endpoint& to, int32_t stream_window = 65535);
  ~H2TestClient() override;

  std::shared_ptr<H2TestCall> get(std::string path) { return call("GET", std::move(path), {}, {}, true); }
  std::shared_ptr<H2TestCall> call(std::string method, std::string path, Fields fields, std::string body, bool end);
  void send(H2TestCall& call, std::string_view data, bool end, std::string trailers = {});
  void reset(H2TestCall& call, uint32_t code = 8);
  // Received DATA opens the window again only after this was set (the default) or by consume().
  void set_auto_consume(bool yes) { auto_consume_ = yes; }
  void consume(H2TestCall& call, size_t bytes);

  bool goaway = false, closed = false;
  uint32_t goaway_code = 0;
  int32_t goaway_last_id = -1;
  std::vector<int32_t> goaway_ids;  // of every GOAWAY
  size_t max_concurrent = 0;        // the server's setting

  size_t on_bytes(std::string_view data) override;
  void on_drained() override { pull(); }
  void on_end() override { closed = true; }
  void on_closed(const Error&) override { closed = true; }

 private:
  friend struct H2TestCallbacks;
  void pull();
  std::unique_ptr<async::Stream> stream_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, std::shared_ptr<H2TestCall>> calls_;
  std::shared_ptr<H2TestClient*> self_;
  bool auto_consume_ = true, pulling_ = false;
};

// A frame as it stood on the wire.
struct RawFrame {
  uint8_t type = 0, flags = 0;
  uint32_t stream = 0;
  std::string payload;
  uint32_t code() const;  // RST_STREAM: the code; GOAWAY: its code
};
std::string raw_frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload);
// A GET of "/" with END_HEADERS; literal fields without indexing.
std::string raw_headers(uint32_t stream, bool end_stream, std::string_view method = "GET", std::string_view path = "/");
std::string raw_field(std::string_view name, std::string_view value);

class H2RawPeer final : public async::StreamHandler {
 public:
  // Sends the preface and empty SETTINGS unless `greet` is false.
  H2RawPeer(async::Loop& loop, const async::Endpoint& to, bool greet = true);
  void send(std::string_view bytes);
  void close() { stream_.reset(); }
  void half_close() { stream_->shutdown_write(); }
  void pause() { stream_->pause(); }
  void resume() { stream_->resume(); }
  std::vector<RawFrame> frames;
  bool closed = false;
  const RawFrame* first(uint8_t type) const;
  size_t count(uint8_t type) const;

  size_t on_bytes(std::string_view data) override;
  void on_end() override { closed = true; }
  void on_closed(const Error&) override { closed = true; }

 private:
  std::unique_ptr<async::Stream> stream_;
  std::string early_;
};

// Serves every connection with serve_http2.
class H2TestServer {
 public:
  H2TestServer(async::Loop& loop, const async::Endpoint& at, Service& service, ServerOptions options = {});
  ~H2TestServer();
  void drain();
  size_t connections() const { return connections_.size(); }
  Connection& connection() { return *connections_.begin()->second; }
  async::Endpoint endpoint() const { return listener_->endpoint(); }
  ServerStats stats;

 private:
  async::Loop& loop_;
  ServerOptions options_;
  ConnectionContext context_;
  std::map<Connection*, std::unique_ptr<Connection>> connections_;
  std::unique_ptr<async::Listener> listener_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace colony::http::testing
