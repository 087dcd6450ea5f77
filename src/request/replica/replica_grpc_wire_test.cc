// gRPC at a replica over a frame link: what a stream of inferences may ask for, and what is told when it fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "inference/grpc_service.pb.h"
#include "request/replica/replica_grpc_test_support.h"

namespace colony::replica::testing {
namespace {

using ::testing::HasSubstr;

std::vector<inference::ModelStreamInferResponse> answers(const LinkCall& call) {
  grpc::MessageDecoder decoder(1 << 30);
  decoder.feed(call.body);
  std::vector<inference::ModelStreamInferResponse> out;
  for (std::string_view m; decoder.next(m) == grpc::MessageDecoder::State::kMessage;)
    EXPECT_TRUE(out.emplace_back().ParseFromString(std::string(m))) << "not UTF-8, or no message";
  return out;
}

void expect_said(const LinkCall& call, const std::vector<std::string>& texts) {
  const auto got = answers(call);
  ASSERT_EQ(got.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(got[i].error_message(), "");
    EXPECT_THAT(got[i].infer_response().raw_output_contents(0), HasSubstr("v1:" + texts[i]));
  }
  EXPECT_THAT(call.trailers, HasSubstr("grpc-status: 0\r\n"));
}

TEST(ReplicaStream, GoesOnAfterARequestThatIsMuchLargerThanItsAnswer) {
  ReplicaWorld w(fake_spec());
  w.ready();
  w.fake.fail_infer = "no";
  LinkCall call;
  w.call(call, grpc_head("ModelStreamInfer"),
         grpc_message(std::string(size_t{17} << 20, 'x')) + grpc_message("a") + grpc_message("b"));
  ASSERT_TRUE(w.settle([&] { return call.done; }));
  ASSERT_EQ(answers(call).size(), 3u);
  EXPECT_EQ(answers(call)[2].error_message(), "no");
  EXPECT_THAT(call.trailers, HasSubstr("grpc-status: 0\r\n"));
}

TEST(ReplicaStream, WaitsForAPlaceWhereOneRequestWouldBeRefused) {
  ReplicaWorld w(fake_spec("v1", 2));
  w.ready();
  std::string body;
  std::vector<std::string> texts;
  for (int i = 0; i < 40; ++i) body += grpc_message(texts.emplace_back(std::to_string(i)));
  LinkCall one, two;
  w.call(one, grpc_head("ModelStreamInfer"), body);
  w.call(two, grpc_head("ModelStreamInfer"), body);
  EXPECT_EQ(w.pool.queued(), 2u);
  ASSERT_TRUE(w.settle([&] { return one.done && two.done; }));
  expect_said(one, texts);
  expect_said(two, texts);
}

TEST(ReplicaStream, GetsThePlacesThatOthersGiveBack) {
  ReplicaWorld w(fake_spec("v1", 1));
  w.ready();
  LinkCall running, waiting, stream, gone;
  const std::string head = "POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\n\r\n";
  w.call(running, head, question("a"));
  const auto second = w.call(waiting, head, question("b"));
  w.call(stream, grpc_head("ModelStreamInfer"), grpc_message("c") + grpc_message("d"));
  const auto left = w.call(gone, grpc_head("ModelStreamInfer"), grpc_message("e") + grpc_message("f"));
  w.link().cancel(left);
  w.link().cancel(second);
  w.loop->run_for(1ms);
  const auto refused = w.infer("g");
  EXPECT_EQ(refused->status, 503) << "the stream has the place that was given back";
  ASSERT_TRUE(w.settle([&] { return stream.done; }));
  EXPECT_EQ(running.status, 200);
  expect_said(stream, {"c", "d"});
  EXPECT_EQ(w.replica->report().ongoing, 0u);
}

TEST(ReplicaStream, ARequestThatExpiresInTheInboxGivesItsPlaceToTheStream) {
  ReplicaWorld w(fake_spec("v1", 1));
  w.ready();
  LinkCall running, waiting, stream;
  const std::string head = "POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\n\r\n";
  w.call(running, head, question("a"));
  w.call(waiting, head, question("b"), Deadline::after(w.loop->now(), 1s));
  w.call(stream, grpc_head("ModelStreamInfer"), grpc_message("c"));
  w.loop->run_for(1100ms);
  EXPECT_THAT(waiting.fields, HasSubstr("x-colony-reason: deadline\r\n"));
  EXPECT_EQ(w.infer("d")->status, 503);
  ASSERT_TRUE(w.settle([&] { return stream.done; }));
  expect_said(stream, {"c"});
  EXPECT_THAT(w.get("/v2/models/m/stats").body, HasSubstr(R"("fail":{"count":2,)")) << "too late, and refused";
}

TEST(ReplicaStream, AnErrorCarriesTheIdOfItsRequestAndIsCutAtACharacter) {
  ReplicaWorld w(fake_spec());
  w.ready();
  std::string broken = grpc_message("a", "7");
  broken += "\x0a\x7f";  // a name of 127 bytes that are not there
  broken[4] = static_cast<char>(broken[4] + 2);
  for (int i = 0; i < 5000; ++i) w.fake.fail_infer += "\xc3\xbc";
  w.fake.fail_infer.insert(0, "x");
  LinkCall call;
  w.call(call, grpc_head("ModelStreamInfer"), broken + grpc_message("b", "8"));
  ASSERT_TRUE(w.settle([&] { return call.done; }));
  const auto got = answers(call);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].infer_response().id(), "7");
  EXPECT_THAT(got[0].error_message(), HasSubstr("no inference.ModelInferRequest"));
  EXPECT_EQ(got[1].infer_response().id(), "8");
  EXPECT_EQ(got[1].error_message().size(), 4095u);
}

TEST(ReplicaGrpc, AFullReplicaSaysWhenToComeBack) {
  ReplicaWorld w(fake_spec("v1", 1));
  w.ready();
  LinkCall calls[3];
  for (auto& c : calls) w.call(c, grpc_head("ModelInfer"), grpc_message("a"));
  ASSERT_TRUE(calls[2].done);
  EXPECT_THAT(calls[2].fields, HasSubstr("grpc-status: 14\r\n"));
  EXPECT_THAT(calls[2].fields, HasSubstr("retry-after: 1\r\ngrpc-retry-pushback-ms: 1000\r\n"));
  ASSERT_TRUE(w.settle([&] { return calls[0].done && calls[1].done; }));
}

TEST(ReplicaGrpc, WhatIsRefusedOrLateIsAFailureOfItsModel) {
  ReplicaWorld w(fake_spec("v1", 1));
  w.ready();
  const auto failed = [&] { return w.get("/v2/models/m/stats").body; };
  LinkCall calls[3];
  for (auto& c : calls) w.call(c, grpc_head("ModelInfer"), grpc_message("a"));
  ASSERT_TRUE(calls[2].done);
  EXPECT_THAT(failed(), HasSubstr(R"("fail":{"count":1,)")) << "refused";
  ASSERT_TRUE(w.settle([&] { return calls[0].done && calls[1].done; }));
  EXPECT_THAT(failed(), HasSubstr(R"("fail":{"count":1,)"));
  LinkCall running, waiting;
  w.call(running, grpc_head("ModelInfer"), grpc_message("a"), Deadline::after(w.loop->now(), 2s));
  w.call(waiting, grpc_head("ModelInfer"), grpc_message("b"), Deadline::after(w.loop->now(), 1s));
  w.loop->run_for(3s);
  ASSERT_TRUE(running.done && waiting.done);
  EXPECT_THAT(failed(), HasSubstr(R"("fail":{"count":3,)")) << "too late, one of them while it ran";
  LinkCall gone;
  w.link().cancel(w.call(gone, grpc_head("ModelInfer"), grpc_message("c")));
  w.loop->run_ready();
  EXPECT_THAT(failed(), HasSubstr(R"("fail":{"count":3,)")) << "whoever leaves is no failure of the model";
}

TEST(ReplicaStream, WhatIsRefusedCarriesTheIdOfItsRequestAndIsAFailure) {
  auto spec = fake_spec("v1", 1);
  spec.request_timeout_s = 1;
  ReplicaWorld w(spec);
  w.ready();
  LinkCall stream;
  w.call(stream, grpc_head("ModelStreamInfer"), grpc_message("a", "7") + grpc_message("b", "8"));
  w.loop->run_for(2s);
  const auto got = answers(stream);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_THAT(got[0].error_message(), HasSubstr("deadline"));
  EXPECT_EQ(got[0].infer_response().id(), "7") << "it runs still";
  EXPECT_EQ(got[1].infer_response().id(), "8") << "it was never begun";
  EXPECT_THAT(w.get("/v2/models/m/stats").body, HasSubstr(R"("fail":{"count":2,)"));
  ASSERT_TRUE(w.settle([&] { return w.pool.queued() == 0; }));
}

// What a call to grpc.health.v1.Health was told so far: 1 serving, 2 not serving.
std::string statuses(const LinkCall& call) {
  grpc::MessageDecoder decoder(1000);
  decoder.feed(call.body);
  std::string out;
  for (std::string_view m; decoder.next(m) == grpc::MessageDecoder::State::kMessage;)
    out += m.size() == 2 && m[0] == '\x08' ? static_cast<char>('0' + m[1]) : '?';
  return out;
}

TEST(ReplicaGrpc, HealthFollowsAModelThatHangs) {
  auto spec = fake_spec("v1", 2);
  spec.health_check_timeout_s = 3;
  ReplicaWorld w(spec);
  w.ready();
  const auto ask = [&](LinkCall& call, const char* method, std::string_view service) {
    std::string body;
    grpc::append_message(body, service.empty() ? std::string() : proto_field(1, service));
    w.call(call,
           "POST /grpc.health.v1.Health/" + std::string(method) +
               " HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\n\r\n",
           body);
  };
  const auto check = [&] {
    LinkCall call;
    ask(call, "Check", "");
    return statuses(call);
  };
  LinkCall watch, by_name;
  ask(watch, "Watch", "");
  ask(by_name, "Watch", "inference.GRPCInferenceService");
  std::string told = "1";
  for (const bool leaves : {false, true}) {
    LinkCall call;
    const auto id = w.call(call, grpc_head("ModelInfer"), grpc_message("a"), Deadline::after(w.loop->now(), 2s));
    if (leaves) w.link().cancel(id);
    w.loop->run_for(4900ms);
    EXPECT_EQ(statuses(watch), told) << "late, but not by three seconds";
    EXPECT_EQ(check(), "1");
    w.loop->run_for(200ms);
    EXPECT_EQ(w.get("/v2/health/ready").status, 503);
    EXPECT_EQ(statuses(watch), told += "2");
    EXPECT_EQ(statuses(by_name), told);
    EXPECT_EQ(check(), "2");
    ASSERT_TRUE(w.pool.run_one());
    w.loop->run_ready();
    EXPECT_EQ(statuses(watch), told += "1") << "it has ended after all";
    EXPECT_EQ(check(), "1");
  }
}

TEST(ReplicaGrpc, LargeMessagesOfACheapModelAreTheThreadsWork) {
  DeploymentSpec spec;
  spec.name = "d";
  spec.runtime = "echo";
  ReplicaWorld w(spec);
  w.ready();
  LinkCall small, large;
  w.call(small, grpc_head("ModelInfer"), grpc_message("a"));
  EXPECT_TRUE(small.done);
  w.call(large, grpc_head("ModelInfer"), grpc_message(std::string((size_t{1} << 20) + 1, 'x')));
  EXPECT_EQ(w.pool.queued(), 1u);
}

}  // namespace
}  // namespace colony::replica::testing
