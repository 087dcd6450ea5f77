// Arbitrary client bytes against a whole connection in simulated time: first a preface and SETTINGS unless the first byte
// is odd, then the input in pieces. A service that replies in every way. Nothing may crash, leak or run for ever, and
// every request gets its one on_done.
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "async/sim_loop.h"
#include "base/check.h"
#include "transport/http/connection.h"

namespace colony::http {
namespace {

class Handler final : public ExchangeHandler {
 public:
  Handler(Exchange& exchange, const RequestHead& head, int& open) : exchange_(exchange), open_(open) {
    ++open_;
    mode_ = head.path.size() % 5;
    if (mode_ == 1) exchange_.reply("HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n", {}, More::kYes);
    if (mode_ == 2) exchange_.reply("HTTP/1.1 413 Too Large\r\n\r\n", "no", More::kNo);
  }
  void on_body(std::string_view data) override {
    CHECK(!ended_);
    if (mode_ == 1) exchange_.body(data, More::kYes);
    if (mode_ != 3) exchange_.consumed(data.size());
    bytes_ += data.size();
  }
  void on_end(std::string_view trailers) override {
    CHECK(!ended_);
    ended_ = true;
    if (mode_ == 1) return exchange_.end(trailers);
    if (mode_ == 4) return exchange_.abort(unavailable("no"));
    exchange_.reply("HTTP/1.1 200 OK\r\n\r\n", std::string(bytes_ % 100'000, 'x'), More::kNo);
  }
  void on_done(bool) override {
    --open_;
    delete this;
  }

 private:
  ~Handler() = default;
  Exchange& exchange_;
  int& open_;
  size_t mode_ = 0, bytes_ = 0;
  bool ended_ = false;
};

struct Echo final : Service {
  ExchangeHandler* on_request(Exchange& exchange, const RequestHead& head) override {
    return new Handler(exchange, head, open);
  }
  int open = 0;
};

struct Client final : async::StreamHandler {
  size_t on_bytes(std::string_view data) override { return data.size(); }
  void on_end() override {}
  void on_closed(const Error&) override {}
};

void run(const uint8_t* data, size_t size) {
  auto loop = async::SimLoop::create({});
  Echo echo;
  const ServerOptions options{.body_window = 30'000, .max_streams = 8};
  ServerStats stats;
  std::unique_ptr<Connection> connection;
  ConnectionContext context{*loop, echo, options, stats, [&](Connection&) { loop->post([&] { connection.reset(); }); }};
  auto listener =
      loop->listen({"sim"}, [&](std::unique_ptr<async::Stream> s) { connection = serve_http2(std::move(s), context); });
  CHECK(listener.has_value());
  Client client;
  std::unique_ptr<async::Stream> stream;
  loop->connect({"sim"}, Deadline::never(), [&](Result<std::unique_ptr<async::Stream>> s) {
    stream = std::move(*s);
    stream->set_handler(&client);
  });
  loop->run_ready();
  const size_t step = 1 + data[0] / 2;
  if (data[0] % 2 == 0) stream->write(std::string(kHttp2Preface) + std::string("\0\0\0\4\0\0\0\0\0", 9));
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (size_t at = 0; at < bytes.size(); at += step) {
    if (!stream->is_closed()) stream->write(bytes.substr(at, step));
    if (at / step < 200) loop->run_ready();
  }
  loop->run_ready();
  stream.reset();
  loop->run_for(5s);
  CHECK(echo.open == 0);
  CHECK(stats.open_requests == 0);
  CHECK(connection == nullptr);
}

}  // namespace
}  // namespace colony::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) colony::http::run(data, size);
  return 0;
}
