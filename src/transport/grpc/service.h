// gRPC methods on top of http::Exchange, whatever carries it (HTTP/2 from a client, a frame link from the proxy): the
// replica's inference service and the proxy's built-in ones. Unary methods are functions that may finish later;
// streaming methods are objects. Messages are bytes here: protobuf stays with the methods.
// Not here: forwarding. The proxy passes foreign calls on without looking into them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/block_pool.h"
#include "base/result.h"
#include "transport/compress/coding.h"
#include "transport/grpc/framing.h"
#include "transport/http/exchange.h"

namespace colony::grpc {

// One call, as its method sees it. Lives on the connection's loop.
class Call {
 public:
  virtual std::string_view method() const = 0;  // "/package.Service/Method"
  // First value of a request header (given in lower case); binary ("-bin") values as they came, in base64.
  virtual std::optional<std::string_view> metadata(std::string_view lower_name) const = 0;
  virtual Deadline deadline() const = 0;  // grpc-timeout or the carrier's, the sooner; never() when there is none
  virtual std::string_view peer() const = 0;
  virtual async::Loop& loop() = 0;
  // The client has gone or the deadline has passed: nobody will see the outcome.
  virtual bool cancelled() const = 0;
  // Sent before the first message / with the status. Names in lower case; no CR or LF in values (CHECK).
  virtual void add_header(std::string_view name, std::string_view value) = 0;
  virtual void add_trailer(std::string_view name, std::string_view value) = 0;
  // Messages::kAsSent: how the message that the method was just shown is packed, and how its replies may be (the
  // client's own coding when it packs and says that it reads it; else kIdentity).
  virtual compress::Coding message_coding() const = 0;
  virtual compress::Coding reply_coding() const = 0;
  // The message that the method is being shown, as memory of the method's into which `message` then points. Without a copy
  // when it came in pieces; see MessageDecoder::take().
  virtual std::string take_message(std::string_view& message) = 0;

 protected:
  ~Call() = default;
};

// Stays valid until finish() was called (exactly once, now or later, even after cancellation, when it has no effect but
// to let go) or its Dispatcher is destroyed.
class UnaryCall : public Call {
 public:
  // `packed`: the message is in reply_coding().
  virtual void finish(std::string_view reply_message, Packed packed = Packed::kNo) = 0;
  virtual void finish(const Error& error) = 0;
  // `fn` runs at most once, when the call is cancelled before finish(). finish() must still be called.
  virtual void on_cancel(std::function<void()> fn) = 0;

 protected:
  ~UnaryCall() = default;
};
// `request_message` is valid during the call only.
using UnaryFn = std::function<void(std::string_view request_message, UnaryCall& call)>;

// One streaming call's other side. Valid as long as the StreamHandler that was made for it lives.
class StreamCall : public Call {
 public:
  virtual void send(std::string_view message, Packed packed = Packed::kNo) = 0;
  // Bytes that may be sent before StreamHandler::on_writable must be awaited; more is buffered, so respect it.
  virtual int64_t writable() const = 0;
  // No on_message until resume(): the client's window closes. For a method that has enough in hand.
  virtual void pause() = 0;
  virtual void resume() = 0;
  virtual void finish() = 0;  // OK
  virtual void finish(const Error& error) = 0;

 protected:
  ~StreamCall() = default;
};

// Destroyed when the call is over (finish() and its bytes handed over, client gone, deadline passed), never inside one
// of its own functions: what it has going elsewhere must not outlive it.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual void on_message(std::string_view message) = 0;  // valid during the call
  virtual void on_half_close() = 0;                       // the client sends no more
  virtual void on_writable() {}
  virtual void on_cancel() {}  // the client has gone or the deadline has passed; destruction follows
};
// Null only when the factory has finished the call itself.
using StreamFactory = std::function<std::unique_ptr<StreamHandler>(StreamCall& call)>;

// kPlain: small questions; the Dispatcher unpacks and packs, on the loop.
// kAsSent: the method does, on a thread where it costs nobody else's time; see Call::message_coding().
enum class Messages : bool { kPlain, kAsSent };
inline constexpr size_t kMostInline = size_t{4} << 20;  // LIMIT: unpacked bytes that are packed on the loop

struct DispatcherOptions {
  size_t max_message = 64 * 1024 * 1024;  // LIMIT: a larger request message is RESOURCE_EXHAUSTED
  size_t max_plain = kMostInline;         // LIMIT: the same for a method of Messages::kPlain, as sent and unpacked
  // LIMIT: over all calls, bytes of messages whose end has not come; a call that would pass it is UNAVAILABLE.
  size_t max_buffered = 1024 * 1024 * 1024;
  std::string_view full_reason = "buffer_full";  // of that error
  // Where those bytes are counted when they share their bound with others; it outlives the Dispatcher. Null: by itself.
  size_t* buffered = nullptr;
  struct Echoed {
    http::Name id;
    std::string_view name;  // as it is answered
  };
  std::vector<Echoed> echoed;  // request fields that every answer of a method carries back
};

struct DispatcherStats {
  uint64_t calls = 0, failed = 0, cancelled = 0, refused = 0;
  size_t open_calls = 0;
};

// Methods by path. Owned by the role; outlives the servers that use it. Everything runs on the loops of the exchanges,
// which must be one and the same loop.
// On failure: an unknown method is UNIMPLEMENTED; a content type that is not gRPC's is HTTP 415; broken framing or a
// broken compression ends its call only.
class Dispatcher : public http::Service {
 public:
  using Options = DispatcherOptions;
  using Stats = DispatcherStats;
  explicit Dispatcher(Options options = {});
  ~Dispatcher() override;
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // `path`: "/package.Service/Method". A path twice is a CHECK, and so is one that comes while calls are open.
  void unary(std::string path, UnaryFn fn, Messages messages = Messages::kPlain);
  void streaming(std::string path, StreamFactory factory, Messages messages = Messages::kPlain);
  bool has(std::string_view path) const;
  std::vector<std::string> services() const;  // "package.Service", sorted, once each

  http::ExchangeHandler* on_request(http::Exchange& exchange, const http::RequestHead& head) override;
  const Stats& stats() const { return stats_; }
  size_t buffered_bytes() const { return buffered_; }

 private:
  friend class CallState;
  struct Method {
    std::string path;
    UnaryFn unary;
    StreamFactory stream;
    Messages messages = Messages::kPlain;
  };
  void add(Method method);
  const Method* find(std::string_view path) const;
  http::ExchangeHandler* refuse(http::Exchange& exchange, int http_status, const Error& error,
                                std::string_view extra = {});

  Options options_;
  Stats stats_;
  size_t own_buffered_ = 0;
  size_t& buffered_;
  std::vector<Method> methods_;       // a dozen, whose paths differ in length as a rule
  BlockPool<2048, 64> unary_calls_;   // memory of the unary ones
  std::string body_scratch_;          // where a call puts a reply together
  class CallState* calls_ = nullptr;  // every call that is not over, an intrusive list
};

}  // namespace colony::grpc
