// The only file of this room that sees protobuf.
#include "discovery/wire.h"

#include <fmt/format.h>

#include "colony/discovery/v1/discovery.pb.h"

namespace colony::discovery::wire {
namespace {

namespace pb = ::colony::discovery::v1;

void to_pb(const AppRecord& r, pb::App& out) {
  out.set_app(r.app);
  out.set_epoch(r.epoch);
  out.set_version(r.version);
  for (const auto& d : r.deployments) {
    pb::Deployment& o = *out.add_deployments();
    o.set_name(d.name);
    o.set_runtime(d.runtime);
    o.set_transform(d.transform);
    for (const auto& m : d.models) o.add_models(m);
    for (const auto& v : d.model_versions) o.add_model_versions(v);
    o.set_route_prefix(d.route_prefix);
    o.set_max_ongoing_requests(d.max_ongoing_requests);
    o.set_max_queued_requests(d.max_queued_requests);
    o.set_request_timeout_ns(d.request_timeout.count());
    o.set_idempotent(d.idempotent);
    for (const auto& h : d.hosts) o.add_hosts(h);
    for (const auto& s : d.grpc_services) o.add_grpc_services(s);
    for (const auto& replica : d.replicas) {
      pb::Replica& p = *o.add_replicas();
      p.set_id(replica.id);
      p.set_incarnation(replica.incarnation);
      p.set_address(replica.address);
      p.set_node(replica.node);
      p.set_zone(replica.zone);
      p.set_draining(replica.draining);
      p.set_protocol(replica.protocol);
    }
  }
}

Result<AppRecord> from_pb(const pb::App& in) {
  AppRecord r{.app = in.app(), .epoch = in.epoch(), .version = in.version()};
  if (r.app.empty()) return fail(invalid_argument("app record: field 'app' is empty"));
  for (const auto& d : in.deployments()) {
    DeploymentRecord o;
    o.name = d.name();
    o.runtime = d.runtime();
    o.transform = d.transform();
    o.models.assign(d.models().begin(), d.models().end());
    o.model_versions.assign(d.model_versions().begin(), d.model_versions().end());
    o.route_prefix = d.route_prefix();
    o.max_ongoing_requests = d.max_ongoing_requests();
    o.max_queued_requests = d.max_queued_requests();
    o.request_timeout = Duration(d.request_timeout_ns());
    o.idempotent = d.idempotent();
    o.hosts.assign(d.hosts().begin(), d.hosts().end());
    o.grpc_services.assign(d.grpc_services().begin(), d.grpc_services().end());
    if (o.max_ongoing_requests < 1)
      return fail(
          invalid_argument(fmt::format("app record '{}': max_ongoing_requests of '{}' is {}, at least 1 is right",
                                       r.app, o.name, o.max_ongoing_requests)));
    if (o.request_timeout <= Duration::zero())
      return fail(
          invalid_argument(fmt::format("app record '{}': request_timeout_ns of '{}' must be above 0", r.app, o.name)));
    for (const auto& replica : d.replicas()) {
      if (const std::string& said = replica.protocol(); !said.empty() && said != "http1" && said != "h2c")
        return fail(invalid_argument(fmt::format(
            "app record '{}': protocol '{}' of replica {}: there are http1 and h2c", r.app, said, replica.id())));
      o.replicas.push_back({.id = replica.id(),
                            .incarnation = replica.incarnation(),
                            .address = replica.address(),
                            .node = replica.node(),
                            .zone = replica.zone(),
                            .draining = replica.draining(),
                            .protocol = replica.protocol()});
    }
    r.deployments.push_back(std::move(o));
  }
  return r;
}

void to_pb(const ProxyRecord& r, pb::Proxy& out) {
  out.set_id(r.id);
  out.set_address(r.address);
  out.set_node(r.node);
  out.set_zone(r.zone);
  out.set_ongoing(r.ongoing);
  for (const auto& p : r.protocols) out.add_protocols(p);
}

ProxyRecord from_pb(const pb::Proxy& in) {
  return {.id = in.id(),
          .address = in.address(),
          .node = in.node(),
          .zone = in.zone(),
          .ongoing = in.ongoing(),
          .protocols = {in.protocols().begin(), in.protocols().end()}};
}

template <class M>
Result<M> parse(std::string_view bytes) {
  M m;
  if (!m.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return fail(invalid_argument(fmt::format("not a {} message", M::descriptor()->full_name()), "bad_message"));
  return m;
}

}  // namespace

std::string encode(const AppRecord& record) {
  pb::PublishRequest m;
  to_pb(record, *m.mutable_record());
  return m.SerializeAsString();
}

std::string encode(const Withdraw& request) {
  pb::WithdrawRequest m;
  m.set_app(request.app);
  m.set_epoch(request.epoch);
  return m.SerializeAsString();
}

std::string encode(const Register& request) {
  pb::RegisterProxyRequest m;
  to_pb(request.record, *m.mutable_record());
  m.set_lease_ms(to_ms(request.lease));
  return m.SerializeAsString();
}

std::string encode(const Acknowledge& request) {
  pb::AcknowledgeRequest m;
  m.set_proxy(request.proxy);
  m.set_revision(request.revision);
  return m.SerializeAsString();
}

std::string encode_unregister(const std::string& id) {
  pb::UnregisterProxyRequest m;
  m.set_id(id);
  return m.SerializeAsString();
}

std::string encode(const Pushed& pushed) {
  pb::Update m;
  m.set_revision(pushed.update.revision);
  m.set_full(pushed.update.full);
  m.set_complete(pushed.update.complete);
  for (const auto& a : pushed.update.apps) to_pb(a, *m.add_apps());
  for (const auto& n : pushed.update.removed_apps) m.add_removed_apps(n);
  for (const auto& p : pushed.update.proxies) to_pb(p, *m.add_proxies());
  for (const auto& n : pushed.update.removed_proxies) m.add_removed_proxies(n);
  m.set_instance(pushed.instance);
  return m.SerializeAsString();
}

Result<AppRecord> decode_publish(std::string_view bytes) {
  TRY(auto m, parse<pb::PublishRequest>(bytes));
  return from_pb(m.record());
}

Result<Withdraw> decode_withdraw(std::string_view bytes) {
  TRY(auto m, parse<pb::WithdrawRequest>(bytes));
  return Withdraw{m.app(), m.epoch()};
}

Result<Register> decode_register(std::string_view bytes) {
  TRY(auto m, parse<pb::RegisterProxyRequest>(bytes));
  if (m.lease_ms() <= 0 || m.lease_ms() > 86'400'000)
    return fail(invalid_argument(fmt::format("lease_ms is {}: it must be from 1 to 86400000", m.lease_ms())));
  return Register{from_pb(m.record()), std::chrono::milliseconds(m.lease_ms())};
}

Result<Acknowledge> decode_acknowledge(std::string_view bytes) {
  TRY(auto m, parse<pb::AcknowledgeRequest>(bytes));
  return Acknowledge{m.proxy(), m.revision()};
}

Result<std::string> decode_unregister(std::string_view bytes) {
  TRY(auto m, parse<pb::UnregisterProxyRequest>(bytes));
  return m.id();
}

Result<Pushed> decode_pushed(std::string_view bytes) {
  TRY(auto m, parse<pb::Update>(bytes));
  Pushed out;
  out.instance = m.instance();
  out.update.revision = m.revision();
  out.update.full = m.full();
  out.update.complete = m.complete();
  for (const auto& a : m.apps()) {
    TRY(auto record, from_pb(a));
    out.update.apps.push_back(std::move(record));
  }
  out.update.removed_apps.assign(m.removed_apps().begin(), m.removed_apps().end());
  for (const auto& p : m.proxies()) out.update.proxies.push_back(from_pb(p));
  out.update.removed_proxies.assign(m.removed_proxies().begin(), m.removed_proxies().end());
  return out;
}

}  // namespace colony::discovery::wire
