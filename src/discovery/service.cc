// A subscriber that does not read holds one Feed and one message in flight; what happens meanwhile is summed up in the
// feed. While nothing changes the rpc layer keeps the stream alive.
#include "discovery/service.h"

#include "discovery/wire.h"
#include "transport/rpc/envelope.h"
#include "transport/rpc/rpc.h"

namespace colony::discovery {

// The last name may go beyond its bound, and the update has a head.
static_assert(kMaxTableBytes + kMaxNamedBytes + kMaxGoneBytes + 64 * 1024 <= rpc::kMaxMessage);

Service::Service(async::Loop& loop, Registry& registry, http::Router& router)
    : loop_(loop), registry_(registry), scope_(loop), ended_(loop) {
  const auto add = [&](std::string_view name, async::Task<Result<std::string>> (Service::*method)(std::string)) {
    rpc::mount(router, wire::kService, name, [this, method](std::string r) { return (this->*method)(std::move(r)); });
  };
  add("Publish", &Service::publish);
  add("Withdraw", &Service::withdraw);
  add("RegisterProxy", &Service::register_proxy);
  add("UnregisterProxy", &Service::unregister_proxy);
  add("Acknowledge", &Service::acknowledge);
  rpc::mount_stream(router, wire::kService, "Subscribe",
                    [this](std::string, rpc::SendFn send) { return subscribe(std::move(send)); });
}

Service::~Service() { CHECK(streams_ == 0); }

async::Task<void> Service::stop() {
  scope_.stop();
  co_await scope_.join();
  // The streams run on the router's scope; the stop above has woken them.
  async::Scope waiting(loop_);
  while (streams_ > 0) co_await ended_.wait(waiting);
}

async::Task<Result<std::string>> Service::publish(std::string request) {
  CO_TRY(auto record, wire::decode_publish(request));
  CO_TRY_VOID(co_await registry_.publish(std::move(record)));
  co_return std::string();
}

async::Task<Result<std::string>> Service::withdraw(std::string request) {
  CO_TRY(auto r, wire::decode_withdraw(request));
  CO_TRY_VOID(co_await registry_.withdraw(std::move(r.app), r.epoch));
  co_return std::string();
}

async::Task<Result<std::string>> Service::register_proxy(std::string request) {
  CO_TRY(auto r, wire::decode_register(request));
  CO_TRY_VOID(co_await registry_.register_proxy(std::move(r.record), r.lease));
  co_return std::string();
}

async::Task<Result<std::string>> Service::unregister_proxy(std::string request) {
  CO_TRY(auto id, wire::decode_unregister(request));
  CO_TRY_VOID(co_await registry_.unregister_proxy(std::move(id)));
  co_return std::string();
}

async::Task<Result<std::string>> Service::acknowledge(std::string request) {
  CO_TRY(auto r, wire::decode_acknowledge(request));
  CO_TRY_VOID(co_await registry_.acknowledge(std::move(r.proxy), r.revision));
  co_return std::string();
}

async::Task<void> Service::subscribe(std::function<async::Task<bool>(std::string)> send) {
  ++streams_;
  {
    async::Signal dirty(loop_);
    Feed feed(registry_, [&dirty] { dirty.notify(); });
    while (!scope_.stopping()) {
      if (auto update = feed.take()) {
        wire::Pushed pushed{std::move(*update), registry_.instance()};
        if (!co_await send(wire::encode(pushed))) break;
        continue;
      }
      // A subscriber that has gone is noticed by an empty message now and then.
      if (!co_await dirty.wait(scope_, Deadline::after(loop_.now(), 5s)) && !scope_.stopping()) {
        if (!co_await send(std::string())) break;
      }
    }
  }
  --streams_;
  ended_.notify();
}

}  // namespace colony::discovery
