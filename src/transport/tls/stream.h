// TLS as a Stream over a Stream: what the user writes leaves encrypted on the stream below, what arrives there is shown
// decrypted. OpenSSL does the records and the handshake over a BIO of memory; it never sees a socket, so the
// same code runs in simulated time. Made by the Acceptor (acceptor.h), which looks after handshakes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "async/deferred.h"
#include "async/loop.h"
#include "transport/tls/context.h"

struct ssl_st;

namespace colony::tls {

// Scratch memory of all streams of one loop, so that an idle one owns none. Used within one call at a time.
struct Workspace {
  std::string plain;   // what is shown
  std::string cipher;  // what leaves
  std::string gather;  // head and body of one write
};

// What the client chose from our list (RFC 7301); kNone: it has no such list, and its first bytes will tell.
enum class Protocol : uint8_t { kNone, kHttp1, kHttp2 };

// Server side. Owned by its user, lives on its loop, owns the stream below. Before the handshake is done nothing is shown
// and what is written waits. The contract of async::Stream holds, with these meanings: the end of the peer's half is its
// close_notify; an end without one, a broken record or an alert is on_closed, after what came whole before was shown;
// shutdown_write() sends close_notify and then ends our half below. A failure sends its alert and ends our half.
class TlsStream final : public async::Stream, private async::StreamHandler {
 public:
  // Called once, when the handshake is done or has failed (and the stream is dead). It may destroy the stream.
  using HandshakeFn = std::function<void(Result<void>)>;
  TlsStream(async::Loop& loop, std::unique_ptr<async::Stream> below, const ServerContext& context,
            std::shared_ptr<Workspace> workspace, HandshakeFn on_handshake);
  ~TlsStream() override;

  void set_handler(async::StreamHandler* handler) override;
  void write(std::string_view data) override;
  void write_now(std::string_view data) override { write_now(data, {}); }
  void write_now(std::string_view a, std::string_view b) override;
  size_t pending() const override { return outbox_.size() + below_->pending(); }
  void pause() override;
  void resume() override;
  void shutdown_write() override;
  void reset_when_closed() override { below_->reset_when_closed(); }
  bool is_closed() const override { return dead_ || below_->is_closed(); }
  std::string peer() const override { return below_->peer(); }
  Protocol protocol() const { return protocol_; }
  std::string_view peer_subject() const { return subject_; }  // of its verified certificate ("CN=ann"); empty: none
  bool resumed() const;                                       // an earlier session went on
  // Bytes past TLS, for a peer that does not speak it; then our half ends. After a handshake that failed.
  void answer_in_clear(std::string_view text);

 private:
  friend struct Bio;
  size_t on_bytes(std::string_view data) override;
  void on_drained() override;
  void on_end() override;
  void on_end_follows() override;
  void on_closed(const Error& error) override;

  void shake_hands(bool& gone);
  void decrypt_and_show(bool& gone);
  void show(std::string_view data, bool& gone);
  void encrypt(std::string_view data);
  void flush();        // outbox_ and the end of our half, encrypted, to the stream below
  void send_cipher();  // what OpenSSL has produced meanwhile
  Error broken(std::string_view doing);
  void show_kept(bool& gone);
  void report(bool& gone);
  void end_of_turn();

  std::unique_ptr<async::Stream> below_;
  std::shared_ptr<Workspace> workspace_;
  HandshakeFn on_handshake_;
  ssl_st* ssl_ = nullptr;
  async::StreamHandler* handler_ = nullptr;
  std::string_view in_;  // what OpenSSL has not taken yet, within on_bytes()
  std::string kept_;     // shown and not consumed
  std::string outbox_;   // not encrypted yet: until the end of the turn, or of the handshake
  std::string subject_;
  std::optional<Error> error_;  // dead; on_closed is owed
  bool* gone_ = nullptr;        // set by the destructor while a callback runs
  size_t handshake_bytes_ = 0;
  Protocol protocol_ = Protocol::kNone;
  bool ready_ = false;  // the handshake is done
  bool dead_ = false;
  bool paused_ = false;
  bool showing_ = false;
  bool show_again_ = false;
  bool peer_ended_ = false, end_owed_ = false;
  bool end_wanted_ = false, end_sent_ = false;  // our half
  async::Deferred turn_end_;
  async::Timer again_;  // what is kept, once more in a later turn
};

}  // namespace colony::tls
