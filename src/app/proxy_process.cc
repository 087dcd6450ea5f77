// The proxy as a process: its loops on threads of their own, the discovery by address.
#include <fmt/format.h>

#include "app/listen_file.h"
#include "app/proxy_threads.h"
#include "app/role.h"
#include "app/role_payload.h"
#include "base/log.h"
#include "discovery/remote.h"
#include "request/proxy/proxy.h"

namespace colony::app {
namespace {

class ProxyRole final : public Role {
 public:
  ProxyRole(RoleContext context, RolePayload payload)
      : context_(context),
        threads_(payload.loops),
        discovery_(context.loop, {payload.discovery}),
        proxy_(context.loop, discovery_, threads_.loops(), options(context, payload, metrics_)) {
    mount_metrics(context.router, metrics_);
  }

  async::Task<Result<void>> start() override {
    auto at = co_await proxy_.start();
    if (!at) {
      if (at.error().reason == "address_in_use")
        at.error().message += "; give another: --http 127.0.0.1:0 picks a free port";
      co_return fail(std::move(at).error());
    }
    CO_TRY_VOID(write_listen_file(context_.endpoint.folder(), {at->text, context_.endpoint.incarnation()}));
    LOG(info, "proxy listens on {}", at->text);
    co_return Result<void>{};
  }
  async::Task<void> stop(Deadline deadline) override {
    if (!co_await proxy_.drain(deadline)) LOG(warn, "proxy: some requests were cut off at the deadline");
    co_await proxy_.stop();
    co_await discovery_.stop();
  }
  std::optional<TimePoint> last_request() const override { return proxy_.last_request(); }

 private:
  static proxy::ProxyOptions options(const RoleContext& context, const RolePayload& payload,
                                     observe::Metrics& metrics) {
    proxy::ProxyOptions o;
    o.id = context.endpoint.spec().id;
    o.listen = {listen_again(context.endpoint.folder(), payload.listen)};
    o.node = context.endpoint.node();
    o.tls = {payload.tls_cert, payload.tls_key, payload.tls_client_ca};
    o.metrics = &metrics;
    return o;
  }
  RoleContext context_;
  observe::Metrics metrics_;
  ProxyThreads threads_;
  discovery::Remote discovery_;
  proxy::Proxy proxy_;
};

}  // namespace

Result<std::unique_ptr<Role>> make_proxy_role(RoleContext context) {
  TRY(auto payload, role_payload_from_json(context.endpoint.spec().payload));
  return std::make_unique<ProxyRole>(context, std::move(payload));
}

}  // namespace colony::app
