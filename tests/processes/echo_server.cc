// A server for conformance and load tools (h2spec, h2load, wrk, grpcio): HTTP/1.1, HTTP/2 and gRPC on one port, straight
// on the transport, with nothing of Colony's roles in it. Usage: echo_server [--http2] [ADDRESS]; prints "listening
// ADDRESS" and serves until SIGTERM, then drains. --http2: HTTP/2 without a look at the first bytes.
//   /            "hello", or the request's body
//   /stream      each piece of body as it comes, and the trailers
//   /big/N       N bytes
//   /echo.Echo/  gRPC: Unary, Stream (one reply per message), Fail (NOT_FOUND), Slow (answers after 10 s);
//                health and reflection beside it
#include <fmt/core.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <map>

#include "async/epoll_loop.h"
#include "transport/grpc/health.h"
#include "transport/grpc/reflection.h"
#include "transport/http/connection.h"

namespace colony {
namespace {

class EchoCall final : public http::ExchangeHandler {
 public:
  EchoCall(http::Exchange& exchange, const http::RequestHead& head)
      : exchange_(exchange), stream_(head.path == "/stream") {
    if (head.path.starts_with("/big/")) {
      const std::string_view digits = head.path.substr(5);
      std::from_chars(digits.data(), digits.data() + digits.size(), left_);
      big_ = true;
    }
    if (stream_) exchange_.reply("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n", {}, http::More::kYes);
  }
  void on_body(std::string_view data) override {
    if (stream_) {
      exchange_.body(data, http::More::kYes);
      held_ += data.size();
      if (exchange_.writable() > 0) take();
    } else {
      body_.append(data);
      exchange_.consumed(data.size());
    }
  }
  void on_end(std::string_view trailers) override {
    if (stream_) return exchange_.end(trailers);
    if (!big_) return http::reply_with(exchange_, 200, "text/plain", body_.empty() ? "hello\n" : body_);
    exchange_.reply(fmt::format("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", left_), {},
                    left_ > 0 ? http::More::kYes : http::More::kNo);
    produce();
  }
  void on_writable() override {
    if (big_) {
      produce();
    } else {
      take();
    }
  }
  void on_done(bool) override { delete this; }

 private:
  ~EchoCall() = default;
  void take() { exchange_.consumed(std::exchange(held_, 0)); }
  void produce() {
    static const std::string piece(64 * 1024, 'x');
    while (left_ > 0 && exchange_.writable() > 0) {
      const size_t n = std::min<size_t>(left_, piece.size());
      left_ -= n;
      exchange_.body(std::string_view(piece).substr(0, n), left_ > 0 ? http::More::kYes : http::More::kNo);
    }
  }

  http::Exchange& exchange_;
  bool stream_, big_ = false;
  std::string body_;
  size_t left_ = 0, held_ = 0;
};

class EchoStream final : public grpc::StreamHandler {
 public:
  explicit EchoStream(grpc::StreamCall& call) : call_(call) {}
  void on_message(std::string_view message) override {
    call_.send(message);
    if (call_.writable() <= 0) call_.pause();
  }
  void on_writable() override { call_.resume(); }
  void on_half_close() override { call_.finish(); }

 private:
  grpc::StreamCall& call_;
};

class Echo final : public http::Service {
 public:
  explicit Echo(async::Loop& loop) : loop_(loop) {
    methods_.unary("/echo.Echo/Unary", [](std::string_view message, grpc::UnaryCall& call) {
      if (const auto tag = call.metadata("x-tag")) {
        call.add_header("x-tag", *tag);
        call.add_trailer("x-tag-end", *tag);
      }
      call.finish(message);
    });
    methods_.unary("/echo.Echo/Fail", [](std::string_view, grpc::UnaryCall& call) {
      call.finish(not_found("nothing here: 100% of \xc3\xa4pfel\n"));
    });
    methods_.unary("/echo.Echo/Slow", [this](std::string_view, grpc::UnaryCall& call) {
      auto& timer = slow_[&call];
      timer = std::make_unique<async::Timer>(loop_, [this, &call] {
        loop_.post([this, &call] { slow_.erase(&call); });
        call.finish("slow");
      });
      timer->arm_after(10s);
    });
    methods_.streaming("/echo.Echo/Stream", [](grpc::StreamCall& call) -> std::unique_ptr<grpc::StreamHandler> {
      return std::make_unique<EchoStream>(call);
    });
    health_.register_on(methods_);
    health_.set("", grpc::Serving::kServing);
    health_.set("echo.Echo", grpc::Serving::kServing);
    grpc::register_reflection(methods_);
  }
  http::ExchangeHandler* on_request(http::Exchange& exchange, const http::RequestHead& head) override {
    if (head.is_grpc()) return methods_.on_request(exchange, head);
    return new EchoCall(exchange, head);
  }
  void shut_down() { health_.shut_down(); }

 private:
  async::Loop& loop_;
  grpc::Health health_;
  grpc::Dispatcher methods_{{.max_plain = size_t{64} << 20}};
  std::map<grpc::UnaryCall*, std::unique_ptr<async::Timer>> slow_;
};

// Just enough of a server around serve_http2.
class Http2Only {
 public:
  Http2Only(async::Loop& loop, http::Service& service)
      : loop_(loop), context_{loop, service, options_, stats_, [this](http::Connection& c) {
                                loop_.post([this, key = &c] { connections_.erase(key); });
                              }} {}
  Result<async::Endpoint> listen(const async::Endpoint& at) {
    TRY(listener_, loop_.listen(at, [this](std::unique_ptr<async::Stream> stream) {
      auto connection = http::serve_http2(std::move(stream), context_);
      http::Connection* key = connection.get();
      connections_.emplace(key, std::move(connection));
    }));
    return listener_->endpoint();
  }

 private:
  async::Loop& loop_;
  http::ServerOptions options_;
  http::ServerStats stats_;
  http::ConnectionContext context_;
  std::map<http::Connection*, std::unique_ptr<http::Connection>> connections_;
  std::unique_ptr<async::Listener> listener_;
};

int run(const char* address, bool http2_only) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  const int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);

  auto loop = async::EpollLoop::create();
  Echo echo(*loop);
  Http2Only http2(*loop, echo);
  std::unique_ptr<http::Server> server;
  async::Endpoint at{address};
  Result<> ready;
  if (http2_only) {
    auto bound = http2.listen(at);
    if (bound) at = *bound;
    if (!bound) ready = fail(bound.error());
  } else {
    auto made = http::Server::listen(*loop, at, echo);
    if (made) server = std::move(*made);
    if (!made) ready = fail(made.error());
    if (server) at = server->endpoint();
  }
  if (!ready) {
    fmt::print(stderr, "{}\n", ready.error().message);
    return 1;
  }
  async::Timer end(*loop, [&] { loop->stop(); });
  async::Timer check(*loop, [&] {
    if (!server || server->drained()) loop->stop();
    check.arm_after(10ms);
  });
  auto watch = loop->watch_fd(fd, [&] {
    signalfd_siginfo info;
    if (read(fd, &info, sizeof info) != sizeof info) return;
    echo.shut_down();
    if (server) server->drain();
    check.arm_after(10ms);
    end.arm_after(5s);
  });
  if (!watch) return 1;
  fmt::print("listening {}\n", at.text);
  std::fflush(stdout);
  loop->run();
  server.reset();
  close(fd);
  return 0;
}

}  // namespace
}  // namespace colony

int main(int argc, char** argv) {
  const bool http2 = argc > 1 && std::string_view(argv[1]) == "--http2";
  const int at = http2 ? 2 : 1;
  return colony::run(argc > at ? argv[at] : "127.0.0.1:0", http2);
}
