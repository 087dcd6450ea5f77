// A WebSocket (RFC 6455) on an exchange, the server's end: what a service that speaks messages instead of bytes uses.
// The handshake, frames, fragments, masks, pings, UTF-8 and the closing are here; the user sees whole messages.
// No extension and no subprotocol is negotiated.
#pragma once

#include <string>
#include <string_view>

#include "base/utf8.h"
#include "transport/http/exchange.h"
#include "transport/http/ws_frame.h"

namespace colony::http {

struct WebSocketOptions {
  size_t max_message = size_t{16} << 20;  // LIMIT: more is closed with 1009
  Duration ping_every = 20s;              // without a byte from the client
  Duration pong_within = 20s;             // LIMIT: then it is closed with 1011
  Duration close_within = 5s;             // LIMIT: for the client's part of the closing
};

// What a user of a WebSocket keeps. Calls come on the exchange's loop.
class WebSocketHandler {
 public:
  enum class Kind : uint8_t { kText, kBinary };
  // A whole message, valid during the call. Text is UTF-8.
  virtual void on_message(Kind kind, std::string_view data) = 0;
  // The last call. `code`: what the client gave or was given; 1005 without one, 1006 when the connection broke.
  virtual void on_closed(uint16_t code) = 0;

 protected:
  ~WebSocketHandler() = default;
};

// Does this request ask for a WebSocket, well or badly?
bool wants_websocket(const RequestHead& head);

// Made by accept(); deletes itself when the exchange is over. Lives on the exchange's loop. The client is read as far as
// what is sent to it leaves: a client that does not read is not read from either.
class WebSocket final : public ExchangeHandler {
 public:
  // Answers the handshake with 101; `lines` are added to that head. On a bad handshake the error is for the caller to
  // answer, `lines_of_error` being what such an answer must carry.
  static Result<WebSocket*> accept(Exchange& exchange, const RequestHead& head, std::string_view lines,
                                   WebSocketHandler& handler, const WebSocketOptions& options,
                                   std::string& lines_of_error);

  void send(WebSocketHandler::Kind kind, std::string_view data);
  void close(uint16_t code, std::string_view reason);  // nothing can be sent after it

  void on_body(std::string_view data) override;
  void on_end(std::string_view trailers) override;
  void on_writable() override { take(); }
  void on_drain() override { close(ws::kGoingAway, "the server goes away"); }
  void on_done(bool ok) override;

 private:
  // kClosing: our close has been sent, the client's is awaited. kEnded: nothing more is read or sent.
  enum class State : uint8_t { kOpen, kClosing, kEnded };

  WebSocket(Exchange& exchange, WebSocketHandler& handler, const WebSocketOptions& options);
  ~WebSocket() = default;
  void read(std::string_view data);
  bool begin_frame();
  void take_payload(std::string_view data);
  void end_frame();
  void take_close(std::string_view payload);
  void send_frame(ws::Opcode opcode, std::string_view data);
  void send_close(uint16_t code, std::string_view reason);
  void give_up(uint16_t code, std::string_view why);
  void end();
  void take();
  void on_timer();

  Exchange& exchange_;
  WebSocketHandler& handler_;
  const WebSocketOptions options_;
  async::Timer timer_;
  State state_ = State::kOpen;
  bool request_whole_ = false;  // on_end has come for the handshake; the next one is the client's end
  uint16_t code_ = ws::kAbnormal;

  std::string header_bytes_;  // of a header that is not whole
  ws::FrameHeader frame_;
  bool in_frame_ = false;
  uint64_t left_ = 0;  // of the frame's payload
  bool in_message_ = false;
  WebSocketHandler::Kind kind_ = WebSocketHandler::Kind::kText;
  Utf8Walk text_;
  std::string message_, control_;
  size_t held_ = 0;  // bytes not yet said to be consumed
  TimePoint heard_;
  bool pinged_ = false;
};

}  // namespace colony::http
