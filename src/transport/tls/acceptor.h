// Where accepted connections of one loop go through their TLS handshake: with a deadline, with a bound on how many do so at
// once, and with the bounds of tls/stream.h on what a client may send meanwhile. What fails ends alone, after its alert.
#pragma once

#include <functional>
#include <list>
#include <memory>

#include "async/deferred.h"
#include "transport/tls/stream.h"

namespace colony::tls {

struct AcceptorOptions {
  Duration handshake_timeout = 10s;  // from accept to the end of the handshake
  // LIMIT: connections of this loop without a finished handshake. One more ends the oldest: whoever opens connections and
  // says nothing cannot keep others out.
  size_t max_handshakes = 1024;
};

struct AcceptorStats {
  uint64_t done = 0, resumed = 0;  // resumed: of those done, with an earlier session
  uint64_t failed = 0;             // by the client's fault: records, versions, certificates; it left
  uint64_t timed_out = 0, crowded_out = 0;
};

// Owned by a server, lives on its loop. Destruction ends every handshake at once.
class Acceptor {
 public:
  using ReadyFn = std::function<void(std::unique_ptr<TlsStream>)>;
  Acceptor(async::Loop& loop, std::shared_ptr<const ServerContext> context, AcceptorOptions options, ReadyFn on_ready);
  ~Acceptor();

  void accept(std::unique_ptr<async::Stream> raw);
  // For connections from now on.
  void use(std::shared_ptr<const ServerContext> context) { context_ = std::move(context); }
  void end_all();                                     // every handshake, now
  size_t open() const { return handshakes_.size(); }  // those that failed and read their alert included
  const AcceptorStats& stats() const { return stats_; }

 private:
  class Handshake;
  using Place = std::list<std::unique_ptr<Handshake>>::iterator;
  void bury(Place at);

  async::Loop& loop_;
  std::shared_ptr<const ServerContext> context_;
  const AcceptorOptions options_;
  ReadyFn on_ready_;
  AcceptorStats stats_;
  std::shared_ptr<Workspace> workspace_ = std::make_shared<Workspace>();
  std::list<std::unique_ptr<Handshake>> handshakes_;  // oldest first
  std::list<std::unique_ptr<Handshake>> dead_;
  async::Deferred reap_;
};

}  // namespace colony::tls
