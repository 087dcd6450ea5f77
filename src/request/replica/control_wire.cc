// Messages in, calls on Replica, messages out.
#include "request/replica/control_wire.h"

#include <fmt/format.h>

#include <algorithm>

#include "colony/replica/v1/replica.pb.h"
#include "domain/spec_parse.h"
#include "request/replica/replica.h"
#include "transport/rpc/rpc.h"

namespace colony::replica {
namespace {

namespace v1 = ::colony::replica::v1;

constexpr std::string_view kService = "colony.replica.v1.Replica";
constexpr uint32_t kLongestWait = 60'000;  // LIMIT: ms of one long poll

template <class M>
Result<M> decode(const std::string& bytes) {
  M message;
  if (message.ParseFromString(bytes)) return message;
  return fail(invalid_argument(fmt::format("the body is no {}", message.GetTypeName())));
}

std::string status_reply(const ReplicaReport& r) {
  v1::StatusReply out;
  out.set_id(r.id);
  out.set_state(std::string(to_string(r.state)));
  out.set_phase(r.phase);
  for (const auto& p : r.phases) {
    auto* to = out.add_phases();
    to->set_name(p.phase);
    to->set_seconds(p.seconds);
  }
  out.set_error(r.error);
  out.set_revision(r.revision);
  out.set_ongoing(static_cast<uint32_t>(r.ongoing));
  out.set_requests(r.requests);
  for (const auto& m : r.models) {
    auto* to = out.add_models();
    to->set_name(m.name);
    to->set_version(m.version);
    to->set_bytes(m.bytes);
  }
  return out.SerializeAsString();
}

async::Task<Result<std::string>> status(Replica* replica, std::string bytes) {
  CO_TRY(const auto request, decode<v1::StatusRequest>(bytes));
  if (!request.known_state().empty())
    co_await replica->changed_from(request.known_state(), request.known_phase(),
                                   std::chrono::milliseconds(std::min(request.wait_ms(), kLongestWait)));
  co_return status_reply(replica->report());
}

async::Task<Result<std::string>> reconfigure(Replica* replica, std::string bytes) {
  CO_TRY(const auto request, decode<v1::ReconfigureRequest>(bytes));
  CO_TRY(auto spec, deployment_from_json(request.deployment_json()));
  Reconfiguration change{
      .app = request.app(), .spec = std::move(spec), .revision = request.revision(), .epoch = request.epoch()};
  change.model_names.assign(request.model_names().begin(), request.model_names().end());
  CO_TRY(const double seconds, co_await replica->reconfigure(std::move(change)));
  v1::ReconfigureReply out;
  out.set_load_seconds(seconds);
  co_return out.SerializeAsString();
}

async::Task<Result<std::string>> drain(Replica* replica, std::string bytes) {
  CO_TRY(const auto request, decode<v1::DrainRequest>(bytes));
  CO_TRY(const size_t unfinished,
         co_await replica->drain(std::chrono::milliseconds(request.deadline_ms()), request.epoch()));
  v1::DrainReply out;
  out.set_unfinished(static_cast<uint32_t>(unfinished));
  co_return out.SerializeAsString();
}

}  // namespace

void mount_control(http::Router& router, Replica& replica) {
  rpc::mount(router, kService, "Status",
             [&replica](std::string request) { return status(&replica, std::move(request)); });
  rpc::mount(router, kService, "Reconfigure",
             [&replica](std::string request) { return reconfigure(&replica, std::move(request)); });
  rpc::mount(router, kService, "Drain",
             [&replica](std::string request) { return drain(&replica, std::move(request)); });
}

}  // namespace colony::replica
