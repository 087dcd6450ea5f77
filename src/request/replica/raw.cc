// The echo takes body bytes as fast as the client takes them back: what it owes is bounded by one window.
#include "request/replica/raw.h"

#include <fmt/format.h>

#include "request/replica/call.h"
#include "request/replica/infer_call.h"
#include "request/replica/infer_fields.h"
#include "transport/http/made_reply.h"
#include "transport/http/ws.h"

namespace colony::replica {
namespace {

constexpr size_t kUsualHead = 384;  // with content type and length, ids

class EchoCall final : public http::ExchangeHandler {
 public:
  EchoCall(Core& core, http::Exchange& exchange, const http::RequestHead& head)
      : core_(core), exchange_(exchange), began_(core.loop.now()), length_(head.content_length) {
    core_.opened();
    ++core_.raw_streams;
    head_.append("HTTP/1.1 200 OK\r\n");
    if (const auto* type = head.find(http::Name::kContentType)) head_.append("content-type: ", type->value, "\r\n");
    if (length_) {
      head_.append("content-length: ");
      head_.append_number(*length_);
      head_.append("\r\n");
    }
    ids_at_ = head_.size();
    append_id_lines(head_, core, head);
    head_.append("\r\n");
  }

  void on_body(std::string_view data) override {
    if (!started_) {
      started_ = true;
      whole_ = length_ && data.size() == *length_;
      http::reply_made(exchange_, 200, head_, length_, data, whole_ ? http::More::kNo : http::More::kYes);
    } else {
      exchange_.body(data, http::More::kYes);
    }
    held_ += data.size();
    if (whole_ || exchange_.writable() > 0) take();
  }

  void on_end(std::string_view trailers) override {
    if (whole_) return;
    if (!started_)
      exchange_.reply(head_, {}, http::More::kNo);
    else
      exchange_.end(trailers);
  }

  void on_writable() override { take(); }

  void on_done(bool ok) override {
    --core_.raw_streams;
    core_.closed(!ok);
    core_.probe.queue.observe(0);  // an echo never waits for a thread
    const Duration took = core_.loop.now() - began_;
    core_.probe.processing.observe(to_seconds(took));
    log_access(head_.view().substr(ids_at_, head_.size() - ids_at_ - 2), "echo", ok ? 200 : 499, took, nullptr);
    core_.calls.destroy(this);
  }

 private:
  void take() { exchange_.consumed(std::exchange(held_, 0)); }

  Core& core_;
  http::Exchange& exchange_;
  TimePoint began_;
  std::optional<uint64_t> length_;
  ShortText<kUsualHead> head_;
  size_t ids_at_ = 0;  // their lines in head_, before the empty one
  size_t held_ = 0;    // shown and not yet said to be consumed
  bool started_ = false, whole_ = false;
};

// Sends every message back.
class EchoSocket final : public http::WebSocketHandler {
 public:
  EchoSocket(Core& core, const http::RequestHead& head) : core_(core), ids_(core, head), began_(core.loop.now()) {}

  // An error is the caller's to answer; nothing is left of the socket then.
  static Result<http::ExchangeHandler*> open(Core& core, http::Exchange& exchange, const http::RequestHead& head,
                                             std::string& lines_of_error) {
    auto self = std::make_unique<EchoSocket>(core, head);
    TRY(self->socket_, http::WebSocket::accept(exchange, head, self->ids_.lines(), *self, {}, lines_of_error));
    core.opened();
    ++core.raw_streams;
    return self.release()->socket_;
  }

  void on_message(Kind kind, std::string_view data) override { socket_->send(kind, data); }
  void on_closed(uint16_t code) override {
    --core_.raw_streams;
    core_.closed(code == http::ws::kAbnormal);
    log_access(ids_, fmt::format("echo by WebSocket, closed with {},", code), 101, core_.loop.now() - began_, nullptr);
    delete this;
  }

 private:
  Core& core_;
  RequestIds ids_;
  TimePoint began_;
  http::WebSocket* socket_ = nullptr;
};

bool is_echo(const Core& core) { return core.spec.runtime == "echo" && core.spec.transform.empty(); }

// ?show=head: what reached the replica, as it came, once the request is whole. For tests, and for people who look for a
// lost header.
class HeadCall final : public http::ExchangeHandler {
 public:
  HeadCall(Core& core, http::Exchange& exchange, const http::RequestHead& head)
      : exchange_(exchange), head_(head.block), lines_(RequestIds(core, head).lines()) {}

  void on_body(std::string_view data) override { exchange_.consumed(data.size()); }
  void on_end(std::string_view) override { http::reply_with(exchange_, 200, "text/plain", head_, lines_); }
  void on_done(bool) override { delete this; }

 private:
  http::Exchange& exchange_;
  const std::string head_, lines_;
};

}  // namespace

bool answers_raw(const Core& core) { return core.spec.runtime == "echo" || !core.spec.transform.empty(); }

http::ExchangeHandler* serve_raw(Core& core, http::Exchange& exchange, const http::RequestHead& head) {
  if (auto ok = core.servable(); !ok) return refuse(core, exchange, head, ok.error());
  if (core.table->transform) {
    InferQuestion question{.form = InferForm::kTransform, .model = &core.table->first()};
    if (auto read = read_infer_fields(head, question); !read) return refuse(core, exchange, head, read.error());
    return serve_infer(core, exchange, head, question);
  }
  if (!is_echo(core))
    return refuse(core, exchange, head,
                  not_found(fmt::format("{} {}: this deployment answers the Open Inference Protocol only: POST "
                                        "/v2/models/{}/infer (or give it a `transform:` to take raw bodies)",
                                        head.method, head.path, core.table->first().model->info().name),
                            "oip_only"));
  if (head.query == "show=head") return new HeadCall(core, exchange, head);
  const auto bound = 2 * static_cast<size_t>(core.spec.max_ongoing_requests);
  if (core.raw_streams >= bound) {
    Error e = unavailable(fmt::format("this replica has {} requests in service", core.raw_streams), "replica_full");
    e.retry = Retry::kYes;
    return refuse(core, exchange, head, e);
  }
  if (!http::wants_websocket(head)) return core.calls.make<EchoCall>(core, exchange, head);
  std::string lines;
  auto socket = EchoSocket::open(core, exchange, head, lines);
  if (socket) return *socket;
  reply_error_as(exchange, lines.empty() ? 400 : 426, socket.error(),
                 std::string(lines).append(RequestIds(core, head).lines()));
  return new AnsweredCall(exchange);
}

}  // namespace colony::replica
