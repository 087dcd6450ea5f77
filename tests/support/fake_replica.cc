// The fake's HTTP server is the real one, so a master's calls travel the way they do in a cluster.
#include "tests/support/fake_replica.h"

#include <fmt/format.h>

#include "colony/replica/v1/replica.pb.h"
#include "domain/replica_payload.h"
#include "transport/http/server.h"
#include "transport/http/unary.h"
#include "transport/rpc/rpc.h"

namespace colony::testing {
namespace {

namespace wire = colony::replica::v1;

// The coroutines outlive the "process": they hold State, which outlives the actor until the last of them has returned.
struct State {
  State(async::SimLoop& l, FakeReplicaWorld& w, std::string i)
      : loop(l), world(w), id(std::move(i)), changed(l), scope(l) {}
  async::SimLoop& loop;
  FakeReplicaWorld& world;
  std::string id, state = "STARTING", phase = "load", error;
  uint64_t revision = 0;
  bool dead = false;
  async::Signal changed;
  async::Scope scope;
};
using StatePtr = std::shared_ptr<State>;

std::string report(const State& s) {
  wire::StatusReply reply;
  reply.set_state(s.state);
  reply.set_phase(s.phase);
  reply.set_error(s.error);
  reply.set_revision(s.revision);
  reply.set_id(s.id);
  return reply.SerializeAsString();
}

async::Task<Result<std::string>> status(StatePtr s, std::string bytes) {
  wire::StatusRequest request;
  if (!request.ParseFromString(bytes)) co_return fail(invalid_argument("StatusRequest"));
  const auto until = Deadline::after(s->loop.now(), std::chrono::milliseconds(request.wait_ms()));
  while (s->world.deaf ||
         (s->state == request.known_state() && s->phase == request.known_phase() && !until.passed(s->loop.now()))) {
    co_await s->changed.wait(s->scope, s->world.deaf ? Deadline::after(s->loop.now(), 100s) : until);
    if (s->dead) break;
  }
  co_return report(*s);
}

async::Task<Result<std::string>> reconfigure(StatePtr s, std::string bytes) {
  wire::ReconfigureRequest request;
  if (!request.ParseFromString(bytes)) co_return fail(invalid_argument("ReconfigureRequest"));
  co_await s->loop.sleep(s->world.load_time);
  if (s->dead) co_return fail(unavailable("gone"));
  if (s->world.hangs) co_return fail(failed_precondition("the model hangs", "needs_new_process"));
  if (!s->world.refuse_reconfigure.empty()) co_return fail(invalid_argument(s->world.refuse_reconfigure));
  s->world.events.push_back(fmt::format("reconfigure {} r{}", s->id, request.revision()));
  s->revision = request.revision();
  s->state = "READY";
  s->phase.clear();
  s->error.clear();
  s->changed.notify();
  co_return wire::ReconfigureReply().SerializeAsString();
}

async::Task<Result<std::string>> drain(StatePtr s) {
  s->world.events.push_back("drain " + s->id);
  s->state = "DRAINING";
  s->changed.notify();
  co_return wire::DrainReply().SerializeAsString();
}

async::Task<void> load(StatePtr s) {
  co_await s->loop.sleep(s->world.load_time);
  if (s->dead) co_return;
  s->phase.clear();
  s->state = s->world.load_error.empty() ? "READY" : "FAILED";
  s->error = s->world.load_error;
  s->changed.notify();
}

class FakeReplica final : public FakeActor {
 public:
  FakeReplica(async::SimLoop& loop, FakeReplicaWorld& world, const engine::ActorSpec& spec, std::string address)
      : state_(std::make_shared<State>(loop, world, spec.id)),
        router_(std::make_unique<http::Router>(loop, http::Router::Options{})) {
    auto payload = replica_payload_from_json(spec.payload);
    CHECK(payload.has_value());
    state_->revision = payload->revision;
    world.events.push_back(fmt::format("start {} r{}", spec.id, payload->revision));
    constexpr std::string_view kService = "colony.replica.v1.Replica";
    rpc::mount(*router_, kService, "Status", [s = state_](std::string b) { return status(s, std::move(b)); });
    rpc::mount(*router_, kService, "Reconfigure", [s = state_](std::string b) { return reconfigure(s, std::move(b)); });
    rpc::mount(*router_, kService, "Drain", [s = state_](std::string) { return drain(s); });
    auto server = http::Server::listen(loop, {address}, *router_);
    CHECK(server.has_value());
    server_ = std::move(*server);
    state_->scope.spawn(load(state_));
  }
  ~FakeReplica() override {
    state_->dead = true;
    state_->changed.notify();
    state_->world.events.push_back("exit " + state_->id);
    server_.reset();
    state_->world.graves.push_back(
        [s = state_, r = std::shared_ptr<http::Router>(std::move(router_))] { return end(s, r); });
  }

 private:
  static async::Task<void> end(StatePtr s, std::shared_ptr<http::Router> router) {
    co_await router->stop();
    s->scope.stop();
    co_await s->scope.join();
  }

  StatePtr state_;
  std::unique_ptr<http::Router> router_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace

async::Task<void> FakeReplicaWorld::close() {
  for (auto& grave : std::exchange(graves, {})) co_await grave();
}

std::unique_ptr<FakeActor> make_fake_replica(async::SimLoop& loop, FakeReplicaWorld& world,
                                             const engine::ActorSpec& spec, std::string address) {
  return std::make_unique<FakeReplica>(loop, world, spec, std::move(address));
}

}  // namespace colony::testing
