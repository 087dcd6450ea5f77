// Services whose requests fit in memory, as coroutines: the control API, metrics, the roles' own RPC. A handler gets the
// whole request (bounded) and returns the whole reply, or streams it piece by piece. Not for the data path.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "async/scope.h"
#include "transport/http/exchange.h"

namespace colony::http {

struct Request {
  std::string method, path, query;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::string peer;
  Deadline deadline = Deadline::never();
  std::string_view header(std::string_view lower_name) const;  // empty if absent
  // Value of a query parameter, percent-decoded; nullopt if absent.
  std::optional<std::string> param(std::string_view name) const;
};

struct Reply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};
Reply error_reply(const Error& error);

// A reply that is written over time (watch, logs -f).
class ReplyStream {
 public:
  virtual ~ReplyStream() = default;
  virtual void start(int status, std::string_view content_type) = 0;
  // Waits while the client does not read; false when it has gone.
  virtual async::Task<bool> write(std::string_view data) = 0;
  virtual bool closed() const = 0;  // the client has gone
};

using UnaryFn = std::function<async::Task<Reply>(Request)>;
using StreamFn = std::function<async::Task<void>(Request, ReplyStream&)>;

// Routes by method and path pattern ("/api/v1/applications/{name}"; "{rest...}" takes the remainder); a matched segment is
// handed over percent-decoded in Request::headers as "path.name". 404 and 405 name what exists. Handlers run on a Scope
// of the router's; destroy it only after stop() has been awaited.
class Router : public Service {
 public:
  struct Options {
    size_t max_body = 16 * 1024 * 1024;  // LIMIT: more is 413
  };
  Router(async::Loop& loop, Options options);
  ~Router() override;
  void unary(std::string_view method, std::string_view pattern, UnaryFn fn);
  void stream(std::string_view method, std::string_view pattern, StreamFn fn);
  // Runs before every handler; an error is the reply (authentication).
  void guard(std::function<Result<void>(const Request&)> fn);
  async::Task<void> stop();
  async::Loop& loop() const;  // the one it was given
  ExchangeHandler* on_request(Exchange& exchange, const RequestHead& head) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace colony::http
