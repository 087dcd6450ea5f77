// Frame headers from anywhere: no read beyond the bytes, no prefix is judged otherwise than the whole, and a header that is
// taken is the one that its fields write. Then the same bytes as a stream into a WebSocket, cut anywhere.
#include <memory>

#include "async/sim_loop.h"
#include "base/check.h"
#include "transport/http/ws.h"

namespace {

using namespace colony;
using namespace colony::http;

struct Counter final : WebSocketHandler {
  void on_message(Kind kind, std::string_view data) override {
    CHECK(kind != Kind::kText || is_utf8(data));
    CHECK(data.size() <= 1000);
    bytes += data.size();
  }
  void on_closed(uint16_t) override { closed = true; }
  size_t bytes = 0;
  bool closed = false;
};

// The exchange of one tunnel: counts what is said to it.
struct Sink final : Exchange {
  explicit Sink(async::Loop& l) : on(l) {}
  void reply(std::string_view, std::string_view, More) override {}
  void reply(const ReplyHead&, std::string_view, More) override {}
  void body(std::string_view data, More) override {
    CHECK(!ended);
    out += data.size();
  }
  void end(std::string_view) override {
    CHECK(!ended);
    ended = true;
  }
  void abort(const Error&) override { ended = true; }
  int64_t writable() const override { return 1; }
  void consumed(size_t bytes) override { taken += bytes; }
  Carrier carrier() const override { return Carrier::kHttp1; }
  Deadline deadline() const override { return Deadline::never(); }
  std::string_view peer() const override { return "p"; }
  async::Loop& loop() override { return on; }
  async::Loop& on;
  size_t out = 0, taken = 0;
  bool ended = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  auto exact = std::make_unique<char[]>(size);
  std::copy_n(bytes, size, exact.get());
  const std::string_view data{exact.get(), size};
  ws::FrameHeader header, early;
  std::string_view why;
  const auto state = ws::parse_frame_header(data, header, why);
  for (size_t cut = 0; cut < std::min<size_t>(size, ws::kMaxHeader); ++cut) {
    const auto part = ws::parse_frame_header(data.substr(0, cut), early, why);
    CHECK(part == ws::FrameState::kNeedMore || part == state);
  }
  if (state == ws::FrameState::kComplete) {
    char again[ws::kMaxServerHeader];
    const size_t n = ws::write_frame_header(again, header.opcode, header.fin, header.length);
    CHECK(n + 4 == header.size && again[0] == data[0] && (again[1] | '\x80') == data[1]);
  }

  static const auto loop = async::SimLoop::create({});
  const std::string text =
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  RequestHead head;
  ParseError error;
  CHECK(parse_request_head(text, head, error) == ParseState::kComplete);
  std::string lines;
  Sink sink(*loop);
  Counter counter;
  auto socket = WebSocket::accept(sink, head, {}, counter, {.max_message = 1000}, lines);
  CHECK(socket);
  (*socket)->on_end({});
  const size_t step = size == 0 ? 1 : 1 + static_cast<uint8_t>(data.back()) % 16;
  for (size_t at = 0; at < size; at += step) (*socket)->on_body(data.substr(at, step));
  CHECK(sink.taken == size && counter.bytes <= size);
  (*socket)->on_end({});
  CHECK(sink.ended);
  (*socket)->on_done(true);
  CHECK(counter.closed);
  return 0;
}
