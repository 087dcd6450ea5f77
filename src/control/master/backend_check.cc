// See backend_check.h. Every look makes a connection of its own.
#include "control/master/backend_check.h"

#include <fmt/format.h>

#include <memory>
#include <optional>

#include "transport/backend/link.h"

namespace colony::master {
namespace {

struct Look final : frame::CallHandler {
  explicit Look(async::Loop& loop) : changed(loop) {}
  void on_reply(const http::ReplyHead& head, std::string_view body, bool end) override {
    status = head.status;
    if (!end) link->consumed(call, body.size());
    changed.notify();
  }
  void on_body(std::string_view data, bool end) override {
    if (!end) link->consumed(call, data.size());
  }
  void on_end(std::string_view) override {}
  void on_failed(const Error& why) override { failed(why); }
  void failed(const Error& why) {
    error = why;
    changed.notify();
  }

  async::Signal changed;
  std::unique_ptr<frame::Link> link;
  frame::CallId call = 0;
  bool ready = false;
  int status = 0;
  std::optional<Error> error;
};

std::string host_of(const std::string& address) { return address.starts_with("unix:") ? "localhost" : address; }

}  // namespace

async::Task<Result<void>> check_backend(async::Scope& scope, std::string address, BackendSpec backend,
                                        Duration patience) {
  async::Loop& loop = scope.loop();
  const Deadline deadline = Deadline::after(loop.now(), patience);
  Look look(loop);
  const auto connect = backend.protocol == "h2c" ? &backend::connect_h2 : &backend::connect_http1;
  look.link = connect(loop, async::Endpoint{address}, deadline,
                      {.on_ready =
                           [&look] {
                             look.ready = true;
                             look.changed.notify();
                           },
                       .on_goaway = {},
                       .on_closed = [&look](const Error& why) { look.failed(why); }});
  while (!look.ready && !look.error)
    if (!co_await look.changed.wait(scope, deadline)) break;
  if (look.ready && !look.error && !backend.health_path.empty()) {
    const std::string block = fmt::format("GET {} HTTP/1.1\r\nhost: {}\r\nuser-agent: colony-health-check\r\n\r\n",
                                          backend.health_path, host_of(address));
    look.call = look.link->call_block(block, {}, true, deadline, look);
    while (look.status == 0 && !look.error)
      if (!co_await look.changed.wait(scope, deadline)) break;
  }
  if (scope.stopping()) co_return fail(cancelled("the look was broken off"));
  if (look.error) co_return fail(*look.error);
  if (!look.ready)
    co_return fail(deadline_exceeded(
        fmt::format("the backend at {} took no connection within {:.3g} s", address, to_seconds(patience))));
  if (backend.health_path.empty()) co_return Result<void>{};
  if (look.status == 0)
    co_return fail(deadline_exceeded(fmt::format("the backend at {} did not answer GET {} within {:.3g} s", address,
                                                 backend.health_path, to_seconds(patience))));
  if (look.status >= 400)
    co_return fail(unavailable(fmt::format("the backend at {} answers GET {} with {}, not with 2xx or 3xx", address,
                                           backend.health_path, look.status)));
  co_return Result<void>{};
}

}  // namespace colony::master
