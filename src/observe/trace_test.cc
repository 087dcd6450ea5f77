// The trace context against the standard's rules, and request ids.
#include "observe/trace.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace colony::observe {
namespace {

constexpr std::string_view kGood = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(Traceparent, TheStandardsExampleIsReadAndWrittenBack) {
  auto c = parse_traceparent(kGood);
  ASSERT_TRUE(c);
  EXPECT_EQ(c->trace_id_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(c->span_id_hex(), "00f067aa0ba902b7");
  EXPECT_TRUE(c->sampled);
  EXPECT_EQ(format_traceparent(*c), kGood);
}

TEST(Traceparent, FlagsOtherThanSampledAreNotPassedOn) {
  auto c = parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe");
  ASSERT_TRUE(c);
  EXPECT_FALSE(c->sampled);
  EXPECT_TRUE(format_traceparent(*c).ends_with("-00"));
}

TEST(Traceparent, ALaterVersionIsReadAsFarAsThisOneGoes) {
  EXPECT_TRUE(parse_traceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
  auto longer = parse_traceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what the future brings");
  ASSERT_TRUE(longer);
  EXPECT_EQ(format_traceparent(*longer), kGood);
}

TEST(Traceparent, AnythingElseIsRefused) {
  const std::vector<std::string> bad = {
      "",
      "00",
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
      " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
      "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
      "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
      "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
      "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
      "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
      "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
      "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
      "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
      "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
  };
  for (const auto& text : bad) EXPECT_FALSE(parse_traceparent(text)) << text;
}

TEST(Traceparent, AChildStaysInItsTraceUnderANewSpan) {
  Rng rng(1);
  const TraceContext root = new_trace(rng, true);
  std::set<std::string> spans = {root.span_id_hex()};
  for (int i = 0; i < 100; ++i) {
    const TraceContext child = child_of(root, rng);
    EXPECT_EQ(child.trace_id, root.trace_id);
    EXPECT_TRUE(child.sampled);
    spans.insert(child.span_id_hex());
  }
  EXPECT_EQ(spans.size(), 101u);
  EXPECT_EQ(*parse_traceparent(format_traceparent(root)), root);
}

TEST(RequestId, AGoodOneIsKeptAndAnyOtherReplaced) {
  Rng rng(2);
  for (const std::string& good : std::vector<std::string>{"a", "0f-12_3.x:y/z+=@", std::string(128, 'x')})
    EXPECT_EQ(request_id_or_new(good, rng), good);
  for (const std::string& bad : std::vector<std::string>{"", std::string(129, 'x'), "a b", "a\r\nx: y", "a\"b", "a;b",
                                                         "ä", std::string("a\0b", 3)}) {
    const std::string fresh = request_id_or_new(bad, rng);
    EXPECT_EQ(fresh.size(), 32u);
    EXPECT_TRUE(valid_request_id(fresh));
  }
}

TEST(RequestId, LogFieldsNameRequestTraceAndSpan) {
  EXPECT_EQ(log_fields("r1", *parse_traceparent(kGood)),
            "request_id=r1 trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7");
}

}  // namespace
}  // namespace colony::observe
