// The master's calls as it makes them: protobuf over the roles' RPC on the replica's socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "colony/replica/v1/replica.pb.h"
#include "domain/spec_parse.h"
#include "request/replica/oip_service.h"
#include "request/replica/replica_test_support.h"
#include "transport/rpc/rpc.h"

namespace colony::replica::testing {
namespace {

using ::testing::HasSubstr;
constexpr const char* kService = "colony.replica.v1.Replica";

TEST(ControlWire, StatusWaitsForAChange) {
  ReplicaWorld w(fake_spec());
  w.replica->start();
  w.loop->run_ready();
  rpc::Client client(*w.loop, w.at);
  v1::StatusRequest request;
  auto now = w.run(client.call(kService, "Status", request.SerializeAsString(), Deadline::never()));
  w.loop->run_ready();
  ASSERT_TRUE(now->done);
  v1::StatusReply reply;
  ASSERT_TRUE(reply.ParseFromString(now->value->value()));
  EXPECT_EQ(reply.state(), "STARTING");
  EXPECT_EQ(reply.phase(), "load");
  EXPECT_EQ(reply.id(), "app.d.1");
  request.set_known_state("STARTING");
  request.set_known_phase("load");
  request.set_wait_ms(5000);
  auto changed = w.run(client.call(kService, "Status", request.SerializeAsString(), Deadline::never()));
  w.loop->run_for(1s);
  EXPECT_FALSE(changed->done);
  ASSERT_TRUE(w.settle([&] { return changed->done; }));
  ASSERT_TRUE(reply.ParseFromString(changed->value->value()));
  EXPECT_NE(reply.state() + reply.phase(), "STARTINGload");
  ASSERT_TRUE(w.settle([&] { return w.replica->report().state == ReplicaState::kReady; }));
  request.set_known_state("READY");
  request.set_known_phase("");
  auto quiet = w.run(client.call(kService, "Status", request.SerializeAsString(), Deadline::never()));
  w.loop->run_for(5100ms);
  ASSERT_TRUE(quiet->done) << "at the latest after wait_ms";
  ASSERT_TRUE(reply.ParseFromString(quiet->value->value()));
  EXPECT_EQ(reply.models(0).name(), "m");
}

TEST(ControlWire, ReconfigureAndDrainTravelWithTheirErrors) {
  ReplicaWorld w(fake_spec());
  w.ready();
  rpc::Client client(*w.loop, w.at);
  const auto call = [&](const char* method, const std::string& body) {
    auto r = w.run(client.call(kService, method, body, Deadline::never()));
    EXPECT_TRUE(w.settle([&] { return r->done; }));
    return *r->value;
  };
  v1::ReconfigureRequest change;
  change.set_app("app");
  change.set_deployment_json("{");
  change.add_model_names("m");
  change.set_epoch(5);
  EXPECT_EQ(call("Reconfigure", change.SerializeAsString()).error().code, Code::kInvalidArgument);
  change.set_deployment_json(deployment_to_json(fake_spec("/models/v2")));
  change.set_revision(2);
  auto done = call("Reconfigure", change.SerializeAsString());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(w.replica->report().revision, 2u);
  EXPECT_THAT(w.finish(w.infer("a")).body, HasSubstr("/models/v2:a"));
  change.set_epoch(1);
  EXPECT_EQ(call("Reconfigure", change.SerializeAsString()).error().reason, "stale_epoch");
  v1::DrainRequest drain;
  drain.set_deadline_ms(100);
  drain.set_epoch(5);
  auto drained = call("Drain", drain.SerializeAsString());
  ASSERT_TRUE(drained) << drained.error().message;
  EXPECT_EQ(w.replica->report().state, ReplicaState::kDraining);
  auto status = call("Status", {});
  ASSERT_TRUE(status) << "a draining replica still answers its master";
}

TEST(OipPath, IsSplitIntoModelVersionAndAction) {
  using What = OipPath::What;
  const auto parse = [](std::string_view path) { return parse_oip_path(path); };
  EXPECT_FALSE(parse("/"));
  EXPECT_FALSE(parse("/v3/models"));
  EXPECT_FALSE(parse("/v2x"));
  EXPECT_FALSE(parse("*"));
  EXPECT_EQ(parse("/v2")->what, What::kServer);
  EXPECT_EQ(parse("/v2/")->what, What::kServer);
  EXPECT_EQ(parse("/v2/health/live")->what, What::kLive);
  EXPECT_EQ(parse("/v2/models")->what, What::kModels);
  EXPECT_EQ(parse("/v2/models/stats")->what, What::kAllStats);
  EXPECT_EQ(parse("/v2/repository/index")->what, What::kIndex);
  EXPECT_EQ(parse("/v2/repository/models/m/load")->what, What::kLoadUnload);
  const auto infer = parse("/v2/models/a.b%20c/versions/3/infer");
  EXPECT_EQ(infer->what, What::kModel);
  EXPECT_EQ(infer->model, "a.b c");
  EXPECT_EQ(infer->version, "3");
  EXPECT_EQ(infer->action, "infer");
  EXPECT_EQ(parse("/v1/models/m:predict")->action, "predict");
  EXPECT_EQ(parse("/v1/models/m:explain")->what, What::kUnknown);
  EXPECT_EQ(parse("/v2/models/m/infer/more")->what, What::kUnknown);
  EXPECT_EQ(parse("/v2/models/m%zz/infer")->what, What::kUnknown);
  EXPECT_EQ(parse("/v2/models/m/a/b/c/d/e/f/g/h")->what, What::kUnknown);
}

}  // namespace
}  // namespace colony::replica::testing
