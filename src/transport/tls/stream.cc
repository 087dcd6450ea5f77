// See stream.h. Callbacks are made from the functions that the stream below or the loop calls, never inside the user's
// own calls; each is followed by a look at `gone`, because it may have destroyed the stream.
#include "transport/tls/stream.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "transport/tls/openssl.h"

namespace colony::tls {
namespace {

constexpr size_t kMaxHandshake = 64 * 1024;     // LIMIT: bytes that a client may send until its handshake is done
constexpr size_t kRecord = 16 * 1024;           // plain bytes of one record, at most
constexpr size_t kKeptWorkspace = 1024 * 1024;  // what a scratch string may hold on to between calls

void trim(std::string& scratch) {
  scratch.clear();
  if (scratch.capacity() > kKeptWorkspace) std::string().swap(scratch);
}

}  // namespace

// OpenSSL's view of the stream below. Reading takes from in_, writing adds to the workspace; both only within a call into
// OpenSSL that the stream makes.
struct Bio {
  static int read(BIO* bio, char* to, size_t room, size_t* got) {
    auto* stream = static_cast<TlsStream*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    *got = std::min(room, stream->in_.size());
    if (*got == 0) {
      BIO_set_retry_read(bio);
      return 0;
    }
    stream->in_.copy(to, *got);
    stream->in_.remove_prefix(*got);
    return 1;
  }
  static int write(BIO* bio, const char* data, size_t size, size_t* put) {
    static_cast<TlsStream*>(BIO_get_data(bio))->workspace_->cipher.append(data, size);
    *put = size;
    return 1;
  }
  static long control(BIO*, int what, long, void*) { return what == BIO_CTRL_FLUSH ? 1 : 0; }

  static BIO* make(TlsStream& stream) {
    static BIO_METHOD* const method = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "colony stream");
      BIO_meth_set_read_ex(m, read);
      BIO_meth_set_write_ex(m, write);
      BIO_meth_set_ctrl(m, control);
      return m;
    }();
    BIO* bio = BIO_new(method);
    BIO_set_data(bio, &stream);
    BIO_set_init(bio, 1);
    return bio;
  }
};

TlsStream::TlsStream(async::Loop& loop, std::unique_ptr<async::Stream> below, const ServerContext& context,
                     std::shared_ptr<Workspace> workspace, HandshakeFn on_handshake)
    : below_(std::move(below)),
      workspace_(std::move(workspace)),
      on_handshake_(std::move(on_handshake)),
      ssl_(SSL_new(context.get())),
      turn_end_(loop, [this] { end_of_turn(); }),
      again_(loop, [this] { end_of_turn(); }) {
  CHECK(ssl_ != nullptr);
  BIO* bio = Bio::make(*this);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_accept_state(ssl_);
  below_->set_handler(this);
}

TlsStream::~TlsStream() {
  if (gone_) *gone_ = true;
  SSL_free(ssl_);
}

bool TlsStream::resumed() const { return SSL_session_reused(ssl_) == 1; }

void TlsStream::set_handler(async::StreamHandler* handler) {
  handler_ = handler;
  if (!kept_.empty() || showing_) show_again_ = true;
  if (!ready_ || handler == nullptr) return;
  if (!showing_) turn_end_.schedule();
  if (!paused_) below_->resume();  // records that nobody wanted yet lie there
}

void TlsStream::pause() {
  paused_ = true;
  below_->pause();
}

void TlsStream::resume() {
  paused_ = false;
  below_->resume();
  show_again_ = true;
  if (!showing_ && (!kept_.empty() || end_owed_)) turn_end_.schedule();
}

// ---- out ----

void TlsStream::write(std::string_view data) {
  if (dead_ || end_wanted_ || data.empty()) return;
  outbox_.append(data);
  turn_end_.schedule();
}

void TlsStream::write_now(std::string_view a, std::string_view b) {
  if (dead_ || end_wanted_ || a.size() + b.size() == 0) return;
  if (!ready_ || !outbox_.empty()) {
    outbox_.append(a).append(b);
    turn_end_.schedule();
    return;
  }
  if (!b.empty() && a.size() + b.size() <= kRecord) {
    std::string& both = workspace_->gather;
    both.assign(a).append(b);
    encrypt(both);
  } else {
    encrypt(a);
    encrypt(b);
  }
  send_cipher();
}

void TlsStream::shutdown_write() {
  if (dead_ || end_wanted_) return;
  end_wanted_ = true;
  turn_end_.schedule();
}

void TlsStream::encrypt(std::string_view data) {
  while (!data.empty() && !error_) {
    size_t n = 0;
    if (SSL_write_ex(ssl_, data.data(), data.size(), &n) != 1) {
      error_ = broken("writing");
      turn_end_.schedule();
    }
    data.remove_prefix(n);
  }
}

void TlsStream::send_cipher() {
  if (!workspace_->cipher.empty()) below_->write_now(workspace_->cipher);
  trim(workspace_->cipher);
}

void TlsStream::flush() {
  if (dead_) return;
  if (ready_ && !outbox_.empty()) {
    encrypt(outbox_);
    std::string().swap(outbox_);
  }
  if (end_wanted_ && !end_sent_ && !error_) {
    end_sent_ = true;
    if (ready_) SSL_shutdown(ssl_);
    send_cipher();
    below_->shutdown_write();
  }
  send_cipher();
}

void TlsStream::answer_in_clear(std::string_view text) { below_->write_now(text); }

// ---- in ----

size_t TlsStream::on_bytes(std::string_view data) {
  if (dead_ || peer_ended_) return data.size();
  bool gone = false;
  gone_ = &gone;
  in_ = data;
  if (!ready_) shake_hands(gone);
  if (!gone && ready_ && handler_ && !dead_) decrypt_and_show(gone);
  if (gone) return data.size();
  const size_t used = dead_ || peer_ended_ ? data.size() : data.size() - in_.size();
  in_ = {};
  gone_ = nullptr;
  return used;
}

void TlsStream::shake_hands(bool& gone) {
  const size_t before = in_.size();
  ERR_clear_error();
  const int rc = SSL_do_handshake(ssl_);
  handshake_bytes_ += before - in_.size();
  if (rc != 1 && SSL_get_error(ssl_, rc) != SSL_ERROR_WANT_READ) {
    const bool in_clear = ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
    Error error = broken("handshake");
    if (in_clear) error.reason = "http_request";
    send_cipher();
    error_ = std::move(error);
    return report(gone);
  }
  send_cipher();
  if (rc != 1) {
    if (handshake_bytes_ <= kMaxHandshake) return;
    error_ = resource_exhausted("TLS handshake with " + peer() + ": more than 64 KiB", "tls_handshake_too_large");
    return report(gone);
  }
  ready_ = true;
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  protocol_ = size == 0 ? Protocol::kNone : size == 2 ? Protocol::kHttp2 : Protocol::kHttp1;
  if (const X509* shown = SSL_get0_peer_certificate(ssl_)) subject_ = subject_of(*shown);
  if (!outbox_.empty() || end_wanted_) turn_end_.schedule();
  auto done = std::exchange(on_handshake_, nullptr);
  done({});
}

void TlsStream::decrypt_and_show(bool& gone) {
  std::string& plain = workspace_->plain;
  plain.assign(kept_);
  ERR_clear_error();
  int why = SSL_ERROR_NONE;
  while (why == SSL_ERROR_NONE) {
    size_t n = 0;
    const size_t had = plain.size();
    int rc = 0;
    plain.resize_and_overwrite(had + kRecord, [&](char* to, size_t) {
      rc = SSL_read_ex(ssl_, to + had, kRecord, &n);
      return had + n;
    });
    if (rc != 1) why = SSL_get_error(ssl_, rc);
  }
  if (why == SSL_ERROR_ZERO_RETURN) {
    peer_ended_ = end_owed_ = true;
  } else if (why != SSL_ERROR_WANT_READ) {
    error_ = broken("reading");
  }
  send_cipher();
  if (plain.size() > kept_.size() || (show_again_ && !plain.empty())) {
    show(plain, gone);
    if (gone) return;
  }
  trim(plain);
  if (error_) return report(gone);
  if (end_owed_) turn_end_.schedule();
}

void TlsStream::show(std::string_view data, bool& gone) {
  showing_ = true;
  show_again_ = false;
  const size_t used = handler_->on_bytes(data);
  if (gone) return;
  CHECK(used <= data.size());
  showing_ = false;
  if (used == data.size()) {
    std::string().swap(kept_);
    return;
  }
  kept_.assign(data.substr(used));
  if (!show_again_ || paused_) return;
  if (used > 0)
    turn_end_.schedule();  // progress was made: once more in this turn
  else
    again_.arm_after(Duration::zero());
}

void TlsStream::show_kept(bool& gone) {
  if (!ready_ || !handler_ || paused_ || !show_again_ || kept_.empty()) return;
  const std::string kept = std::exchange(kept_, {});
  show(kept, gone);
}

void TlsStream::on_drained() {
  if (dead_) return;
  flush();
  if (ready_ && handler_ && !error_ && below_->pending() == 0) handler_->on_drained();
}

void TlsStream::on_end() {
  if (dead_ || peer_ended_) return;
  bool gone = false;
  gone_ = &gone;
  error_ = ready_ ? unavailable("connection with " + peer() + ": ended without close_notify", "tls_truncated")
                  : unavailable("TLS handshake with " + peer() + ": the client left", "tls_handshake");
  report(gone);
  if (!gone) gone_ = nullptr;
}

void TlsStream::on_end_follows() {
  if (ready_ && handler_ && !dead_) handler_->on_end_follows();
}

void TlsStream::on_closed(const Error& error) {
  if (dead_) return;
  bool gone = false;
  gone_ = &gone;
  error_ = error;
  report(gone);
  if (!gone) gone_ = nullptr;
}

void TlsStream::end_of_turn() {
  bool gone = false;
  gone_ = &gone;
  flush();
  if (ready_ && handler_ && !error_ && !dead_ && !paused_) {
    show_kept(gone);
    if (gone) return;
    if (end_owed_ && !paused_ && (kept_.empty() || !show_again_)) {
      end_owed_ = false;
      handler_->on_end();
      if (gone) return;
    }
  }
  if (error_) report(gone);
  if (!gone) gone_ = nullptr;
}

Error TlsStream::broken(std::string_view doing) {
  return unavailable("TLS with " + peer() + ": " + std::string(doing) + ": " + last_error("the records are broken"),
                     "tls");
}

// The stream is dead; whoever waits for the handshake, or else the handler, is told. The alert is on its way already.
void TlsStream::report(bool& gone) {
  if (dead_) return;
  // The stream below may tell its end earlier in a turn than what is kept is shown again.
  for (size_t had = 0; had != kept_.size();) {  // while the handler makes progress
    had = kept_.size();
    show_kept(gone);
    if (gone) return;
  }
  dead_ = true;
  outbox_.clear();
  const Error error = std::move(*error_);
  if (on_handshake_) {
    auto failed = std::exchange(on_handshake_, nullptr);
    failed(fail(error));
  } else if (handler_) {
    handler_->on_closed(error);
  }
  if (gone) return;
  error_.reset();
  below_->shutdown_write();
}

}  // namespace colony::tls
