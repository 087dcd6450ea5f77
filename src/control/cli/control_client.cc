// Connection trouble is said with the next step: is the server up, is the address right.
#include "control/cli/control_client.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

namespace colony::cli {
namespace {

template <class T>
async::Task<void> drive(async::Task<T> task, std::optional<T>* out, async::EpollLoop* loop) {
  out->emplace(co_await std::move(task));
  loop->stop();
}

std::string env(const char* name) {
  const char* v = std::getenv(name);
  return v ? v : "";
}

// The API's error body is {"error","code","reason"}.
Error error_of(int status, const std::string& body) {
  Error e{code_from_http(status), {}, {}, Origin::kUpstream, Retry::kNo};
  auto doc = nlohmann::json::parse(body, nullptr, false);
  if (doc.is_object() && doc.contains("error") && doc["error"].is_string()) e.message = doc["error"].get<std::string>();
  if (doc.is_object() && doc.contains("reason") && doc["reason"].is_string())
    e.reason = doc["reason"].get<std::string>();
  if (e.message.empty()) e.message = fmt::format("the server answered {} {}", status, body.substr(0, 200));
  return e;
}

}  // namespace

template <class T>
T run_on(async::EpollLoop& loop, async::Task<T> task) {
  async::Scope scope(loop);
  std::optional<T> out;
  scope.spawn(drive(std::move(task), &out, &loop));
  if (!out) loop.run();
  CHECK(out.has_value());
  return std::move(*out);
}

std::string normal_address(std::string_view text) {
  if (text.starts_with("http://")) text.remove_prefix(7);
  while (text.ends_with('/')) text.remove_suffix(1);
  if (text.starts_with(':')) return "127.0.0.1" + std::string(text);
  return std::string(text);
}

Result<Target> find_target(const std::string& address_flag, const std::string& token_file_flag) {
  Target t;
  t.address = !address_flag.empty() ? address_flag : env("COLONY_ADDRESS");
  t.address = t.address.empty() ? "127.0.0.1:8270" : normal_address(t.address);
  if (t.address.starts_with("https://"))
    return fail(invalid_argument(fmt::format("address {}: the control port speaks http; give HOST:PORT", t.address)));
  const std::string file = !token_file_flag.empty() ? token_file_flag : env("COLONY_TOKEN_FILE");
  if (!file.empty()) {
    std::ifstream in(file);
    if (!in || !std::getline(in, t.token))
      return fail(invalid_argument(fmt::format("token file {}: cannot be read", file)));
  }
  return t;
}

Result<void> check_name(std::string_view what, std::string_view name) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  if (name.empty() || name.starts_with('.') || name.find_first_not_of(kLetters) != std::string_view::npos)
    return fail(invalid_argument(
        fmt::format("'{}' cannot be the name of any {}; `colony status` lists what there is", name, what)));
  return {};
}

Result<std::string> app_path(const std::string& app) {
  TRY_VOID(check_name("application", app));
  return "/api/v1/applications/" + app;
}

ControlClient::ControlClient(Target target)
    : target_(std::move(target)), loop_(async::EpollLoop::create()), http_(std::make_unique<http::Client>(*loop_)) {}
ControlClient::~ControlClient() = default;

http::ClientRequest ControlClient::request(std::string method, std::string path, std::string body) const {
  http::ClientRequest r;
  r.method = std::move(method);
  r.target = std::move(path);
  r.headers.emplace_back("host", target_.address);
  if (!body.empty()) r.headers.emplace_back("content-type", "application/json");
  if (!target_.token.empty()) r.headers.emplace_back("authorization", "Bearer " + target_.token);
  r.body = std::move(body);
  return r;
}

Result<std::string> ControlClient::call(std::string method, std::string path, std::string body) {
  auto reply = fetch(target_.address, request(std::move(method), std::move(path), std::move(body)), target_.timeout);
  if (!reply) {
    if (reply.error().code == Code::kUnavailable)
      reply.error().message = fmt::format("no Colony answers at {} ({}); start one with `colony up` or give --address",
                                          target_.address, reply.error().message);
    return fail(std::move(reply).error());
  }
  if (reply->status >= 200 && reply->status < 300) return std::move(reply->body);
  return fail(error_of(reply->status, reply->body));
}

Result<void> ControlClient::follow(std::string path, std::function<bool(std::string_view)> on_line) {
  std::string rest, whole;
  auto chunk = [&](std::string_view data) {
    if (whole.size() < 4096) whole += data.substr(0, 4096);
    rest += data;
    size_t from = 0;
    for (size_t nl; (nl = rest.find('\n', from)) != std::string::npos; from = nl + 1)
      if (!on_line(std::string_view(rest).substr(from, nl - from))) return false;
    rest.erase(0, from);
    return true;
  };
  auto task = http_->stream({target_.address}, request("GET", std::move(path), {}),
                            Deadline::after(loop_->now(), target_.timeout), 60s, chunk);
  auto reply = run_on(*loop_, std::move(task));
  if (!reply) return fail(std::move(reply).error());
  if (reply->status >= 300) return fail(error_of(reply->status, whole));
  return {};
}

Result<http::ClientReply> ControlClient::fetch(const std::string& address, http::ClientRequest request,
                                               Duration timeout) {
  return run_on(*loop_, http_->fetch({address}, std::move(request), Deadline::after(loop_->now(), timeout)));
}

}  // namespace colony::cli
