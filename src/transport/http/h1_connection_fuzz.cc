// A whole HTTP/1.1 connection on a simulated loop, fed arbitrary bytes in arbitrary pieces, with a service that answers at
// once, later, in pieces, or breaks off. Every request ends exactly once, and what the client gets is a sequence of
// well-formed replies.
#include <memory>
#include <string>
#include <vector>

#include "async/sim_loop.h"
#include "base/check.h"
#include "transport/http/chunked.h"
#include "transport/http/connection.h"

namespace colony::http {
namespace {

struct Call final : ExchangeHandler {
  Call(Exchange& e, char m) : exchange(&e), mode(m) {}
  Exchange* exchange;
  const char mode;
  size_t held = 0;
  bool ended = false, done = false;

  void on_body(std::string_view data) override {
    CHECK(!done && !ended && !data.empty());
    if (mode == 's') exchange->body(data, More::kYes);
    if (mode == 'h')
      held += data.size();
    else
      exchange->consumed(data.size());
    if (mode == 'x') exchange->abort(invalid_argument("no"));
  }
  void on_end(std::string_view trailers) override {
    CHECK(!done && !ended && valid_trailers(trailers));
    ended = true;
    if (mode == 's')
      exchange->end(trailers);
    else if (mode != 'h')
      reply_with(*exchange, 200, "text/plain", "fine");
  }
  void on_done(bool) override {
    CHECK(!done);
    done = true;
    exchange = nullptr;
  }
  void later() {  // what a service does in a turn of its own
    if (!exchange) return;
    if (held > 0)
      exchange->consumed(std::exchange(held, 0));
    else if (ended)
      exchange->reply("HTTP/1.1 200 OK\r\nconnection: x\r\n\r\n", "late", More::kNo);
  }
};

struct FuzzService final : Service {
  ExchangeHandler* on_request(Exchange& exchange, const RequestHead& head) override {
    const char mode = head.path.size() > 1 ? head.path[1] : 'e';
    calls.push_back(std::make_unique<Call>(exchange, mode));
    head_methods.push_back(head.method == "HEAD");
    if (mode == 's') exchange.reply("HTTP/1.1 200 OK\r\n\r\n", "begin", More::kYes);
    if (mode == 'q') exchange.reply("HTTP/1.1 204 No Content\r\n\r\n", {}, More::kNo);
    if (mode == 'a') exchange.abort(unavailable("not now"));
    if (mode == 'c') {
      exchange.reply("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", "cut", More::kYes);
      exchange.abort(internal_error("cut"));
    }
    return calls.back().get();
  }
  std::vector<std::unique_ptr<Call>> calls;
  std::vector<bool> head_methods;
};

struct Peer final : async::StreamHandler {
  size_t on_bytes(std::string_view data) override {
    text += data;
    return data.size();
  }
  void on_end() override {}
  void on_closed(const Error&) override {}
  std::unique_ptr<async::Stream> stream;
  std::string text;
};

// Replies in the order of requests; the last may be cut short.
void check_replies(std::string_view text, const FuzzService& service) {
  size_t request = 0;
  while (!text.empty()) {
    ReplyHead head;
    ParseError error;
    const ParseState state = parse_reply_head(text, head, error);
    CHECK(state != ParseState::kBad);
    if (state == ParseState::kNeedMore) return;
    text.remove_prefix(head.block.size());
    if (head.status < 200) continue;
    const bool to_head = request < service.head_methods.size() && service.head_methods[request];
    ++request;
    if (to_head || head.bodiless()) continue;
    if (head.chunked) {
      ChunkedDecoder decoder;
      for (auto event = ChunkedDecoder::Event::kData; event == ChunkedDecoder::Event::kData;) {
        size_t used = 0;
        std::string_view piece;
        event = decoder.next(text, used, piece);
        CHECK(event != ChunkedDecoder::Event::kBad);
        text.remove_prefix(used);
        if (event == ChunkedDecoder::Event::kNeedMore) return;
      }
    } else if (head.content_length) {
      text.remove_prefix(std::min<uint64_t>(*head.content_length, text.size()));
    } else {
      return;
    }
  }
}

}  // namespace
}  // namespace colony::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace colony;
  using namespace colony::http;
  if (size < 2 || size > 8192) return 0;
  const uint8_t how = bytes[0];
  const std::string_view data(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  auto loop = async::SimLoop::create({.seed = how, .max_chunk = how & 15u});
  FuzzService service;
  ServerStats stats;
  const ServerOptions options{.body_window = how & 16 ? size_t{64} : size_t{4096}};
  std::unique_ptr<Connection> connection;
  bool over = false;
  ConnectionContext context{*loop, service, options, stats, [&](Connection& c) {
                              CHECK(!over && &c == connection.get());
                              over = true;
                              loop->post([&] { connection.reset(); });
                            }};
  auto listener = *loop->listen(
      {"fuzz"}, [&](std::unique_ptr<async::Stream> s) { connection = serve_http1(std::move(s), context); });
  Peer peer;
  loop->connect({"fuzz"}, Deadline::never(), [&](Result<std::unique_ptr<async::Stream>> s) {
    peer.stream = std::move(*s);
    peer.stream->set_handler(&peer);
  });
  loop->run_ready();
  const size_t half = data.size() / 2;
  peer.stream->write(data.substr(0, half));
  loop->run_ready();
  for (auto& c : service.calls) c->later();
  if (how & 32 && connection) connection->drain();
  peer.stream->write(data.substr(half));
  if (how & 64) peer.stream->shutdown_write();
  for (size_t i = 0; i < 6; ++i) {
    loop->run_ready();
    for (size_t k = 0; k < service.calls.size(); ++k) service.calls[k]->later();
  }
  if (how & 128) loop->run_for(200s);
  check_replies(peer.text, service);
  connection.reset();
  loop->run_ready();
  for (auto& c : service.calls) CHECK(c->done);
  CHECK(stats.open_requests == 0 && stats.requests == service.calls.size());
  return 0;
}
