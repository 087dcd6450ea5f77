// HTTP/1.1 client for control traffic: CLI to keeper, role to role, health checks. Coroutines on one loop; a small
// keep-alive pool per endpoint. Not for the data path (that is transport/frame).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/loop.h"
#include "base/result.h"

namespace colony::http {

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  // May be carried out twice. Without a value the method says it: GET, HEAD, OPTIONS, PUT and DELETE are, POST is not.
  std::optional<bool> idempotent = {};
};

struct ClientReply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::string_view header(std::string_view lower_name) const;
};

class Client {
 public:
  explicit Client(async::Loop& loop, size_t max_reply_bytes = 64 * 1024 * 1024);
  ~Client();
  // kUnavailable when nobody answers there (for a request that is idempotent a pooled connection that turns out dead is
  // replaced once, silently; any other takes a new one at once), kDeadlineExceeded, kDataLoss for a broken reply. An HTTP error status is not an Error here.
  async::Task<Result<ClientReply>> fetch(async::Endpoint to, ClientRequest request, Deadline deadline);
  // The reply's body piece by piece; `on_chunk` returns false to stop. Returns the head (body empty) when the reply ends.
  // `idle`: longest silence between pieces. Errors as fetch.
  async::Task<Result<ClientReply>> stream(async::Endpoint to, ClientRequest request, Deadline connect_deadline,
                                          Duration idle, std::function<bool(std::string_view)> on_chunk);
  // Every running fetch and stream ends with kCancelled in a later turn, every later one does so at once.
  void close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace colony::http
