// What a replica holds of requests: one bound for bodies and gRPC messages, and the end of one request where memory ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "request/replica/replica_grpc_test_support.h"
#include "tests/support/scarce_memory.h"

namespace colony::replica::testing {
namespace {

using colony::testing::ScarceMemory;
using ::testing::HasSubstr;

constexpr const char* kJsonHead = "POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\n\r\n";
constexpr const char* kFull = "x-colony-reason: replica_full\r\n";
constexpr const char* kNoMemory = "x-colony-reason: out_of_memory\r\n";

TEST(ReplicaMemory, BodiesAndGrpcMessagesCountAgainstOneBound) {
  constexpr size_t kBound = 350'000;
  const std::string half(200'000, 'h');
  for (const char* method : {"ModelInfer", "ModelStreamInfer"}) {
    ReplicaWorld w(fake_spec("v1", 8), {}, kBound, kBound);
    w.ready();
    LinkCall json, refused, grpc, refused_json, again;
    w.call(json, kJsonHead, question(half));
    ASSERT_EQ(w.pool.queued(), 1u);
    w.call(refused, grpc_head(method), grpc_message(half));
    EXPECT_THAT(refused.fields, HasSubstr("grpc-status: 14\r\n")) << method;
    EXPECT_THAT(refused.fields, HasSubstr(kFull));
    ASSERT_TRUE(w.settle([&] { return json.done; }));
    w.loop->run_ready();

    w.call(grpc, grpc_head(method), grpc_message(half));
    ASSERT_EQ(w.pool.queued(), 1u) << "its message waits for a thread, and is held";
    w.call(refused_json, kJsonHead, question(half));
    EXPECT_EQ(refused_json.status, 503);
    EXPECT_THAT(refused_json.fields, HasSubstr(kFull));
    ASSERT_TRUE(w.settle([&] { return grpc.done; }));
    EXPECT_THAT(grpc.trailers, HasSubstr("grpc-status: 0\r\n"));
    w.loop->run_ready();
    w.call(again, kJsonHead, question(half));
    ASSERT_TRUE(w.settle([&] { return again.done; }));
    EXPECT_EQ(again.status, 200) << "what was held was given back";
  }
}

TEST(ReplicaMemory, WhoeverLeavesGivesItsBytesBack) {
  constexpr size_t kBound = 350'000;
  const std::string half(200'000, 'h');
  ReplicaWorld w(fake_spec("v1", 8), {}, kBound, kBound);
  w.ready();
  for (const char* method : {"ModelInfer", "ModelStreamInfer"}) {
    LinkCall gone, next;
    w.link().cancel(w.call(gone, grpc_head(method), grpc_message(half)));
    w.loop->run_ready();
    w.call(next, kJsonHead, question(half));
    ASSERT_TRUE(w.settle([&] { return next.done; }));
    EXPECT_EQ(next.status, 200) << method;
  }
}

TEST(ReplicaMemory, AMessageThatFindsNoneEndsItsCallAlone) {
  ReplicaWorld w(fake_spec("v1", 8));
  w.ready();
  // In pieces: it is put together as it comes. In one frame: it is copied for the thread.
  for (const size_t size : {size_t{4} << 20, size_t{40'000}}) {
    for (const char* method : {"ModelInfer", "ModelStreamInfer"}) {
      const std::string message = grpc_message(std::string(size, 'x'));
      LinkCall large, small;
      {
        const ScarceMemory scarce(message.size() - 5 + 1, message.size() + 64);
        w.call(large, grpc_head(method), message);
        w.loop->run_for(10ms);
        EXPECT_EQ(scarce.failed(), 1u) << size;
      }
      ASSERT_TRUE(large.done);
      EXPECT_THAT(large.fields, HasSubstr("grpc-status: 8\r\n"));
      EXPECT_THAT(large.fields, HasSubstr(kNoMemory));
      w.call(small, grpc_head(method), grpc_message("fine"));
      ASSERT_TRUE(w.settle([&] { return small.done; }));
      EXPECT_THAT(small.trailers, HasSubstr("grpc-status: 0\r\n"));
    }
  }
  EXPECT_EQ(w.replica->report().ongoing, 0u);
}

TEST(ReplicaMemory, ABodyThatFindsNoneEndsItsRequestAlone) {
  ReplicaWorld w(fake_spec("v1", 8));
  w.ready();
  const std::string body = question(std::string(900'000, 'x'));
  LinkCall large, small;
  {
    const ScarceMemory scarce(body.size() + 1, 2 * body.size());
    w.call(large,
           "POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n",
           body);
    w.loop->run_for(10ms);
    EXPECT_EQ(scarce.failed(), 2u) << "when its length was told, and as it came";
  }
  ASSERT_TRUE(large.done);
  EXPECT_EQ(large.status, 503);
  EXPECT_THAT(large.fields, HasSubstr(kNoMemory));
  w.call(small, kJsonHead, question("fine"));
  ASSERT_TRUE(w.settle([&] { return small.done; }));
  EXPECT_EQ(small.status, 200);
}

TEST(ReplicaMemory, AQuestionThatIsNoInferenceIsSmall) {
  ReplicaWorld w(fake_spec());
  w.ready();
  for (const char* path : {"/inference.GRPCInferenceService/ModelReady", "/grpc.health.v1.Health/Watch"}) {
    LinkCall call;
    std::string framed;
    grpc::append_message(framed, std::string(100'000, '\n'));
    w.call(call, "POST " + std::string(path) + " HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\n\r\n",
           framed);
    ASSERT_TRUE(w.settle([&] { return call.done; })) << path;
    EXPECT_THAT(call.fields, HasSubstr("grpc-status: 8\r\n"));
    EXPECT_THAT(call.fields, HasSubstr("x-colony-reason: message_too_large\r\n"));
  }
}

}  // namespace
}  // namespace colony::replica::testing
