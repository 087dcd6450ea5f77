// See rpc.h. Unary calls are one HTTP exchange. A stream's reply is a row of envelopes and ends with one that says how it
// went; between messages the server sends empty ones, so that a silent peer and a quiet one can be told apart.
#include "transport/rpc/rpc.h"

#include <fmt/format.h>

#include "base/log.h"
#include "transport/rpc/envelope.h"
#include "transport/rpc/error_json.h"

namespace colony::rpc {
namespace {

constexpr Duration kKeepAlive = 2s;
constexpr Duration kSilence = 10s;  // LIMIT: then the stream is broken
constexpr Duration kConnect = 5s;   // LIMIT: until a stream's connection stands
constexpr size_t kMaxErrorBody = 64 * 1024;
constexpr std::string_view kUnaryType = "application/proto";
constexpr std::string_view kStreamType = "application/connect+proto";

std::string path_of(std::string_view service, std::string_view method) {
  return fmt::format("/{}/{}", service, method);
}

async::Task<http::Reply> serve_unary(Method fn, http::Request request) {
  if (auto type = request.header("content-type"); !type.empty() && type != kUnaryType) {
    co_return http::Reply{
        .status = 415,
        .content_type = "application/json",
        .body = error_to_json(invalid_argument(fmt::format("content-type is '{}': it must be {}", type, kUnaryType))),
        .headers = {}};
  }
  auto result = co_await fn(std::move(request.body));
  if (!result) {
    co_return http::Reply{.status = http_status(result.error().code),
                          .content_type = "application/json",
                          .body = error_to_json(result.error()),
                          .headers = {}};
  }
  co_return http::Reply{
      .status = 200, .content_type = std::string(kUnaryType), .body = std::move(*result), .headers = {}};
}

// One stream's way out. Messages of the method and keep-alives take turns: a ReplyStream has one writer at a time.
struct Pipe {
  Pipe(async::Loop& loop, http::ReplyStream& o) : scope(loop), turn(loop), out(o) {}
  async::Scope scope;  // of the keep-alive, and of waits for one's turn
  async::Signal turn;
  http::ReplyStream& out;
  bool writing = false;
  bool gone = false;
  std::string end = "{}";  // what the stream ends with
  TimePoint last{};
};

async::Task<bool> write(Pipe& pipe, uint8_t flags, std::string payload) {
  while (pipe.writing && !pipe.gone) co_await pipe.turn.wait(pipe.scope);
  if (pipe.gone || pipe.out.closed()) {
    pipe.gone = true;
    co_return false;
  }
  std::string framed;
  if (auto fits = append_envelope(framed, flags, payload); !fits) {
    LOG(error, "a stream ends: {}", fits.error().message);
    pipe.end = error_to_json(fits.error());
    co_return false;
  }
  pipe.writing = true;
  const bool written = co_await pipe.out.write(framed);
  pipe.writing = false;
  pipe.last = pipe.scope.loop().now();
  if (!written) pipe.gone = true;
  pipe.turn.notify();
  co_return !pipe.gone;
}

async::Task<void> keep_alive(Pipe& pipe) {
  while (!pipe.gone && co_await pipe.scope.sleep(kKeepAlive)) {
    if (!pipe.writing && pipe.scope.loop().now() - pipe.last >= kKeepAlive) co_await write(pipe, 0, {});
  }
}

async::Task<void> serve_stream(async::Loop& loop, StreamMethod fn, http::Request request, http::ReplyStream& out) {
  Pipe pipe(loop, out);
  pipe.last = loop.now();
  out.start(200, kStreamType);
  uint8_t flags = 0;
  std::string_view message;
  if (read_envelope(request.body, flags, message) != EnvelopeState::kComplete || flags != 0) {
    co_await write(pipe, kEndOfStream,
                   error_to_json(invalid_argument("the request of a stream must be one enveloped message")));
    co_return;
  }
  pipe.scope.spawn(keep_alive(pipe));
  co_await fn(std::string(message), [&pipe](std::string m) { return write(pipe, 0, std::move(m)); });
  // A write of the keep-alive that is under way ends first; then nobody else writes.
  while (pipe.writing && !pipe.gone) co_await pipe.turn.wait(pipe.scope);
  pipe.scope.stop();
  co_await pipe.scope.join();
  co_await write(pipe, kEndOfStream, pipe.end);
}

// Cuts what arrives into messages and knows how the stream ended.
struct Receiver {
  explicit Receiver(std::function<bool(std::string_view)> fn) : on_message(std::move(fn)) {}

  bool take(std::string_view chunk) {
    buffer += chunk;
    std::string_view rest = buffer;
    while (!stopped && !ended && !raw) {
      uint8_t flags = 0;
      std::string_view payload;
      const auto state = read_envelope(rest, flags, payload);
      if (state == EnvelopeState::kNeedMore) break;
      if (state == EnvelopeState::kBad) {
        raw = true;  // not our framing: the text of an error of the HTTP layer
        break;
      }
      rest.remove_prefix(kEnvelopeHead + payload.size());
      if (flags == kEndOfStream) {
        ended = true;
        end = payload;
      } else if (!payload.empty() && !on_message(payload)) {
        stopped = true;
      }
    }
    buffer.erase(0, buffer.size() - rest.size());
    if (ended && !buffer.empty()) {
      trailing = true;
      return false;
    }
    if (raw && buffer.size() > kMaxErrorBody) return false;
    return !stopped;
  }

  std::function<bool(std::string_view)> on_message;
  std::string buffer, end;
  bool stopped = false, ended = false, raw = false;
  bool trailing = false;  // bytes after the end
};

}  // namespace

Result<void> append_envelope(std::string& out, uint8_t flags, std::string_view payload) {
  if (payload.size() > kMaxMessage)
    return fail(resource_exhausted(
        fmt::format("a message of {} bytes is longer than the limit of {}", payload.size(), kMaxMessage),
        "message_too_large"));
  const auto n = static_cast<uint32_t>(payload.size());
  out += static_cast<char>(flags);
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(n >> shift & 0xff);
  out += payload;
  return {};
}

EnvelopeState read_envelope(std::string_view data, uint8_t& flags, std::string_view& payload) {
  if (data.empty()) return EnvelopeState::kNeedMore;
  flags = static_cast<uint8_t>(data[0]);
  if (flags != 0 && flags != kEndOfStream) return EnvelopeState::kBad;
  if (data.size() < kEnvelopeHead) return EnvelopeState::kNeedMore;
  size_t n = 0;
  for (size_t i = 1; i < kEnvelopeHead; ++i) n = n << 8 | static_cast<uint8_t>(data[i]);
  if (n > kMaxMessage) return EnvelopeState::kBad;
  if (data.size() - kEnvelopeHead < n) return EnvelopeState::kNeedMore;
  payload = data.substr(kEnvelopeHead, n);
  return EnvelopeState::kComplete;
}

void mount(http::Router& router, std::string_view service, std::string_view method, Method fn) {
  router.unary("POST", path_of(service, method),
               [fn = std::move(fn)](http::Request request) { return serve_unary(fn, std::move(request)); });
}

void mount_stream(http::Router& router, std::string_view service, std::string_view method, StreamMethod fn) {
  async::Loop& loop = router.loop();
  router.stream("POST", path_of(service, method),
                [&loop, fn = std::move(fn)](http::Request request, http::ReplyStream& out) {
                  return serve_stream(loop, fn, std::move(request), out);
                });
}

Client::Client(async::Loop& loop, async::Endpoint to) : loop_(loop), to_(std::move(to)), http_(loop) {}

async::Task<Result<std::string>> Client::call(std::string_view service, std::string_view method, std::string request,
                                              Deadline deadline) {
  http::ClientRequest r{.method = "POST",
                        .target = path_of(service, method),
                        .headers = {{"content-type", std::string(kUnaryType)}, {"connect-protocol-version", "1"}},
                        .body = std::move(request),
                        .idempotent = true};
  auto reply = co_await http_.fetch(to_, std::move(r), deadline);
  if (!reply) co_return fail(std::move(reply).error());
  if (reply->status != 200) co_return fail(error_from_json(reply->body, reply->status));
  co_return std::move(reply->body);
}

async::Task<Result<void>> Client::stream(std::string_view service, std::string_view method, std::string request,
                                         std::function<bool(std::string_view)> on_message) {
  http::ClientRequest r{.method = "POST",
                        .target = path_of(service, method),
                        .headers = {{"content-type", std::string(kStreamType)}, {"connect-protocol-version", "1"}},
                        .body = {},
                        .idempotent = true};
  CO_TRY_VOID(append_envelope(r.body, 0, request));
  Receiver receiver(std::move(on_message));
  auto head = co_await http_.stream(to_, std::move(r), Deadline::after(loop_.now(), kConnect), kSilence,
                                    [&receiver](std::string_view chunk) { return receiver.take(chunk); });
  if (receiver.stopped) co_return Result<void>{};
  if (receiver.trailing) co_return fail(data_loss("the stream goes on after its end", "bad_envelope"));
  if (!head) co_return fail(std::move(head).error());
  if (head->status != 200) co_return fail(error_from_json(receiver.buffer, head->status));
  if (receiver.raw) co_return fail(data_loss("the stream holds bytes that are no message", "bad_envelope"));
  if (!receiver.ended) co_return fail(unavailable("the stream broke off", "stream_broken"));
  if (receiver.end != "{}") co_return fail(error_from_json(receiver.end, 500));
  co_return Result<void>{};
}

}  // namespace colony::rpc
