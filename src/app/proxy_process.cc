// The proxy as a process: its loops on threads of their own, the discovery by address, its listening sockets shared with its
// agent and its successor.
#include <fmt/format.h>
#include <unistd.h>

#include "app/limits.h"
#include "app/listen_file.h"
#include "app/listening_sockets.h"
#include "app/proxy_threads.h"
#include "app/role.h"
#include "app/role_payload.h"
#include "base/log.h"
#include "discovery/remote.h"
#include "engine/agent/kept_sockets.h"
#include "request/proxy/proxy.h"

namespace colony::app {
namespace {

// With a successor in place, clients that are just about to use an open connection still may, for this long.
constexpr Duration kDrainGrace = 5s;

class ProxyRole final : public Role {
 public:
  ProxyRole(RoleContext context, RolePayload payload)
      : context_(context), payload_(std::move(payload)), discovery_(context.loop, {payload_.discovery}) {
    mount_metrics(context.router, metrics_);
  }

  async::Task<Result<void>> start() override {
    threads_ = std::make_unique<ProxyThreads>(payload_.loops);
    auto sockets = co_await ListeningSockets::open(
        context_.loop, {.address = listen_again(context_.endpoint.folder(), payload_.listen),
                        .count = threads_->loops().size(),
                        .predecessor = payload_.take_over});
    if (!sockets) co_return fail(in_words(std::move(sockets).error()));
    // Every socket needs a loop, or its connections would wait for ever.
    if (sockets->size() != threads_->loops().size())
      threads_ = std::make_unique<ProxyThreads>(static_cast<int>(sockets->size()));
    proxy::ProxyOptions o;
    o.id = context_.endpoint.spec().id;
    CO_TRY(o.sockets, sockets->endpoints());
    o.inherits = sockets->inherited();
    o.node = context_.endpoint.node();
    o.tls = {payload_.tls_cert, payload_.tls_key, payload_.tls_client_ca};
    // The launcher has checked it; what cannot be read trusts nobody.
    if (auto sources = proxy::TrustedSources::parse(payload_.trusted_proxies)) o.trusted = std::move(*sources);
    set_limits(o, payload_.limits);
    o.metrics = &metrics_;
    proxy_ = std::make_unique<proxy::Proxy>(context_.loop, discovery_, threads_->loops(), o);
    auto at = co_await proxy_->start();
    if (!at) co_return fail(in_words(std::move(at).error()));
    auto lender = std::move(*sockets).lend(context_.loop, engine::lender_path(context_.endpoint.address().text));
    if (lender)
      lender_ = std::move(*lender);
    else
      LOG(warn, "the listening sockets end with this process: {}", lender.error().message);
    CO_TRY_VOID(write_listen_file(context_.endpoint.folder(), {at->text, context_.endpoint.incarnation()}));
    LOG(info, "proxy listens on {}", at->text);
    co_return Result<void>{};
  }
  async::Task<void> stop(Deadline deadline) override {
    lender_.reset();
    if (proxy_) {
      const bool succeeded = access((context_.endpoint.folder() + "/succeeded").c_str(), F_OK) == 0;
      if (!co_await proxy_->drain(deadline, succeeded ? kDrainGrace : Duration::zero()))
        LOG(warn, "proxy: some requests were cut off at the deadline");
      co_await proxy_->stop();
    }
    co_await discovery_.stop();
  }
  std::optional<TimePoint> last_request() const override { return proxy_ ? proxy_->last_request() : std::nullopt; }

 private:
  static Error in_words(Error e) {
    if (e.reason == "address_in_use") e.message += "; give another: --http 127.0.0.1:0 picks a free port";
    return e;
  }

  RoleContext context_;
  const RolePayload payload_;
  observe::Metrics metrics_;
  discovery::Remote discovery_;
  std::unique_ptr<ProxyThreads> threads_;
  std::unique_ptr<async::DescriptorLender> lender_;
  std::unique_ptr<proxy::Proxy> proxy_;
};

}  // namespace

Result<std::unique_ptr<Role>> make_proxy_role(RoleContext context) {
  TRY(auto payload, role_payload_from_json(context.endpoint.spec().payload));
  return std::make_unique<ProxyRole>(context, std::move(payload));
}

}  // namespace colony::app
