#include "request/proxy/forward/request_fields.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "request/proxy/forward/trusted_sources.h"

namespace colony::proxy {
namespace {

using std::string;
using namespace std::string_literals;  // NOLINT(google-build-using-namespace)

bool has(const string& text, std::string_view what) { return text.find(what) != string::npos; }
size_t count(const string& text, std::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

// What travels to the replica of a request with these lines, from this peer.
string sent(std::string_view lines, std::string_view trusted, std::string_view peer = "192.0.2.7:4711",
            bool secure = false) {
  const string text = "GET /x HTTP/1.1\r\nHost: shop.example\r\n" + string(lines) + "\r\n";
  http::RequestHead head;
  http::ParseError error;
  EXPECT_EQ(http::parse_request_head(text, head, error), http::ParseState::kComplete) << error.message;
  const auto sources = TrustedSources::parse(trusted);
  EXPECT_TRUE(sources);
  Rng rng(1);
  string block, id;
  append_request_block(block, head, read_fields(head), {peer, secure}, *sources, rng, id);
  http::RequestHead again;
  EXPECT_EQ(http::parse_request_head(block, again, error), http::ParseState::kComplete) << block;
  EXPECT_EQ(again.block.size(), block.size());
  return block;
}

constexpr std::string_view kBrought =
    "X-Forwarded-For: 10.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Last: 1\r\nX-Forwarded-Host: evil\r\n"
    "x-forwarded-port: 1\r\nForwarded: for=10.9.9.9;proto=https\r\nx-forwardedness: stays\r\n";

TEST(RequestFields, NobodyIsTrustedByDefaultAndWhatAClientSaysOfItsOriginIsReplaced) {
  for (std::string_view trusted : {"", "10.0.0.0/8"}) {
    const string head = sent(kBrought, trusted);
    EXPECT_FALSE(has(head, "10.9.9.9")) << head;
    EXPECT_FALSE(has(head, "evil")) << head;
    EXPECT_FALSE(has(head, "orwarded-port")) << head;
    EXPECT_TRUE(has(head, "X-Last: 1\r\n")) << head;
    EXPECT_TRUE(has(head, "x-forwardedness: stays\r\n")) << head;
    EXPECT_TRUE(has(head, "x-forwarded-for: 192.0.2.7\r\n")) << head;
    EXPECT_TRUE(has(head, "x-forwarded-proto: http\r\n")) << head;
    EXPECT_TRUE(has(head, "x-forwarded-host: shop.example\r\n")) << head;
    EXPECT_TRUE(has(head, "forwarded: for=192.0.2.7;host=\"shop.example\";proto=http\r\n")) << head;
    EXPECT_EQ(count(head, "orwarded-for:"), 1u);
  }
}

// Each of these once left half of its first line in front of the next one: a head that the parser had never seen.
TEST(RequestFields, NoLineIsCutOutOfAnotherOne) {
  for (std::string_view id : {"x-request-id: !", "traceparent: !"}) {
    for (std::string_view begin : {"content-", "x-forward", "transfer-", "a"}) {
      const string lines = string(begin) + string(id) + "\r\nlength: 3\r\n" + string(id) + "\r\nx-last: 1\r\n";
      const string head = sent(lines, "");
      EXPECT_TRUE(has(head, "\r\n" + string(begin) + string(id) + "\r\nlength: 3\r\nx-last: 1\r\n")) << head;
      EXPECT_FALSE(has(head, "\r\n" + string(id) + "\r\n")) << head;
      EXPECT_EQ(count(head, "\r\nx-request-id: "), 1u) << head;
      EXPECT_EQ(count(head, "\r\ntraceparent: "), 1u) << head;
    }
  }
}

TEST(RequestFields, OneIdTravelsWhateverCame) {
  const string trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  for (const string& lines : {"X-Request-Id: !\r\nx-request-id: good\r\nx-request-id: !!\r\n"s,
                              "x-request-id: good\r\nX-Request-ID: other\r\n"s,
                              "x-request-id: !\r\nx-request-id: good\r\ntraceparent: 1\r\n"s}) {
    const string head = sent(lines, "");
    EXPECT_EQ(count(head, "equest-"), 1u) << head;
    EXPECT_TRUE(has(head, "\r\nx-request-id: good\r\n")) << head;
    EXPECT_EQ(count(head, "raceparent"), 1u) << head;
  }
  const string twice = sent("traceparent: " + trace + "\r\nTraceparent: 00-1\r\n", "");
  EXPECT_EQ(count(twice, "raceparent"), 1u) << twice;
  EXPECT_TRUE(has(twice, "\r\ntraceparent: " + trace + "\r\n")) << twice;
}

TEST(RequestFields, TheTargetsHostIsTheRequestsHost) {
  const string text = "GET http://ext.example/d HTTP/1.1\r\nHost: other.example\r\nForwarded: for=x\r\n\r\n";
  http::RequestHead head;
  http::ParseError error;
  ASSERT_EQ(http::parse_request_head(text, head, error), http::ParseState::kComplete);
  Rng rng(1);
  string block, id;
  append_request_block(block, head, read_fields(head), {"1.2.3.4:5", false}, *TrustedSources::parse(""), rng, id);
  EXPECT_FALSE(has(block, "other.example")) << block;
  EXPECT_TRUE(has(block, "x-forwarded-host: ext.example\r\n")) << block;
  EXPECT_TRUE(has(block, "host=\"ext.example\"")) << block;
}

TEST(RequestFields, WhatATrustedProxySaysIsKeptAndExtended) {
  const string head = sent(kBrought, "10.0.0.0/8, 192.0.2.0/24");
  const size_t theirs = head.find("X-Forwarded-For: 10.9.9.9\r\n"), ours = head.find("x-forwarded-for: 192.0.2.7\r\n");
  ASSERT_NE(theirs, string::npos) << head;
  ASSERT_NE(ours, string::npos) << head;
  EXPECT_LT(theirs, ours) << "the nearest comes last";
  EXPECT_TRUE(has(head, "X-Forwarded-Proto: https\r\n")) << head;
  EXPECT_EQ(count(head, "orwarded-Proto") + count(head, "orwarded-proto"), 1u) << "what the client spoke, once";
  EXPECT_EQ(count(head, "orwarded-Host") + count(head, "orwarded-host"), 1u);
  EXPECT_TRUE(has(head, "x-forwarded-port: 1\r\n")) << head;
  EXPECT_LT(head.find("Forwarded: for=10.9.9.9"), head.find("forwarded: for=192.0.2.7;")) << head;
}

TEST(RequestFields, ForwardedIsWrittenOnlyWhereOneCameAndIpv6IsQuoted) {
  EXPECT_FALSE(has(sent("", ""), "\r\nforwarded:"));
  EXPECT_TRUE(has(sent("", "", "[2001:db8::7]:1"), "x-forwarded-for: 2001:db8::7\r\n"));
  EXPECT_TRUE(has(sent("Forwarded: for=x\r\n", "", "[2001:db8::7]:1", true),
                  "forwarded: for=\"[2001:db8::7]\";host=\"shop.example\";proto=https\r\n"));
  EXPECT_TRUE(has(sent("Forwarded: for=x\r\n", "", "unix"), "forwarded: for=unknown;"));
  EXPECT_TRUE(has(sent("", "", "1.2.3.4:5", true), "x-forwarded-proto: https\r\n"));
}

TEST(RequestFields, IdsAreTheDigitsOfWhatIsDrawn) {
  const auto hex = [](uint64_t v) { return fmt::format("{:016x}", v); };
  Rng rng(7), same(7);
  http::RequestHead head;
  http::ParseError error;
  ASSERT_EQ(http::parse_request_head("GET / HTTP/1.1\r\nHost: h\r\n\r\n", head, error), http::ParseState::kComplete);
  for (int i = 0; i < 100; ++i) {
    string block, id;
    append_request_block(block, head, read_fields(head), {"1.2.3.4:5"}, *TrustedSources::parse(""), rng, id);
    const string first = hex(same.next());
    ASSERT_EQ(id, first + hex(same.next()));
    ASSERT_TRUE(has(block, "\r\nx-request-id: " + id + "\r\n")) << block;
    const string trace = hex(same.next()) + hex(same.next() | 1);
    ASSERT_TRUE(has(block, "\r\ntraceparent: 00-" + trace + "-" + hex(same.next() | 1) + "-01\r\n")) << block;
  }
}

TEST(RequestFields, OnlyTrueMeansIdempotent) {
  for (auto [value, expected] : {std::pair{"true", true}, {"TRUE", true}, {"1", false}, {"", false}, {"true ", true}}) {
    const string text = "POST /x HTTP/1.1\r\nHost: h\r\nx-Idempotent: " + string(value) + "\r\n\r\n";
    http::RequestHead head;
    http::ParseError error;
    ASSERT_EQ(http::parse_request_head(text, head, error), http::ParseState::kComplete);
    EXPECT_EQ(read_fields(head).idempotent, expected) << value;
  }
}

TEST(TrustedSources, NetworksContainWhatTheyShould) {
  struct Case {
    std::string_view list, peer;
    bool trusted;
  };
  for (const Case& c : {
           Case{"10.0.0.0/8", "10.255.0.1:1", true},
           Case{"10.0.0.0/8", "11.0.0.1:1", false},
           Case{"10.0.0.0/9", "10.128.0.1:1", false},
           Case{"10.0.0.0/9", "10.127.255.255:1", true},
           Case{"10.0.0.0/8", "[::ffff:10.0.0.1]:1", true},
           Case{"127.0.0.1", "127.0.0.1:65535", true},
           Case{"127.0.0.1", "127.0.0.2:1", false},
           Case{"fd00::/8", "[fdff::1]:1", true},
           Case{"fd00::/8", "[fe00::1]:1", false},
           Case{"0.0.0.0/0", "8.8.8.8:53", true},
           Case{"0.0.0.0/0", "[2001:db8::1]:53", false},
           Case{"::/0", "8.8.8.8:53", true},
           Case{"1.2.3.4, ::1", "[::1]:1", true},
           Case{"", "127.0.0.1:1", false},
           Case{"::/0", "unix", false},
           Case{"::/0", "", false},
           Case{"::/0", "[fe80::1%eth0]:1", false},
       }) {
    const auto sources = TrustedSources::parse(c.list);
    ASSERT_TRUE(sources) << c.list;
    EXPECT_EQ(sources->contains(c.peer), c.trusted) << c.list << " and " << c.peer;
  }
}

TEST(TrustedSources, WhatIsNoNetworkIsNamed) {
  for (std::string_view bad : {"nowhere", "10.0.0.0/33", "10.0.0/8", "::1/129", "10.0.0.0/", "1.2.3.4,", ",",
                               "10.0.0.0/-1", "10.0.0.0/8/8", "[::1]"}) {
    const auto sources = TrustedSources::parse(bad);
    ASSERT_FALSE(sources) << bad;
    EXPECT_TRUE(has(sources.error().message, "is no address or network")) << sources.error().message;
  }
}

}  // namespace
}  // namespace colony::proxy
