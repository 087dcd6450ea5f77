// One client connection of the load generator: HTTP/1.1 (one request at a time) or HTTP/2 (`streams` at a time).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bench/loadgen/traffic.h"

namespace colony::loadgen {

// One request on its way. Times are steady-clock nanoseconds.
struct Call {
  const Kind* kind = nullptr;
  uint64_t serial = 0;
  uint64_t intended = 0;  // when it was due; latency counts from here
  uint64_t started = 0;   // when it was handed to a connection
  int tries = 1;
  bool abort = false;  // the client will leave in the middle of it
};

enum class Outcome : uint8_t {
  kGood,
  kWrong,    // 2xx, but not the reply to this request
  kStatus,   // another status, or a gRPC status that is not OK
  kBroken,   // the connection ended, or a reply that is no HTTP
  kStale,    // h1: the connection ended before a byte of the reply; h2: the server said that it did not begin
  kAborted,  // as asked for
  kTimeout
};

struct Done {
  Outcome outcome;
  std::string_view why;  // for people; valid during the call
};

// Owner of the connections; told when a call has ended. It may hand the connection a new call at once.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void on_done(size_t connection, const Call& call, const Done& done) = 0;
};

// One thread. `closed()` says that the owner should make a new one; calls in flight have been told by then.
class Connection {
 public:
  Connection(size_t id, int fd, Sink& sink) : id_(id), fd_(fd), sink_(sink) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  virtual ~Connection();

  int fd() const { return fd_; }
  bool closed() const { return closed_; }
  uint64_t bytes_in() const { return bytes_in_; }
  uint64_t bytes_out() const { return bytes_out_; }

  virtual size_t room() const = 0;  // calls that it would take now
  virtual size_t in_flight() const = 0;
  virtual void start(const Call& call) = 0;
  virtual void flush() = 0;  // after start() and after events
  // `ended`: the peer's end is behind what there is to read. No other event will say so.
  virtual void on_readable(bool ended) = 0;
  // Ends it when its oldest call was started before `start`.
  virtual void expire(uint64_t start) = 0;

 protected:
  // Sends what it can; false when the kernel takes no more for now or the connection is broken (errno tells).
  bool send_some(const iovec* pieces, size_t count, size_t& sent);

  size_t id_;
  int fd_;
  Sink& sink_;
  bool closed_ = false;
  uint64_t bytes_in_ = 0, bytes_out_ = 0;
};

std::unique_ptr<Connection> make_h1(size_t id, int fd, Sink& sink);
std::unique_ptr<Connection> make_h2(size_t id, int fd, Sink& sink, size_t streams, const std::string& authority);

}  // namespace colony::loadgen
