// See acceptor.h.
#include "transport/tls/acceptor.h"

#include <string_view>

#include "base/log.h"

namespace colony::tls {
namespace {

constexpr Duration kAlertTime = 1s;  // a failed connection stays this long, so that its alert is not lost in a reset

constexpr std::string_view kSpeaksTls =
    "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 93\r\nconnection: close\r\n"
    "x-colony-reason: needs_tls\r\n\r\n"
    R"({"error":"this port speaks TLS: use https://","code":"INVALID_ARGUMENT","reason":"needs_tls"})";

}  // namespace

// One connection until it is ready or gone. Owned by the acceptor's list.
class Acceptor::Handshake {
 public:
  Handshake(Acceptor& acceptor, std::unique_ptr<async::Stream> raw)
      : acceptor_(acceptor),
        timer_(acceptor.loop_, [this] { expired(); }),
        stream_(std::make_unique<TlsStream>(acceptor.loop_, std::move(raw), *acceptor.context_, acceptor.workspace_,
                                            [this](Result<void> done) { finished(std::move(done)); })) {
    timer_.arm_after(acceptor.options_.handshake_timeout);
  }
  Place at;
  bool buried = false;
  bool failed() const { return failed_; }

 private:
  void expired() {
    if (buried) return;
    if (!failed_) {
      ++acceptor_.stats_.timed_out;
      LOG(debug, "TLS handshake with {}: not done in time", stream_->peer());
    }
    acceptor_.bury(at);
  }
  void finished(Result<void> done) {
    if (buried) return;
    if (!done) {
      ++acceptor_.stats_.failed;
      LOG(debug, "{}", done.error().message);
      if (done.error().reason == "http_request") stream_->answer_in_clear(kSpeaksTls);
      failed_ = true;
      timer_.arm_after(kAlertTime);
      return;
    }
    ++acceptor_.stats_.done;
    if (stream_->resumed()) ++acceptor_.stats_.resumed;
    auto stream = std::move(stream_);
    acceptor_.bury(at);
    acceptor_.on_ready_(std::move(stream));
  }

  Acceptor& acceptor_;
  async::Timer timer_;
  std::unique_ptr<TlsStream> stream_;
  bool failed_ = false;
};

Acceptor::Acceptor(async::Loop& loop, std::shared_ptr<const ServerContext> context, AcceptorOptions options,
                   ReadyFn on_ready)
    : loop_(loop), context_(std::move(context)), options_(options), on_ready_(std::move(on_ready)), reap_(loop, [this] {
        dead_.clear();
      }) {}

Acceptor::~Acceptor() = default;

void Acceptor::accept(std::unique_ptr<async::Stream> raw) {
  if (handshakes_.size() >= options_.max_handshakes) {
    if (!handshakes_.front()->failed()) ++stats_.crowded_out;
    bury(handshakes_.begin());
  }
  handshakes_.push_back(std::make_unique<Handshake>(*this, std::move(raw)));
  handshakes_.back()->at = std::prev(handshakes_.end());
}

void Acceptor::end_all() {
  while (!handshakes_.empty()) bury(handshakes_.begin());
}

// Destroyed at the end of the turn: it may be on the stack.
void Acceptor::bury(Place at) {
  (*at)->buried = true;
  dead_.splice(dead_.end(), handshakes_, at);
  reap_.schedule();
}

}  // namespace colony::tls
