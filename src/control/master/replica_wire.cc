// ReplicaClient over transport/rpc: the one place where the master meets the protobuf types of replica/v1.
#include "colony/replica/v1/replica.pb.h"
#include "control/master/replica_client.h"
#include "domain/spec_parse.h"
#include "transport/rpc/rpc.h"

namespace colony::master {
namespace {

namespace wire = colony::replica::v1;
constexpr std::string_view kService = "colony.replica.v1.Replica";
constexpr Duration kCallMargin = 2s;  // above what the replica was asked to wait

}  // namespace

struct ReplicaClient::State {
  State(async::Loop& l, async::Endpoint to) : loop(l), rpc(l, to), address(to.text) {}
  async::Loop& loop;
  rpc::Client rpc;
  std::string address;
};

ReplicaClient::ReplicaClient(async::Loop& loop, async::Endpoint address)
    : state_(std::make_unique<State>(loop, std::move(address))) {}
ReplicaClient::~ReplicaClient() = default;
const std::string& ReplicaClient::address() const { return state_->address; }
void ReplicaClient::close() { state_->rpc.close(); }

async::Task<Result<ReplicaReport>> ReplicaClient::status(std::string known_state, std::string known_phase,
                                                         Duration wait, Duration patience) {
  wire::StatusRequest request;
  request.set_known_state(std::move(known_state));
  request.set_known_phase(std::move(known_phase));
  request.set_wait_ms(static_cast<uint32_t>(to_ms(wait)));
  CO_TRY(auto bytes, co_await state_->rpc.call(kService, "Status", request.SerializeAsString(),
                                               Deadline::after(state_->loop.now(), wait + patience)));
  wire::StatusReply reply;
  if (!reply.ParseFromString(bytes)) co_return fail(data_loss("the replica's StatusReply does not parse"));
  ReplicaReport report{reply.state(), reply.phase(), {}, reply.error(), reply.revision(), reply.ongoing()};
  for (const auto& p : reply.phases()) report.phases.push_back({p.name(), p.seconds()});
  co_return report;
}

async::Task<Result<void>> ReplicaClient::reconfigure(AppSpec app, DeploymentSpec deployment, uint64_t revision,
                                                     uint64_t epoch) {
  wire::ReconfigureRequest request;
  request.set_app(app.name);
  request.set_deployment_json(deployment_to_json(deployment));
  for (auto& name : app.model_names(deployment)) request.add_model_names(std::move(name));
  request.set_revision(revision);
  request.set_epoch(epoch);
  // LIMIT: the longest load of a model that a master waits for.
  CO_TRY(auto bytes, co_await state_->rpc.call(kService, "Reconfigure", request.SerializeAsString(),
                                               Deadline::after(state_->loop.now(), 600s)));
  wire::ReconfigureReply reply;
  if (!reply.ParseFromString(bytes)) co_return fail(data_loss("the replica's ReconfigureReply does not parse"));
  co_return Result<void>{};
}

async::Task<Result<void>> ReplicaClient::drain(Duration limit, uint64_t epoch) {
  wire::DrainRequest request;
  request.set_deadline_ms(static_cast<uint32_t>(to_ms(limit)));
  request.set_epoch(epoch);
  CO_TRY(auto bytes, co_await state_->rpc.call(kService, "Drain", request.SerializeAsString(),
                                               Deadline::after(state_->loop.now(), limit + kCallMargin)));
  wire::DrainReply reply;
  if (!reply.ParseFromString(bytes)) co_return fail(data_loss("the replica's DrainReply does not parse"));
  co_return Result<void>{};
}

}  // namespace colony::master
