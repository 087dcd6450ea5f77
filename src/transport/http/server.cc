// The listening server: accepts, lets TLS come to terms where it is spoken, and hands the stream to the carrier that was
// agreed there or that its first bytes name.
#include "transport/http/server.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

#include "async/deferred.h"
#include "transport/frame/codec.h"
#include "transport/frame/server.h"
#include "transport/http/connection.h"

namespace colony::http {
namespace {

class HttpServer;

// A first line of three words of which the last names no protocol is a broken preface of HTTP/2 ("INVALID CONNECTION
// PREFACE") or no HTTP at all: whoever sent it reads no answer in HTTP/1.1, so the connection is closed (RFC 9113, 3.4).
bool names_no_protocol(std::string_view data) {
  const size_t end = data.find("\r\n");
  if (end == data.npos) return false;
  const std::string_view line = data.substr(0, end);
  const size_t first = line.find(' '), last = line.rfind(' ');
  return first != last && line.find(' ', first + 1) == last && line.find('/') == line.npos;
}

// A stream of which too little has been seen to know its carrier. Owned by the server; hands the stream on or ends.
class FreshStream final : public async::StreamHandler {
 public:
  FreshStream(HttpServer& server, std::unique_ptr<async::Stream> stream, tls::Protocol agreed,
              SharedConnections::Seat seat);
  size_t on_bytes(std::string_view data) override;
  void on_end() override;
  void on_closed(const Error&) override { on_end(); }
  SharedConnections::Seat take_seat() { return std::move(seat_); }

 private:
  HttpServer& server_;
  std::unique_ptr<async::Stream> stream_;
  const tls::Protocol agreed_;
  SharedConnections::Seat seat_;
  async::Timer timer_;
  bool begun_ = false;
};

class HttpServer final : public Server {
 public:
  HttpServer(async::Loop& loop, Service& service, ServerOptions options)
      : options_(options),
        context_{loop, service, options_, stats_, [this](Connection& c) { bury(c); }},
        reap_(loop, [this] { reap(); }),
        grace_(loop, [this] { end_the_silent(); }) {
    if (options_.certificates)
      acceptor_.emplace(loop, options_.certificates, options_.tls, [this](std::unique_ptr<tls::TlsStream> s) {
        const tls::Protocol agreed = s->protocol();
        add_fresh(std::move(s), agreed);
      });
    if (!options_.connections)
      options_.connections = std::make_shared<SharedConnections>(options_.max_connections, options_.max_per_address);
  }

  // What is destroyed here says on_done(false) to its requests; whoever that is may still look at this server.
  ~HttpServer() override {
    listener_.reset();
    acceptor_.reset();
    fresh_.clear();
    auto connections = std::move(connections_);
    connections_.clear();
    connections.clear();
    reap();
  }

  Result<void> start(const async::Endpoint& at) {
    TRY(listener_, context_.loop.listen(at, [this](std::unique_ptr<async::Stream> s) { accept(std::move(s)); },
                                        {.reuse_port = options_.reuse_port}));
    endpoint_ = listener_->endpoint();
    return {};
  }

  async::Endpoint endpoint() const override { return endpoint_; }

  void drain(Duration grace) override {
    if (std::exchange(draining_, true)) return;
    listener_.reset();
    if (grace <= Duration::zero()) return end_the_silent();
    context_.draining = true;
    for (Connection* c : all_connections()) c->drain_gently();
    grace_.arm_after(grace);
  }

  void drain_connections() override {
    for (Connection* c : all_connections()) c->drain();  // a closed one stays in memory until reap()
  }

  void use_certificates(std::shared_ptr<const tls::ServerContext> certificates) override {
    acceptor_->use(std::move(certificates));
  }

  bool drained() const override { return draining_ && open() == 0; }

  ServerStats stats() const override {
    ServerStats s = stats_;
    s.open_connections = open();
    if (acceptor_) s.tls = acceptor_->stats();
    return s;
  }

  ConnectionContext& context() { return context_; }

  // Gives the stream to its carrier, which then sees the bytes that `fresh` was shown.
  size_t hand_over(FreshStream& fresh, std::unique_ptr<Connection> connection, std::string_view data) {
    Connection& c = *connection;
    connections_.emplace(&c, Live{fresh.take_seat(), std::move(connection)});
    drop(fresh);
    const size_t used = c.on_bytes(data);
    if (draining_) c.drain_gently();
    return used;
  }

  void refuse(FreshStream& fresh) {
    ++stats_.bad_requests;
    drop(fresh);
  }

  void drop(FreshStream& fresh) {
    const auto it = fresh_.find(&fresh);
    if (it == fresh_.end()) return;
    dead_fresh_.push_back(std::move(it->second));
    fresh_.erase(it);
    reap_.schedule();
  }

 private:
  struct Live {
    SharedConnections::Seat seat;
    std::unique_ptr<Connection> connection;
  };

  std::vector<Connection*> all_connections() {
    std::vector<Connection*> all;
    for (auto& [key, live] : connections_) all.push_back(key);
    return all;
  }

  // Whoever has not begun a request is not waited for any longer.
  void end_the_silent() {
    for (auto& [key, fresh] : fresh_) dead_fresh_.push_back(std::move(fresh));
    fresh_.clear();
    if (acceptor_) acceptor_->end_all();
    drain_connections();
    reap_.schedule();
  }
  size_t open() const { return connections_.size() + fresh_.size() + (acceptor_ ? acceptor_->open() : 0); }

  void accept(std::unique_ptr<async::Stream> stream) {
    if (!acceptor_) return add_fresh(std::move(stream), tls::Protocol::kNone);
    if (open() >= options_.max_connections) return refuse(Limit::kConnections);
    acceptor_->accept(std::move(stream));
  }

  void refuse(Limit limit) {
    ++stats_.refused;
    stats_.hit(limit);
  }

  void add_fresh(std::unique_ptr<async::Stream> stream, tls::Protocol agreed) {
    SharedConnections::Seat seat;
    if (const auto limit = options_.connections->enter(stream->peer(), seat)) return refuse(*limit);
    ++stats_.accepted;
    auto fresh = std::make_unique<FreshStream>(*this, std::move(stream), agreed, std::move(seat));
    FreshStream* key = fresh.get();
    fresh_.emplace(key, std::move(fresh));
  }

  void bury(Connection& c) {
    const auto it = connections_.find(&c);
    if (it == connections_.end()) return;
    dead_.push_back(std::move(it->second.connection));
    connections_.erase(it);
    reap_.schedule();
  }

  void reap() {
    auto dead = std::move(dead_);
    auto dead_fresh = std::move(dead_fresh_);
    dead_.clear();
    dead_fresh_.clear();
  }

  ServerOptions options_;
  ServerStats stats_;
  ConnectionContext context_;
  std::unique_ptr<async::Listener> listener_;
  std::optional<tls::Acceptor> acceptor_;
  async::Endpoint endpoint_;
  bool draining_ = false;
  std::unordered_map<FreshStream*, std::unique_ptr<FreshStream>> fresh_;
  std::unordered_map<Connection*, Live> connections_;
  std::vector<std::unique_ptr<FreshStream>> dead_fresh_;
  std::vector<std::unique_ptr<Connection>> dead_;
  async::Deferred reap_;
  async::Timer grace_;
};

FreshStream::FreshStream(HttpServer& server, std::unique_ptr<async::Stream> stream, tls::Protocol agreed,
                         SharedConnections::Seat seat)
    : server_(server),
      stream_(std::move(stream)),
      agreed_(agreed),
      seat_(std::move(seat)),
      timer_(server.context().loop, [this] { server_.drop(*this); }) {
  stream_->set_handler(this);
  timer_.arm_after(server.context().options.idle_timeout);
}

void FreshStream::on_end() { server_.drop(*this); }

size_t FreshStream::on_bytes(std::string_view data) {
  if (!stream_) return data.size();
  ConnectionContext& context = server_.context();
  const auto begins = [&](std::string_view with) {
    const size_t n = std::min(data.size(), with.size());
    return data.substr(0, n) == with.substr(0, n);
  };
  constexpr std::string_view kHttp2 = kHttp2Preface.substr(0, 14);
  const bool told = agreed_ != tls::Protocol::kNone;
  const bool frames = !told && context.options.accept_frames && begins(frame::kMagic);
  const bool http2 = told ? agreed_ == tls::Protocol::kHttp2 : begins(kHttp2);
  if ((frames && data.size() < frame::kMagic.size()) || (http2 && !told && data.size() < kHttp2.size())) {
    if (!std::exchange(begun_, true)) timer_.arm_after(context.options.head_timeout);
    return 0;
  }
  timer_.cancel();
  if (!frames && !http2 && names_no_protocol(data)) {
    server_.refuse(*this);
    return data.size();
  }
  auto connection = frames  ? frame::serve_frames(std::move(stream_), context)
                    : http2 ? serve_http2(std::move(stream_), context)
                            : serve_http1(std::move(stream_), context);
  return server_.hand_over(*this, std::move(connection), data);
}

}  // namespace

Result<std::unique_ptr<Server>> Server::listen(async::Loop& loop, const async::Endpoint& at, Service& service,
                                               ServerOptions options) {
  auto server = std::make_unique<HttpServer>(loop, service, options);
  TRY_VOID(server->start(at));
  return server;
}

}  // namespace colony::http
