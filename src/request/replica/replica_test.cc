#include "request/replica/replica.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "request/replica/replica_test_support.h"

namespace colony::replica::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::string_view kInferHead = "POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\nx-request-id: abc\r\n\r\n";

async::Task<bool> ended(Replica* replica) {
  co_await replica->stop();
  co_return true;
}

TEST(Replica, LoadsWarmsUpAndThenIsReady) {
  ReplicaWorld w(fake_spec());
  EXPECT_EQ(w.get("/v2/health/ready").status, 503);
  EXPECT_EQ(w.get("/v2/health/live").status, 200);
  w.replica->start();
  w.loop->run_for(2s);
  EXPECT_EQ(w.replica->report().phase, "load");
  EXPECT_TRUE(w.settle([&] { return w.replica->report().state == ReplicaState::kReady; }));
  EXPECT_EQ(w.fake.infers, 1) << "the warm-up";
  const auto report = w.replica->report();
  ASSERT_EQ(report.phases.size(), 2u);
  EXPECT_EQ(report.phases[0].phase, "load");
  EXPECT_GE(report.phases[0].seconds, 2.0);
  EXPECT_EQ(report.phases[1].phase, "warm-up");
  EXPECT_EQ(w.get("/v2/health/ready").status, 200);
  EXPECT_EQ(report.models.at(0).name, "m");
}

TEST(Replica, SaysThatItIsStartingUntilItIsReady) {
  ReplicaWorld w(fake_spec());
  w.replica->start();
  w.loop->run_ready();
  const auto early = w.begin("POST", "/v2/models/m/infer", question("a"));
  w.loop->run_ready();
  ASSERT_TRUE(early->done);
  EXPECT_EQ(early->status, 503);
  EXPECT_THAT(early->body, AllOf(HasSubstr("is starting (load)"), HasSubstr("replica_starting")));
}

TEST(Replica, AnswersOverHttpAndFramesAlike) {
  ReplicaWorld w(fake_spec());
  w.ready();
  const auto http = w.finish(w.infer("hello"));
  EXPECT_EQ(http.status, 200);
  EXPECT_THAT(http.body, HasSubstr(R"("data":["v1:hello"])"));
  EXPECT_EQ(http.reply.header("x-request-id").size(), 32u);
  LinkCall call;
  w.call(call, std::string(kInferHead), question("hello"));
  ASSERT_TRUE(w.settle([&] { return call.done; }));
  EXPECT_EQ(call.status, 200);
  EXPECT_EQ(call.body, http.body);
  EXPECT_THAT(call.fields, HasSubstr("x-request-id: abc\r\n"));
  EXPECT_EQ(w.replica->report().requests, 2u);
}

TEST(Replica, RunsNoMoreThanItsBoundQueuesAsManyAndRefusesTheRest) {
  ReplicaWorld w(fake_spec("v1", 2));
  w.ready();
  std::vector<std::shared_ptr<ReplicaWorld::Fetch>> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(w.infer(std::to_string(i)));
  EXPECT_EQ(w.pool.queued(), 2u);
  ASSERT_TRUE(calls[4]->done);
  EXPECT_EQ(calls[4]->status, 503);
  EXPECT_THAT(calls[4]->body, AllOf(HasSubstr("replica_full"), HasSubstr("max_ongoing_requests")));
  EXPECT_EQ(calls[4]->reply.header("retry-after"), "1");
  for (int i = 0; i < 4; ++i) EXPECT_THAT(w.finish(calls[i]).body, HasSubstr("v1:" + std::to_string(i)));
}

TEST(Replica, WorkPastItsDeadlineIsAnsweredAndNeverBegun) {
  ReplicaWorld w(fake_spec("v1", 1));
  w.ready();
  LinkCall running, waiting;
  w.call(running, std::string(kInferHead), question("a"), Deadline::after(w.loop->now(), 5s));
  w.call(waiting, std::string(kInferHead), question("b"), Deadline::after(w.loop->now(), 1s));
  EXPECT_EQ(w.pool.queued(), 1u);
  const int before = w.fake.infers;
  w.loop->run_for(1100ms);
  ASSERT_TRUE(waiting.done);
  EXPECT_EQ(waiting.status, 504);
  EXPECT_FALSE(running.done);
  w.loop->run_for(4s);
  ASSERT_TRUE(running.done) << "answered at its deadline although it still runs";
  EXPECT_EQ(running.status, 504);
  EXPECT_TRUE(w.pool.run_one());
  w.loop->run_ready();
  EXPECT_EQ(w.fake.infers, before + 1);
  EXPECT_EQ(w.fake.cancelled, 1) << "the model was told to stop";
  EXPECT_EQ(w.pool.queued(), 0u) << "what waited was not begun";
  EXPECT_EQ(w.finish(w.infer("c")).status, 200);
}

TEST(Replica, AClientThatGoesAwayCancelsItsWork) {
  ReplicaWorld w(fake_spec("v1", 1));
  w.ready();
  LinkCall a, b;
  const auto first = w.call(a, std::string(kInferHead), question("a"));
  const auto second = w.call(b, std::string(kInferHead), question("b"));
  w.link().cancel(second);
  w.link().cancel(first);
  w.loop->run_ready();
  EXPECT_EQ(w.replica->report().ongoing, 0u);
  while (w.pool.run_one()) w.loop->run_ready();
  EXPECT_EQ(w.fake.cancelled, 1) << "the one that waited was never begun";
}

TEST(Replica, AHungModelMakesItUnhealthy) {
  auto spec = fake_spec("v1", 1);
  spec.request_timeout_s = 1;
  spec.health_check_timeout_s = 10;
  ReplicaWorld w(spec);
  w.ready();
  const auto call = w.infer("a");
  w.loop->run_for(2s);
  EXPECT_EQ(call->status, 504);
  w.loop->run_for(10s);
  const auto live = w.begin("GET", "/v2/health/live");
  w.loop->run_ready();
  EXPECT_EQ(live->status, 503);
  EXPECT_EQ(w.replica->report().state, ReplicaState::kFailed);
  EXPECT_THAT(w.replica->report().error, HasSubstr("the model hangs"));
  auto change = w.run(w.replica->reconfigure({"app", spec, {"m"}, 2, 5}));
  ASSERT_TRUE(w.settle([&] { return change->done; }));
  EXPECT_EQ(change->value->error().reason, "needs_new_process");
  EXPECT_TRUE(w.pool.run_one());
  w.loop->run_ready();
  EXPECT_EQ(w.replica->report().state, ReplicaState::kReady);
}

TEST(Replica, AFailedLoadIsReportedAndAReconfigurationHealsIt) {
  ReplicaWorld w(fake_spec());
  w.fake.fail_load = "no such file";
  w.ready();
  auto report = w.replica->report();
  EXPECT_EQ(report.state, ReplicaState::kFailed);
  EXPECT_EQ(report.error, "model 'm': no such file");
  EXPECT_THAT(w.get("/v2/models/m").body, HasSubstr("has failed: model 'm': no such file"));
  auto healed = w.run(w.replica->reconfigure({"app", fake_spec("v2"), {"m"}, 2, 5}));
  ASSERT_TRUE(w.settle([&] { return healed->done; }));
  EXPECT_TRUE(healed->value->has_value());
  EXPECT_EQ(w.replica->report().state, ReplicaState::kReady);
  EXPECT_THAT(w.finish(w.infer("a")).body, HasSubstr("v2:a"));
}

TEST(Replica, ReconfigurationSwapsUnderRunningRequestsAndFreesTheOldModel) {
  ReplicaWorld w(fake_spec("v1", 4));
  w.ready();
  const auto old_call = w.infer("old");
  EXPECT_EQ(w.pool.queued(), 1u);
  auto change = w.run(w.replica->reconfigure({"app", fake_spec("v2", 4), {"m"}, 7, 6}));
  EXPECT_FALSE(old_call->done);
  ASSERT_TRUE(w.settle([&] { return change->done; }));
  ASSERT_TRUE(change->value->has_value()) << change->value->error().message;
  EXPECT_THAT(w.finish(old_call).body, HasSubstr("v1:old"));
  EXPECT_THAT(w.finish(w.infer("new")).body, HasSubstr("v2:new"));
  EXPECT_EQ(w.replica->report().revision, 7u);
  EXPECT_TRUE(w.settle([&] { return w.fake.live == 1; })) << "the old model is freed";
}

TEST(Replica, AFailedReconfigurationLeavesTheOldModelServing) {
  ReplicaWorld w(fake_spec("v1"));
  w.ready();
  w.fake.fail_load = "truncated";
  auto change = w.run(w.replica->reconfigure({"app", fake_spec("v2"), {"m"}, 2, 5}));
  ASSERT_TRUE(w.settle([&] { return change->done; }));
  ASSERT_FALSE(change->value->has_value());
  EXPECT_THAT(change->value->error().message, HasSubstr("truncated"));
  EXPECT_EQ(w.replica->report().revision, 1u);
  EXPECT_EQ(w.replica->report().state, ReplicaState::kReady);
  EXPECT_THAT(w.finish(w.infer("a")).body, HasSubstr("v1:a"));
}

TEST(Replica, AReconfigurationThatCannotBeDoneInPlaceIsRefused) {
  ReplicaWorld w(fake_spec("v1"));
  w.ready();
  const auto reason = [&](Reconfiguration change) {
    auto r = w.run(w.replica->reconfigure(std::move(change)));
    EXPECT_TRUE(w.settle([&] { return r->done; }));
    return r->value->has_value() ? std::string("done") : r->value->error().reason;
  };
  EXPECT_EQ(reason({"app", fake_spec("v2"), {"m"}, 2, 4}), "stale_epoch");
  auto other = fake_spec("v1");
  other.max_ongoing_requests = 3;
  EXPECT_EQ(reason({"app", other, {"m"}, 2, 5}),
            process_hash(other) == process_hash(fake_spec("v1")) ? "done" : "needs_new_process");
  auto runtime = fake_spec("v1");
  runtime.runtime = "echo";
  EXPECT_EQ(reason({"app", runtime, {"m"}, 3, 5}), "needs_new_process");
  const int loads = w.fake.loads;
  auto timeout = fake_spec("v1");
  timeout.request_timeout_s = 1;
  EXPECT_EQ(reason({"app", timeout, {"m"}, 4, 5}), "done");
  EXPECT_EQ(w.fake.loads, loads) << "the same models are not loaded again";
  auto first = w.run(w.replica->reconfigure({"app", fake_spec("v3"), {"m"}, 5, 5}));
  EXPECT_EQ(reason({"app", fake_spec("v4"), {"m"}, 6, 5}), "busy");
  EXPECT_TRUE(w.settle([&] { return first->done; }));
}

TEST(Replica, DrainSendsGoawayAndWaitsForWhatRuns) {
  ReplicaWorld w(fake_spec());
  w.ready();
  LinkCall call;
  w.call(call, std::string(kInferHead), question("last"));
  auto drained = w.run(w.replica->drain(10s, 5));
  EXPECT_TRUE(w.goaway);
  EXPECT_FALSE(drained->done);
  const auto health = w.begin("GET", "/v2/health/ready");
  w.loop->run_ready();
  EXPECT_EQ(health->status, 503) << "still reachable, no longer ready";
  ASSERT_TRUE(w.settle([&] { return drained->done; }));
  EXPECT_EQ(**drained->value, 0u);
  EXPECT_EQ(call.status, 200);
  EXPECT_EQ(w.replica->report().state, ReplicaState::kDraining);
}

TEST(Replica, DrainTellsWhatStillRunsAfterItsGrace) {
  ReplicaWorld w(fake_spec());
  w.ready();
  const auto call = w.infer("slow");
  auto drained = w.run(w.replica->drain(2s, 5));
  w.loop->run_for(2100ms);
  ASSERT_TRUE(drained->done);
  EXPECT_EQ(**drained->value, 1u);
  EXPECT_EQ(w.finish(call).status, 200);
  auto stale = w.run(w.replica->drain(1s, 4));
  ASSERT_TRUE(stale->done);
  EXPECT_EQ(stale->value->error().reason, "stale_epoch");
}

TEST(Replica, ItsEndRefusesWhatWaitsAndStopsWhatRuns) {
  ReplicaWorld w(fake_spec("v1", 1));
  w.ready();
  const auto running = w.infer("a"), waiting = w.infer("b");
  auto stopped = w.run(ended(w.replica.get()));
  EXPECT_FALSE(stopped->done);
  EXPECT_EQ(waiting->status, 503);
  EXPECT_THAT(waiting->body, HasSubstr("replica_ending"));
  ASSERT_TRUE(w.settle([&] { return stopped->done; }));
  EXPECT_EQ(w.fake.cancelled, 1);
}

TEST(Replica, ControlCallsDoNotPassTheFrameLink) {
  ReplicaWorld w(fake_spec());
  w.ready();
  LinkCall call;
  w.call(call, "POST /colony.replica.v1.Replica/Drain HTTP/1.1\r\nhost: x\r\ncontent-type: application/proto\r\n\r\n",
         "");
  ASSERT_TRUE(w.settle([&] { return call.done; }));
  EXPECT_EQ(call.status, 404);
  EXPECT_EQ(w.replica->report().state, ReplicaState::kReady);
}

TEST(Replica, ErrorsOfTheModelAndOfTheRequestHaveTheirStatus) {
  ReplicaWorld w(fake_spec());
  w.ready();
  EXPECT_EQ(w.post("/v2/models/m/infer", "{").status, 400);
  EXPECT_EQ(w.post("/v2/models/m/infer", question("a"), {{"inference-header-content-length", "x"}}).status, 400);
  EXPECT_EQ(w.post("/v2/models/other/infer", question("a")).status, 404);
  EXPECT_EQ(w.post("/v2/models/m/versions/9/infer", question("a")).status, 404);
  EXPECT_EQ(w.get("/v2/models/m/infer").status, 405);
  EXPECT_EQ(w.get("/v2/models/m/infer").reply.header("allow"), "POST");
  EXPECT_EQ(w.get("/v2/nothing").status, 404);
  EXPECT_THAT(w.post("/anything", "x").body,
              HasSubstr("answers the Open Inference Protocol only: POST /v2/models/m/infer"));
  EXPECT_EQ(w.post("/v2/models/m/infer", std::string((1 << 20) + 1, ' ')).status, 413);
  w.fake.fail_infer = "exploded";
  const auto broken = w.finish(w.infer("a"));
  EXPECT_EQ(broken.status, 500);
  EXPECT_THAT(broken.body, HasSubstr("exploded"));
  w.fake.fail_infer.clear();
  const auto stats = w.get("/v2/models/m/stats").body;
  EXPECT_THAT(stats, HasSubstr(R"("success":{"count":0)"));
  w.pool.full = true;
  const auto full = w.infer("a");
  EXPECT_EQ(full->status, 503);
  w.pool.full = false;
}

DeploymentSpec echo_spec() {
  DeploymentSpec spec;
  spec.name = "d";
  spec.runtime = "echo";
  spec.max_ongoing_requests = 2;
  return spec;
}

TEST(ReplicaEcho, StreamsBodiesBackInAnyPieces) {
  for (const size_t chunk : {size_t{0}, size_t{7}, size_t{1000}}) {
    ReplicaWorld w(echo_spec(), {.seed = chunk + 1, .max_chunk = chunk, .stream_buffer = 4096});
    w.ready();
    const std::string body(chunk == 7 ? 3000 : 600'000, 'e');
    const auto http = w.post("/any?x=1", body, {{"content-type", "text/x-test"}});
    EXPECT_EQ(http.status, 200);
    EXPECT_EQ(http.reply.header("content-type"), "text/x-test");
    EXPECT_TRUE(http.body == body);
    EXPECT_EQ(w.get("/").status, 200);
    LinkCall call;
    w.call(call, "POST / HTTP/1.1\r\nhost: x\r\n\r\n", "framed");
    ASSERT_TRUE(w.settle([&] { return call.done; }));
    EXPECT_EQ(call.body, "framed");
  }
}

TEST(ReplicaEcho, ShowsWhatReachedIt) {
  ReplicaWorld w(echo_spec());
  w.ready();
  const auto shown = w.finish(w.begin("GET", "/a%20b?show=head", {}, {{"X-Test", "kept"}}));
  EXPECT_THAT(shown.body, AllOf(HasSubstr("GET /a%20b?show=head HTTP/1.1\r\n"), HasSubstr("X-Test: kept\r\n")));
}

TEST(ReplicaEcho, AnswersOtherPeoplesModelPathsRawWhenAProxySendsThem) {
  ReplicaWorld w(echo_spec());
  w.ready();
  LinkCall call;
  w.call(call, "POST /v2/models/other/infer HTTP/1.1\r\nhost: x\r\n\r\n", "raw");
  ASSERT_TRUE(w.settle([&] { return call.done; }));
  EXPECT_EQ(call.body, "raw");
  EXPECT_EQ(w.post("/v2/models/other/infer", "raw").status, 404);
  EXPECT_THAT(w.post("/v1/models/m:predict", R"({"instances":[1,2]})").body, HasSubstr(R"({"predictions":[1,2]})"));
  EXPECT_THAT(w.get("/v1/models/m").body, HasSubstr(R"("ready":true)"));
}

}  // namespace
}  // namespace colony::replica::testing
