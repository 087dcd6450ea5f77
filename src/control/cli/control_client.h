// The CLI's only way to control: the keeper's HTTP API by address. Synchronous: each call runs a loop of its own until the
// answer is there. An error reply of the API comes back as the Error that its body names.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "async/epoll_loop.h"
#include "async/scope.h"
#include "base/result.h"
#include "transport/http/client.h"

namespace colony::cli {

struct Target {
  std::string address;  // "127.0.0.1:8270"
  std::string token;    // empty: none
  Duration timeout = 30s;
};
// --address, else COLONY_ADDRESS, else 127.0.0.1:8270; the token from --token-file, else COLONY_TOKEN_FILE.
Result<Target> find_target(const std::string& address_flag, const std::string& token_file_flag);

class ControlClient {
 public:
  explicit ControlClient(Target target);
  ~ControlClient();

  // The body of a 2xx reply. `body` with content type application/json when not empty.
  Result<std::string> call(std::string method, std::string path, std::string body = {});
  // Line by line until `on_line` returns false or the stream ends.
  Result<void> follow(std::string path, std::function<bool(std::string_view)> on_line);
  // Any other server (the proxy), same loop.
  Result<http::ClientReply> fetch(const std::string& address, http::ClientRequest request, Duration timeout);
  const Target& target() const { return target_; }

 private:
  http::ClientRequest request(std::string method, std::string path, std::string body) const;
  Target target_;
  std::unique_ptr<async::EpollLoop> loop_;
  std::unique_ptr<http::Client> http_;
};

// What a person types never becomes another path or a query: an error when nothing can have this name. `what` is "application".
Result<void> check_name(std::string_view what, std::string_view name);
// /api/v1/applications/APP.
Result<std::string> app_path(const std::string& app);

// "host:port" out of "http://host:port/", "host:port" or ":port".
std::string normal_address(std::string_view text);

}  // namespace colony::cli
