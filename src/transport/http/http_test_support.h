// For the tests of carriers: a service that answers by path in every way a service may, and a client that speaks bytes.
// Not a mock: what it records are the calls that it got.
#pragma once

#include <charconv>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "async/sim_loop.h"
#include "transport/http/chunked.h"
#include "transport/http/connection.h"

namespace colony::http::testing {

// /echo     answers with the body once it is whole (the method, path and trailers as fields)
// /stream   starts its reply at once and sends each piece of body back, under the client's credit; trailers too
// /early    answers 413 before it has seen a byte of body
// /hold     answers nothing until release() or the end; takes no body until take()
// /big/N    N bytes, as the client takes them, with a length; /chunked/N without one
// With `refuse` set every request is answered 503 with that reason.
// /tunnel   switches to a protocol that sends every byte back, says "bye" when it is to drain, and ends after the client;
//           /tunnel/first ends its half at once; /tunnel/late switches on release_tunnel()
// /interim  103, then 200; /unasked answers 101 whatever was asked
// /gone     204; /abort answers with abort(); /cut breaks off after the head and 3 bytes; /lie has a wrong length
class ScriptService final : public Service {
 public:
  struct Call final : ExchangeHandler {
    Call(ScriptService& s, Exchange& e) : service(s), exchange(&e) {}
    ScriptService& service;
    Exchange* exchange;
    std::string method, path, mode, body, trailers, head;
    uint64_t left = 0;
    size_t held = 0;  // bytes of body not yet said to be consumed
    int ends = 0;
    bool drained = false;
    bool ended = false, done = false, ok = false, writable_seen = false;

    void on_body(std::string_view data) override {
      EXPECT_FALSE(done);
      EXPECT_FALSE(ended);
      body += data;
      if (mode == "stream" || mode == "tunnel") {
        exchange->body(data, More::kYes);
        held += data.size();
        if (exchange->writable() > 0) take();
      } else if (mode == "hold") {
        held += data.size();
      } else {
        exchange->consumed(data.size());
      }
    }
    void on_end(std::string_view t) override {
      EXPECT_FALSE(done);
      if (mode == "tunnel" && ++ends == 1) return;
      EXPECT_FALSE(ended);
      ended = true;
      trailers = t;
      if (mode == "tunnel" && path != "/tunnel/first") exchange->end({});
      if (mode == "stream") exchange->end(t);
      if (mode == "echo") {
        std::string extra = "x-method: " + method + "\r\nx-path: " + path + "\r\n" + std::string(t);
        reply_with(*exchange, 200, "text/plain", body, extra);
      }
    }
    void on_writable() override {
      writable_seen = true;
      if (mode == "stream" || mode == "tunnel") take();
      if (mode == "big" || mode == "chunked") pump();
    }
    void on_drain() override {
      drained = true;
      exchange->body("bye", More::kNo);
    }
    void on_done(bool good) override {
      EXPECT_FALSE(done);
      done = true;
      ok = good;
      exchange = nullptr;
    }
    void take() { exchange->consumed(std::exchange(held, 0)); }
    void pump() {
      while (left > 0 && exchange->writable() > 0) {
        const std::string piece(std::min<uint64_t>(left, 10000), 'b');
        left -= piece.size();
        service.most_pending = std::max<int64_t>(service.most_pending, 256 * 1024 - exchange->writable());
        exchange->body(piece, left == 0 ? More::kNo : More::kYes);
      }
    }
    void release_tunnel() {
      exchange->reply("HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\nx-t: 1\r\n\r\n",
                      "hi ", More::kYes);
      if (path == "/tunnel/first") exchange->end({});
    }
    void release(std::string_view text) { reply_with(*exchange, 200, "text/plain", text); }
  };

  ExchangeHandler* on_request(Exchange& exchange, const RequestHead& head) override {
    if (work) work();
    calls.push_back(std::make_unique<Call>(*this, exchange));
    Call& call = *calls.back();
    call.method = head.method;
    call.path = head.path;
    call.head = head.block;
    call.mode = head.path.substr(1, head.path.find('/', 1) - 1);
    const auto number = [&] {
      const std::string_view text = head.path.substr(head.path.rfind('/') + 1);
      std::from_chars(text.data(), text.data() + text.size(), call.left);
      return call.left;
    };
    if (!refuse.empty()) {
      call.mode = "refused";
      reply_error(exchange, head.is_grpc(), unavailable("not here", refuse));
    }
    if (call.mode == "stream") exchange.reply("HTTP/1.1 200 OK\r\nx-kind: stream\r\n\r\n", {}, More::kYes);
    if (call.mode == "tunnel" && head.path != "/tunnel/late") call.release_tunnel();
    if (call.mode == "unasked") call.release_tunnel();
    if (call.mode == "interim") {
      exchange.reply("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", {}, More::kYes);
      call.release("late");
    }
    if (call.mode == "early") reply_with(exchange, 413, "text/plain", "too much");
    if (call.mode == "gone") exchange.reply("HTTP/1.1 204 No Content\r\n\r\n", {}, More::kNo);
    if (call.mode == "abort") exchange.abort(not_found("no such thing: \"x\"\n"));
    if (call.mode == "malformed") exchange.reply("HTTP/1.1 200 OK\r\nbad field: 1\r\n\r\n", "x", More::kNo);
    if (call.mode == "lie") exchange.reply("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "four", More::kNo);
    if (call.mode == "hop")
      exchange.reply("HTTP/1.0 200 Fine\r\nConnection: close, x-a\r\nx-a: 1\r\nKeep-Alive: 5\r\nx-b: 2\r\n\r\n", "x",
                     More::kNo);
    if (call.mode == "cut") {
      exchange.reply("HTTP/1.1 200 OK\r\n\r\n", "abc", More::kYes);
      exchange.abort(internal_error("broke"));
    }
    if (call.mode == "big") {
      exchange.reply("HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(number()) + "\r\n\r\n", {}, More::kYes);
      call.pump();
    }
    if (call.mode == "chunked") {
      number();
      exchange.reply("HTTP/1.1 200 OK\r\n\r\n", {}, More::kYes);
      call.pump();
    }
    return &call;
  }

  Call& last() { return *calls.back(); }
  std::vector<std::unique_ptr<Call>> calls;
  std::string refuse;
  std::function<void()> work;  // done for every request before anything else
  int64_t most_pending = 0;
};

// A peer that writes bytes as told and keeps what comes.
class RawPeer final : public async::StreamHandler {
 public:
  RawPeer(async::SimLoop& loop, const async::Endpoint& to) {
    loop.connect(to, Deadline::never(), [this](Result<std::unique_ptr<async::Stream>> s) {
      if (!s) {
        closed = true;
        return;
      }
      stream = std::move(*s);
      stream->set_handler(this);
      if (!early.empty()) stream->write(early);
    });
    loop.run_ready();
  }
  size_t on_bytes(std::string_view data) override {
    text += data;
    return data.size();
  }
  void on_end() override { ended = true; }
  void on_closed(const Error&) override { closed = true; }
  void send(std::string_view data) { stream->write(data); }
  void hang_up() { stream.reset(); }
  std::string take() { return std::exchange(text, {}); }

  std::unique_ptr<async::Stream> stream;
  std::string text, early;
  bool ended = false, closed = false;
};

// What a reply on the wire says, whatever its framing.
struct WireReply {
  int status = 0;
  std::string head, body, trailers;
  bool whole = false;
};

// Takes the first reply off `text`; not whole when it has not come to its end (`ended`: nothing more will come).
inline WireReply take_reply(std::string& text, bool ended, bool of_head_request = false) {
  WireReply out;
  ReplyHead head;
  ParseError error;
  const ParseState state = parse_reply_head(text, head, error);
  EXPECT_NE(state, ParseState::kBad) << error.message << " in " << text.substr(0, 300);
  if (state != ParseState::kComplete) return out;
  out.status = head.status;
  out.head = head.block;
  size_t used = head.block.size();
  std::string_view rest = std::string_view(text).substr(used);
  if (of_head_request || head.bodiless()) {
    out.whole = true;
  } else if (head.chunked) {
    ChunkedDecoder decoder;
    for (;;) {
      size_t n = 0;
      std::string_view piece;
      const auto event = decoder.next(rest, n, piece);
      used += n;
      rest.remove_prefix(n);
      if (event == ChunkedDecoder::Event::kData) out.body += piece;
      if (event == ChunkedDecoder::Event::kEnd) out.trailers = piece, out.whole = true;
      EXPECT_NE(event, ChunkedDecoder::Event::kBad) << piece;
      if (event != ChunkedDecoder::Event::kData) break;
    }
  } else if (head.content_length) {
    out.body = rest.substr(0, *head.content_length);
    out.whole = out.body.size() == *head.content_length;
    used += out.body.size();
  } else {
    out.body = rest;
    out.whole = ended;
    used = text.size();
  }
  text.erase(0, used);
  return out;
}

}  // namespace colony::http::testing
