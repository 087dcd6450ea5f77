// Bodies of inferences: their bounds, their codings, where they are worked on, and what ends one of them alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <new>
#include <stdexcept>

#include "request/replica/replica_test_support.h"
#include "transport/compress/coding.h"

namespace colony::replica::testing {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMostBody = 1 << 20;  // of ReplicaWorld
constexpr const char* kJsonLength = "inference-header-content-length";

size_t address_space() {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * 4096;
}

// One BYTES element as binary data; `whole` bytes in all, the JSON of a length that needs padding.
std::string binary_question(size_t whole, size_t& json_length) {
  const auto json = [](size_t n) {
    return R"({"inputs":[{"name":"x","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":)" +
           std::to_string(n) + "}}]}";
  };
  std::string head = json(whole);
  head = json(whole - head.size());
  while (head.size() % 16 == 0 || json(whole - head.size()).size() > head.size()) head += ' ';
  head = json(whole - head.size()) + std::string(head.size() - json(whole - head.size()).size(), ' ');
  json_length = head.size();
  const auto n = static_cast<uint32_t>(whole - head.size() - 4);
  for (const int shift : {0, 8, 16, 24}) head += static_cast<char>(n >> shift);
  return head + std::string(n, 'b');
}

TEST(InferBody, OfExactlyTheLimitIsTakenHoweverItIsAligned) {
  ReplicaWorld w(fake_spec());
  w.ready();
  size_t length = 0;
  const std::string body = binary_question(kMostBody, length);
  ASSERT_EQ(body.size(), kMostBody);
  const auto reply = w.post("/v2/models/m/infer", body, {{kJsonLength, std::to_string(length)}});
  EXPECT_EQ(reply.status, 200) << reply.body;
}

TEST(InferBody, PromisesTakeNoMemory) {
  constexpr size_t kPromise = size_t{200} << 20;
  ReplicaWorld w(fake_spec(), {}, kPromise);
  w.ready();
  LinkCall calls[8];
  const std::string text =
      "POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: " + std::to_string(kPromise) + "\r\n\r\n";
  http::RequestHead head;
  http::ParseError why;
  ASSERT_EQ(http::parse_request_head(text, head, why), http::ParseState::kComplete);
  const size_t before = address_space();
  for (auto& c : calls) w.link().call(head, {}, {}, false, Deadline::never(), c);
  w.loop->run_for(1ms);
  EXPECT_EQ(w.replica->report().ongoing, 8u);
  EXPECT_LT(address_space() - before, 2 * kPromise);
  const std::string large(900'000, 'y');
  EXPECT_THAT(w.finish(w.infer(large)).body, HasSubstr("v1:" + large)) << "it grows as it comes";
}

TEST(InferBody, WhatThrowsIsTheEndOfItsRequestAlone) {
  ReplicaWorld w(fake_spec());
  w.ready();
  w.fake.on_infer = [] { throw std::length_error("too long"); };
  const auto broken = w.finish(w.infer("a"));
  EXPECT_EQ(broken.status, 500);
  EXPECT_THAT(broken.body, HasSubstr("too long"));
  w.fake.on_infer = [] { throw std::bad_alloc(); };
  const auto large = w.finish(w.infer("a"));
  EXPECT_EQ(large.status, 503);
  EXPECT_EQ(large.reply.header("x-colony-reason"), "out_of_memory");
  w.fake.on_infer = nullptr;
  EXPECT_EQ(w.finish(w.infer("a")).status, 200);
}

TEST(InferBody, LargeOnesOfACheapModelAreTheThreadsWork) {
  DeploymentSpec spec;
  spec.name = "d";
  spec.runtime = "echo";
  ReplicaWorld w(spec);
  w.ready();
  const auto waits = [&](const std::string& path, const std::string& body) {
    const auto call = w.begin("POST", path, body);
    w.loop->run_for(1ms);
    const bool waited = w.pool.queued() > 0;
    EXPECT_EQ(w.finish(call).status, 200) << call->body;
    return waited;
  };
  const auto predict = [](size_t n) { return R"({"instances":[")" + std::string(n, 'p') + R"("]})"; };
  EXPECT_FALSE(waits("/v1/models/m:predict", predict(1000)));
  EXPECT_TRUE(waits("/v1/models/m:predict", predict(5000)));
  EXPECT_FALSE(waits("/v2/models/m/infer", question(std::string(60'000, 'j'))));
  EXPECT_TRUE(waits("/v2/models/m/infer", question(std::string(70'000, 'j'))));
}

TEST(InferCoding, TheLinesOfANameAreOneList) {
  ReplicaWorld w(fake_spec());
  w.ready();
  const std::string plain = question(std::string(2000, 'x'));
  const std::string packed = compress::compress(compress::Coding::kGzip, plain);
  const auto status = [&](const std::string& body, std::vector<std::pair<std::string, std::string>> fields) {
    return w.post("/v2/models/m/infer", body, std::move(fields)).status;
  };
  EXPECT_EQ(status(packed, {{"content-encoding", "gzip"}}), 200);
  EXPECT_EQ(status(packed, {{"content-encoding", ""}, {"Content-Encoding", ", gzip"}}), 200);
  EXPECT_EQ(status(packed, {{"content-encoding", "gzip"}, {"content-encoding", "br"}}), 415);
  EXPECT_EQ(status(packed, {{"content-encoding", "gzip, gzip"}}), 415);
  EXPECT_EQ(status(plain, {{"content-encoding", ""}}), 200);
  EXPECT_EQ(status(plain, {{"content-encoding", " , "}}), 200);
  const auto reply =
      w.post("/v2/models/m/infer", plain, {{"accept-encoding", "identity;q=0.1"}, {"accept-encoding", "gzip"}});
  EXPECT_EQ(reply.reply.header("content-encoding"), "gzip");
  const std::string all = std::to_string(plain.size());
  EXPECT_EQ(status(plain, {{kJsonLength, all}, {kJsonLength, all}}), 200);
  const auto two = w.post("/v2/models/m/infer", plain, {{kJsonLength, all}, {kJsonLength, "0"}});
  EXPECT_EQ(two.status, 400);
  EXPECT_THAT(two.body, HasSubstr("'" + all + "' and '0' given"));
}

TEST(InferCoding, AJsonLengthBeyondAPackedBodyIsToldAsItCame) {
  ReplicaWorld w(fake_spec());
  w.ready();
  const std::string packed = compress::compress(compress::Coding::kGzip, question(std::string(40, 'x')));
  const std::string has = std::to_string(question(std::string(40, 'x')).size());
  for (const char* given : {"1001", "18446744073709551615"}) {
    const auto reply = w.post("/v2/models/m/infer", packed, {{"content-encoding", "gzip"}, {kJsonLength, given}});
    EXPECT_EQ(reply.status, 400);
    EXPECT_THAT(reply.body, HasSubstr(std::string(given) + " given, but the body has " + has + " bytes"));
  }
}

TEST(InferErrors, EveryOneHasItsReasonInTheHeadToo) {
  ReplicaWorld w(fake_spec());
  w.ready();
  const auto reason = [](const ReplicaWorld::Fetch& f) { return std::string(f.reply.header("x-colony-reason")); };
  EXPECT_EQ(reason(w.post("/v2/models/m/infer", "x", {{"content-encoding", "br"}})), "content_encoding");
  EXPECT_EQ(reason(w.get("/v2/models/m/infer")), "wrong_method");
  EXPECT_EQ(reason(w.post("/v2/models/m/infer", std::string(kMostBody + 1, ' '))), "body_too_large");
  DeploymentSpec spec;
  spec.name = "d";
  spec.runtime = "echo";
  ReplicaWorld echo(spec);
  echo.ready();
  const auto handshake = echo.finish(echo.begin("GET", "/", {},
                                                {{"connection", "upgrade"},
                                                 {"upgrade", "websocket"},
                                                 {"sec-websocket-version", "12"},
                                                 {"sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="}}));
  EXPECT_EQ(handshake.status, 426);
  EXPECT_EQ(reason(handshake), "bad_handshake");
}

}  // namespace
}  // namespace colony::replica::testing
