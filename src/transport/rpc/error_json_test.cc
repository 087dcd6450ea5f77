// Errors travel whole as JSON, and what other servers say instead is still understood.
#include "transport/rpc/error_json.h"

#include <gtest/gtest.h>

#include "transport/rpc/envelope.h"

namespace colony::rpc {
namespace {

TEST(RpcError, TravelsWhole) {
  Error error = failed_precondition("epoch 3 of \"a\\b\" is over\n\x01 \xc3\xa9", "stale_epoch");
  error.origin = Origin::kUpstream;
  error.retry = Retry::kIfFresh;
  const Error back = error_from_json(error_to_json(error), 412);
  EXPECT_EQ(back.code, error.code);
  EXPECT_EQ(back.message, error.message);
  EXPECT_EQ(back.reason, error.reason);
  EXPECT_EQ(back.origin, error.origin);
  EXPECT_EQ(back.retry, error.retry);
  for (int i = 1; i <= 16; ++i) {
    error.code = static_cast<Code>(i);
    EXPECT_EQ(error_from_json(error_to_json(error), 500).code, error.code);
  }
}

TEST(RpcError, ReadsTheShapeOfOurOtherErrors) {
  const Error back = error_from_json(R"({"error":"no such route","code":"NOT_FOUND","reason":"no_route"})", 404);
  EXPECT_EQ(back.code, Code::kNotFound);
  EXPECT_EQ(back.message, "no such route");
  EXPECT_EQ(back.reason, "no_route");
}

TEST(RpcError, FallsBackToTheStatusAndTheText) {
  EXPECT_EQ(error_from_json("", 503).code, Code::kUnavailable);
  EXPECT_EQ(error_from_json("", 503).message, "HTTP status 503");
  EXPECT_EQ(error_from_json("<html>", 404).message, "HTTP status 404: <html>");
  EXPECT_EQ(error_from_json("{\"code\":7,\"x\":[{\"a\":\"}\"},2],\"message\":\"m\"}", 400).message, "m");
  EXPECT_EQ(error_from_json("{\"message\":\"\\u00e9\\ud800\\n\"}", 400).message, "\xc3\xa9\xef\xbf\xbd\n");
  EXPECT_EQ(error_from_json("{\"message\":\"\\u00", 400).code, Code::kInvalidArgument);
  EXPECT_EQ(error_from_json("{}", 200).code, Code::kUnknown);
}

TEST(RpcEnvelope, IsCutFromAnyPrefix) {
  std::string bytes;
  ASSERT_TRUE(append_envelope(bytes, 0, "hello"));
  ASSERT_TRUE(append_envelope(bytes, kEndOfStream, "{}"));
  uint8_t flags = 9;
  std::string_view payload;
  for (size_t n = 0; n < 10; ++n) {
    EXPECT_EQ(read_envelope(std::string_view(bytes).substr(0, n), flags, payload), EnvelopeState::kNeedMore);
  }
  ASSERT_EQ(read_envelope(bytes, flags, payload), EnvelopeState::kComplete);
  EXPECT_EQ(payload, "hello");
  EXPECT_EQ(flags, 0);
  ASSERT_EQ(read_envelope(std::string_view(bytes).substr(10), flags, payload), EnvelopeState::kComplete);
  EXPECT_EQ(flags, kEndOfStream);
  EXPECT_EQ(read_envelope("{\"error\"", flags, payload), EnvelopeState::kBad);
  EXPECT_EQ(read_envelope(std::string_view("\0\x7f\xff\xff\xff", 5), flags, payload), EnvelopeState::kBad);
}

}  // namespace
}  // namespace colony::rpc
