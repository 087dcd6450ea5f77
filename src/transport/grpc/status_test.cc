// Status and timeout spelling, both ways.
#include "transport/grpc/status.h"

#include <gtest/gtest.h>

namespace colony::grpc {
namespace {

TEST(GrpcStatus, AnErrorSurvivesTheWayThroughTrailers) {
  const Error sent = resource_exhausted("voll: 100% \xc3\xbc\r\nqueue", "queue_full");
  const std::string lines = error_trailers(sent);
  EXPECT_NE(lines.find("100%25"), std::string::npos);
  const auto got = status_from_trailers(lines);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, sent.code);
  EXPECT_EQ(got.error().message, sent.message);
  EXPECT_EQ(got.error().reason, sent.reason);
}

TEST(GrpcStatus, WhoIsUnavailableSaysWhenToComeBack) {
  constexpr std::string_view kLines = "retry-after: 1\r\ngrpc-retry-pushback-ms: 1000\r\n";
  EXPECT_TRUE(error_trailers(unavailable("full", "replica_full")).ends_with(kLines));
  EXPECT_EQ(error_trailers(resource_exhausted("large", "message_too_large")).find("retry"), std::string::npos);
}

TEST(GrpcStatus, OkIsStatusZero) { EXPECT_TRUE(status_from_trailers(kOkTrailers)); }

TEST(GrpcStatus, MissingOrWrongStatusIsUnknown) {
  for (const char* lines :
       {"", "x: y\r\n", "grpc-status: 17\r\n", "grpc-status: -1\r\n", "grpc-status: 1x\r\n", "grpc-status:\r\n"}) {
    const auto got = status_from_trailers(lines);
    ASSERT_FALSE(got) << lines;
    EXPECT_EQ(got.error().code, Code::kUnknown) << lines;
  }
}

TEST(GrpcStatus, ReadsNamesInAnyCaseAndTheFirstOfTwo) {
  const auto got = status_from_trailers("Grpc-Status:  5 \r\ngrpc-status: 0\r\nGRPC-MESSAGE: no such model\r\n");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kNotFound);
  EXPECT_EQ(got.error().message, "no such model");
}

TEST(GrpcStatus, EncodesWhatAHeaderValueCannotHold) {
  EXPECT_EQ(encode_message("plain text, (ok)"), "plain text, (ok)");
  EXPECT_EQ(encode_message("50%\n"), "50%25%0A");
  EXPECT_EQ(encode_message(" x "), "%20x%20");
  EXPECT_EQ(encode_message(" "), "%20");
  EXPECT_EQ(decode_message("%20x%2"), " x%2");
  EXPECT_EQ(decode_message("%zz%"), "%zz%");
  EXPECT_EQ(decode_message("%e2%82%AC"), "\xe2\x82\xac");
}

TEST(GrpcStatus, BoundsTheMessage) { EXPECT_LT(encode_message(std::string(100000, '\n')).size(), 4200u); }

TEST(GrpcTimeout, ReadsEveryUnit) {
  EXPECT_EQ(parse_timeout("1H"), Duration(1h));
  EXPECT_EQ(parse_timeout("2M"), Duration(2min));
  EXPECT_EQ(parse_timeout("10S"), Duration(10s));
  EXPECT_EQ(parse_timeout("250m"), Duration(250ms));
  EXPECT_EQ(parse_timeout("99999999u"), Duration(99999999us));
  EXPECT_EQ(parse_timeout("0n"), Duration(0));
  EXPECT_EQ(parse_timeout("99999999H"), Duration(std::chrono::hours(24 * 3650)));
}

TEST(GrpcTimeout, RefusesEverythingElse) {
  for (const char* bad : {"", "S", "1", "1s", "1.5S", "-1S", "+1S", " 1S", "1S ", "123456789S", "1SS", "0x1S"}) {
    EXPECT_FALSE(parse_timeout(bad)) << bad;
  }
}

TEST(GrpcTimeout, WritesWhatItReads) {
  for (const Duration d : {Duration(1), Duration(1ms), Duration(123456789), Duration(5s), Duration(3h), Duration(0)}) {
    const auto back = parse_timeout(format_timeout(d));
    ASSERT_TRUE(back);
    EXPECT_GE(*back, d);
    EXPECT_LE(to_seconds(*back - d), to_seconds(d) * 1e-6 + 1e-6);
  }
  EXPECT_EQ(format_timeout(-5s), "0n");
}

}  // namespace
}  // namespace colony::grpc
