// Tables of good and bad heads; every bad one is refused with its status as soon as its bytes are there, and no prefix
// of a good one is ever refused (so what the parser says does not depend on how the bytes were cut).
#include "transport/http/head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/rng.h"

namespace colony::http {
namespace {

using std::string;
using std::string_view;
using std::string_literals::operator""s;

struct Outcome {
  ParseState state;
  int status = 0;
  string message;
};

Outcome parse_request(string_view text, RequestHead& head) {
  // An own allocation of the exact size lets ASan see a read beyond the bytes.
  auto exact = std::make_unique<char[]>(text.size());
  std::copy(text.begin(), text.end(), exact.get());
  ParseError error;
  const auto state = parse_request_head({exact.get(), text.size()}, head, error);
  return {state, state == ParseState::kBad ? error.status : 0, string(error.message)};
}

struct BadCase {
  const char* name;
  int status;
  string text;
};

const BadCase kBadRequests[] = {
    {"empty method", 400, " / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"method with a separator", 400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"method with a control character", 400, "G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"TLS client hello", 400, "\x16\x03\x01\x02\x00\x01\x00"s},
    {"no target", 400, "GET  HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"two spaces before the target", 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"two spaces before the version", 400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"tab instead of space", 400, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"tab after the target", 400, "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"},
    {"trailing space after the version", 400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
    {"HTTP/0.9", 400, "GET /\r\n\r\n"},
    {"HTTP/0.9 with LF", 400, "GET /\n"},
    {"version in lower case", 400, "GET / http/1.1\r\nHost: a\r\n\r\n"},
    {"version of another protocol", 400, "GET / RTSP/1.1\r\nHost: a\r\n\r\n"},
    {"version with two digits", 400, "GET / HTTP/11.1\r\nHost: a\r\n\r\n"},
    {"version without a dot", 400, "GET / HTTP/1,1\r\nHost: a\r\n\r\n"},
    {"version with a minor letter", 400, "GET / HTTP/1.x\r\nHost: a\r\n\r\n"},
    {"HTTP/1.2 with LF", 400, "GET / HTTP/1.2\nHost: a\r\n\r\n"},
    {"HTTP/1.20", 400, "GET / HTTP/1.20\r\nHost: a\r\n\r\n"},
    {"HTTP/2.0", 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
    {"HTTP/0.9 by name", 505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"},
    {"HTTP/3.0", 505, "GET / HTTP/3.0\r\nHost: a\r\n\r\n"},
    {"LF after the request line", 400, "GET / HTTP/1.1\nHost: a\r\n\r\n"},
    {"CR after the request line", 400, "GET / HTTP/1.1\rHost: a\r\n\r\n"},
    {"CR CR LF after the request line", 400, "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"},
    {"NUL in the target", 400, "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"s},
    {"DEL in the target", 400, "GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"UTF-8 in the target", 400, "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"fragment in the target", 400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"relative target", 400, "GET a/b HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"star with GET", 400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"CONNECT", 501, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"},
    {"URL of another scheme", 400, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"URL without a host", 400, "GET http:///a HTTP/1.1\r\nHost: \r\n\r\n"},
    {"URL with user information", 400, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"URL and no Host", 400, "GET http://a/ HTTP/1.1\r\n\r\n"},
    {"URL with a bad port", 400, "GET http://a:99999/ HTTP/1.1\r\nHost: a:99999\r\n\r\n"},
    {"no Host", 400, "GET / HTTP/1.1\r\n\r\n"},
    {"two Hosts", 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
    {"two equal Hosts", 400, "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"},
    {"two Hosts in HTTP/1.0", 400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"},
    {"Host with a space", 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
    {"Host list", 400, "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"},
    {"Host with a path", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
    {"Host with user information", 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
    {"Host with a port of letters", 400, "GET / HTTP/1.1\r\nHost: a:http\r\n\r\n"},
    {"Host with a port too large", 400, "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"},
    {"Host with a port too long", 400, "GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n"},
    {"Host with two ports", 400, "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"},
    {"Host with only a port", 400, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"},
    {"Host with an open bracket", 400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
    {"Host with empty brackets", 400, "GET / HTTP/1.1\r\nHost: []\r\n\r\n"},
    {"Host with a name in brackets", 400, "GET / HTTP/1.1\r\nHost: [host]\r\n\r\n"},
    {"Host with text after brackets", 400, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"},
    {"Host with UTF-8", 400, "GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n"},
    {"space before the colon", 400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
    {"tab before the colon", 400, "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n"},
    {"space inside a name", 400, "GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n"},
    {"empty name", 400, "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n"},
    {"line without a colon", 400, "GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n"},
    {"name with a separator", 400, "GET / HTTP/1.1\r\nHost: a\r\nX@Y: 1\r\n\r\n"},
    {"name with NUL", 400, "GET / HTTP/1.1\r\nHost: a\r\nX\0Y: 1\r\n\r\n"s},
    {"name with UTF-8", 400, "GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa9: 1\r\n\r\n"},
    {"folded value", 400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n"},
    {"folded value with tab", 400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\t2\r\n\r\n"},
    {"space before the first field", 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
    {"LF after a field", 400, "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"},
    {"CR inside a value", 400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n"},
    {"NUL inside a value", 400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\0002\r\n\r\n"s},
    {"escape character inside a value", 400, "GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[0m\r\n\r\n"},
    {"DEL inside a value", 400, "GET / HTTP/1.1\r\nHost: a\r\nX: 12345678\x7f\r\n\r\n"},
    {"LF as the empty line", 400, "GET / HTTP/1.1\r\nHost: a\r\n\n"},
    {"CR as the empty line", 400, "GET / HTTP/1.1\r\nHost: a\r\n\rX"},
    {"two lengths", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"},
    {"two equal lengths", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"},
    {"list of lengths", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"},
    {"length with plus", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"},
    {"length with minus", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"},
    {"length in hex", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x10\r\n\r\n"},
    {"length with a space inside", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\n"},
    {"length with a fraction", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1.0\r\n\r\n"},
    {"length empty", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"},
    {"length huge", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"},
    {"length of letters", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ten\r\n\r\n"},
    {"length and chunked", 400,
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {"chunked and length", 400,
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"},
    {"chunked and length zero", 400,
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"},
    {"gzip, chunked", 501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"},
    {"chunked, gzip", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"},
    {"chunked, chunked", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"},
    {"no coding, chunked", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: a b, chunked\r\n\r\n"},
    {"two lines of codings", 400,
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n"},
    {"identity", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"},
    {"xchunked", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"},
    {"quoted chunked", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n"},
    {"chunked with a parameter", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n"},
    {"chunked with a comma", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n"},
    {"empty coding", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"},
    {"chunked with vertical tab", 400,
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0b"
     "chunked\r\n\r\n"},
    {"two codings", 400,
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {"coding with a space before the colon", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n"},
    {"chunked in HTTP/1.0", 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {"Connection names Host", 400, "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n"},
    {"Connection names Content-Length", 400, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Content-Length\r\n\r\n"},
    {"Connection holds no token", 400, "GET / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n"},
    {"unknown expectation", 417, "POST / HTTP/1.1\r\nHost: a\r\nExpect: gold\r\n\r\n"},
    {"more than 100 fields", 431,
     [] {
       string s = "GET / HTTP/1.1\r\nHost: a\r\n";
       for (int i = 0; i < 100; ++i) s += "X-" + std::to_string(i) + ": 1\r\n";
       return s + "\r\n";
     }()},
    {"a value of 64 KiB", 431, "GET / HTTP/1.1\r\nHost: a\r\nX: " + string(64 * 1024, 'x') + "\r\n\r\n"},
    {"a target of 64 KiB without end", 431, "GET /" + string(64 * 1024, 'x')},
    {"a name of 64 KiB without end", 431, "GET / HTTP/1.1\r\n" + string(64 * 1024, 'x')},
};

TEST(RequestHead, every_bad_head_is_refused_with_its_status) {
  for (const BadCase& c : kBadRequests) {
    RequestHead head;
    const Outcome o = parse_request(c.text, head);
    EXPECT_EQ(o.state, ParseState::kBad) << c.name;
    EXPECT_EQ(o.status, c.status) << c.name << ": " << o.message;
    EXPECT_FALSE(o.message.empty()) << c.name;
  }
}

TEST(RequestHead, a_bad_head_is_refused_the_same_way_wherever_it_is_cut) {
  for (const BadCase& c : kBadRequests) {
    if (c.text.size() > 2000) continue;
    for (size_t n = 0; n <= c.text.size(); ++n) {
      RequestHead head;
      const Outcome o = parse_request(string_view(c.text).substr(0, n), head);
      ASSERT_NE(o.state, ParseState::kComplete) << c.name << " at " << n;
      if (o.state == ParseState::kBad) EXPECT_EQ(o.status, c.status) << c.name << " at " << n << ": " << o.message;
    }
  }
}

const string kGoodRequests[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nhost:a\r\n\r\n",
    "GET / HTTP/1.1\r\nHOST: \t a \t \r\n\r\n",
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a:8000\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [::ffff:127.0.0.1]\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: my_host.example\r\n\r\n",
    "GET /a?b=c&d={e} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET //a//b?? HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET HTTP://A/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a?y HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.9\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, 100-Continue\r\nContent-Length: 5\r\n\r\n",
    "POST / HTTP/1.0\r\nExpect: gold\r\nContent-Length: 5\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
    "M-SEARCH!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000000000000000007\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999999999\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:chunked\r\nTrailer: X\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \r\nZ: a\tb\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9 obs-text \xff\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: , close ,, Keep-Alive,\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
};

TEST(RequestHead, every_good_head_is_read_and_no_prefix_of_it_is_refused) {
  for (const string& text : kGoodRequests) {
    for (size_t n = 0; n < text.size(); ++n) {
      RequestHead head;
      const Outcome o = parse_request(string_view(text).substr(0, n), head);
      ASSERT_EQ(o.state, ParseState::kNeedMore) << text << " at " << n << ": " << o.message;
    }
    RequestHead head;
    ParseError error;
    const string with_body = text + "GET / more";
    ASSERT_EQ(parse_request_head(with_body, head, error), ParseState::kComplete) << text << ": " << error.message;
    EXPECT_EQ(head.block.size(), text.size());
  }
}

RequestHead good(const string& text) {
  RequestHead head;
  ParseError error;
  EXPECT_EQ(parse_request_head(text, head, error), ParseState::kComplete) << text << ": " << error.message;
  return head;
}

TEST(RequestHead, gives_views_of_line_and_fields) {
  const string text = "POST /a/b?c=d&e HTTP/1.1\r\nHost: h:1\r\nContent-Length: 12\r\nX-One:  v 1 \r\n\r\n";
  const RequestHead head = good(text);
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.target, "/a/b?c=d&e");
  EXPECT_EQ(head.path, "/a/b");
  EXPECT_EQ(head.query, "c=d&e");
  EXPECT_EQ(head.authority, "h:1");
  EXPECT_EQ(head.start_line, "POST /a/b?c=d&e HTTP/1.1\r\n");
  EXPECT_EQ(head.block, text);
  EXPECT_EQ(head.content_length, 12u);
  EXPECT_TRUE(head.has_body());
  EXPECT_FALSE(head.close);
  ASSERT_EQ(head.fields().size(), 3u);
  EXPECT_EQ(head.fields()[2].name, "X-One");
  EXPECT_EQ(head.fields()[2].value, "v 1");
  EXPECT_EQ(head.fields()[2].line, "X-One:  v 1 \r\n");
  EXPECT_EQ(head.find("x-one"), "v 1");
  EXPECT_EQ(head.find("x-two"), std::nullopt);
}

TEST(RequestHead, what_travels_on_says_where_to_in_one_way_only) {
  const auto forwarded = [](const string& text) {
    string out;
    append_forwardable(out, good(text), "x-new: 1\r\n");
    return out;
  };
  EXPECT_EQ(forwarded("GET http://h:80/p?q HTTP/1.1\r\nX: 1\r\nhost: other\r\nConnection: close\r\n\r\n"),
            "GET /p?q HTTP/1.1\r\nHost: h:80\r\nX: 1\r\nx-new: 1\r\n\r\n");
  EXPECT_EQ(forwarded("GET http://h? HTTP/1.1\r\nHost: h\r\n\r\n"), "GET /? HTTP/1.1\r\nHost: h\r\nx-new: 1\r\n\r\n");
  EXPECT_EQ(forwarded("OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n"),
            "OPTIONS * HTTP/1.1\r\nHost: h\r\nx-new: 1\r\n\r\n");
  EXPECT_EQ(forwarded("GET /a HTTP/1.0\r\nX: 1\r\n\r\n"), "GET /a HTTP/1.1\r\nHost: \r\nX: 1\r\nx-new: 1\r\n\r\n");
  EXPECT_EQ(forwarded("GET /a HTTP/1.3\r\nHost: h\r\n\r\n"), "GET /a HTTP/1.1\r\nHost: h\r\nx-new: 1\r\n\r\n");
  EXPECT_EQ(forwarded("GET /a HTTP/1.1\r\nhost: h\r\nTE: gzip\r\n\r\n"),
            "GET /a HTTP/1.1\r\nhost: h\r\nx-new: 1\r\n\r\n");
}

TEST(RequestHead, splits_an_absolute_target) {
  const string text = "GET http://h:80/p?q HTTP/1.1\r\nHost: H:80\r\n\r\n";
  const RequestHead head = good(text);
  EXPECT_EQ(head.authority, "h:80");
  EXPECT_EQ(head.path, "/p");
  EXPECT_EQ(head.query, "q");
  EXPECT_EQ(good("GET http://h?q HTTP/1.1\r\nHost: h\r\n\r\n").path, "/");
  EXPECT_EQ(good("OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n").path, "*");
}

TEST(RequestHead, knows_who_keeps_the_connection) {
  EXPECT_FALSE(good("GET / HTTP/1.1\r\nHost: a\r\n\r\n").close);
  EXPECT_TRUE(good("GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n").close);
  EXPECT_TRUE(good("GET / HTTP/1.0\r\nHost: a\r\n\r\n").close);
  EXPECT_FALSE(good("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").close);
  EXPECT_TRUE(good("GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n").close);
  EXPECT_TRUE(good("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").upgrade);
  EXPECT_FALSE(good("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n").upgrade);
  EXPECT_FALSE(good("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n").upgrade);
  // Who would take h2c is switched to nothing, wherever it stands.
  for (const char* lines : {"Upgrade: h2c\r\n", "Upgrade: x, H2C\r\n", "Upgrade: h2c, x\r\n",
                            "Upgrade: x\r\nUpgrade: h2c\r\n", "Upgrade: h2c\r\nUpgrade: x\r\n"})
    EXPECT_FALSE(good("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n" + string(lines) + "\r\n").upgrade)
        << lines;
}

TEST(RequestHead, on_its_way_inside_has_room_for_lines_of_ours) {
  const auto with = [](size_t fields, size_t bytes) {
    std::string text = "GET / HTTP/1.1\r\n";
    for (size_t i = 1; i < fields; ++i) text += "a: b\r\n";
    return text + "host: " + std::string(bytes, 'h') + "\r\n\r\n";
  };
  RequestHead head;
  ParseError error;
  for (const auto& text : {with(kMaxFields + 1, 1), with(1, kMaxHeadBytes)}) {
    EXPECT_EQ(parse_request_head(text, head, error), ParseState::kBad);
    EXPECT_EQ(error.status, 431);
    EXPECT_EQ(parse_inner_request_head(text, head, error), ParseState::kComplete);
    EXPECT_EQ(head.block.size(), text.size());
  }
  EXPECT_EQ(parse_inner_request_head(with(kMaxInnerFields, 1), head, error), ParseState::kComplete);
  EXPECT_EQ(head.count, kMaxInnerFields);
  for (const auto& text : {with(kMaxInnerFields + 1, 1), with(1, kMaxInnerHeadBytes)})
    EXPECT_EQ(parse_inner_request_head(text, head, error), ParseState::kBad);
}

TEST(RequestHead, fields_that_a_proxy_adds_do_not_count) {
  const auto with = [](size_t own, size_t added) {
    std::string text = "host: a\r\nx-request-id: 1\r\n";
    for (size_t i = 1; i < own; ++i) text += "a: b\r\n";
    for (size_t i = 1; i < added; ++i) text += "x-forwarded-for: b\r\n";
    return text + "\r\n";
  };
  RequestHead request;
  ReplyHead reply;
  ParseError error;
  for (const auto& [own, added, good] :
       {std::tuple(kMaxFields, kMaxAddedFields, true), std::tuple(kMaxFields, kMaxAddedFields + 1, false),
        std::tuple(kMaxFields + 1, size_t{1}, false)}) {
    const auto expected = good ? ParseState::kComplete : ParseState::kBad;
    EXPECT_EQ(parse_request_head("GET / HTTP/1.1\r\n" + with(own, added), request, error), expected) << own;
    EXPECT_EQ(parse_reply_head("HTTP/1.1 200 OK\r\n" + with(own, added), reply, error), expected) << own;
    if (good) EXPECT_EQ(counted_fields(request), own);
  }
}

TEST(RequestHead, tells_grpc_from_its_relatives) {
  const auto with = [](const char* type) {
    const string text = string("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: ") + type + "\r\n\r\n";
    return good(text).is_grpc();
  };
  EXPECT_TRUE(with("application/grpc"));
  EXPECT_TRUE(with("application/grpc+proto"));
  EXPECT_TRUE(with("Application/GRPC;charset=x"));
  EXPECT_FALSE(with("application/grpc-web"));
  EXPECT_FALSE(with("application/json"));
}

TEST(RequestHead, is_forwarded_without_what_belongs_to_the_connection) {
  const string text =
      "POST /x HTTP/1.1\r\nConnection: close, X-Secret\r\nHost: a\r\nKeep-Alive: timeout=5\r\nX-secret: 1\r\nTE: "
      "gzip\r\n"
      "Accept: */*\r\nProxy-Connection: x\r\nTransfer-Encoding: chunked\r\nUpgrade: foo\r\nX-Last: 2\r\n\r\n";
  const RequestHead head = good(text);
  string out = "kept:";
  append_forwardable(out, head, "x-request-id: 7\r\n");
  EXPECT_EQ(out, "kept:POST /x HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX-Last: 2\r\nx-request-id: 7\r\n\r\n");
  EXPECT_EQ(head.hop_fields, 7u);

  const string plain = "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n";
  string same;
  append_forwardable(same, good(plain), "");
  EXPECT_EQ(same, plain);
}

TEST(RequestHead, what_is_forwarded_reads_as_the_same_request) {
  for (const string& text : kGoodRequests) {
    const RequestHead before = good(text);
    string out;
    append_forwardable(out, before, "x-extra: 1\r\n");
    const RequestHead after = good(out);
    EXPECT_EQ(after.hop_fields, 0u) << out;
    EXPECT_EQ(after.method, before.method);
    EXPECT_EQ(after.path, before.path);
    EXPECT_EQ(after.query, before.query);
    EXPECT_EQ(after.authority, before.authority);
    EXPECT_EQ(after.content_length, before.content_length);
    const bool host_added = !before.find("host"), expect_dropped = before.http10 && before.find("expect");
    EXPECT_EQ(after.count + expect_dropped, before.count - before.hop_fields + 1 + host_added);
  }
}

TEST(RequestHead, a_changed_byte_never_makes_the_parser_read_outside_or_see_a_second_length) {
  Rng rng(7);
  for (int round = 0; round < 20000; ++round) {
    string text = kGoodRequests[rng.below(std::size(kGoodRequests))];
    for (uint64_t i = 0, n = 1 + rng.below(3); i < n; ++i)
      text[rng.below(text.size())] = static_cast<char>(rng.below(256));
    auto exact = std::make_unique<char[]>(text.size());
    std::copy(text.begin(), text.end(), exact.get());
    RequestHead head;
    ParseError error;
    if (parse_request_head({exact.get(), text.size()}, head, error) != ParseState::kComplete) continue;
    EXPECT_FALSE(head.chunked && head.content_length);
    EXPECT_TRUE(head.block.ends_with("\r\n\r\n"));
    for (const Field& f : head.fields()) EXPECT_TRUE(is_token(f.name) && is_field_value(f.value));
  }
}

const BadCase kBadReplies[] = {
    {"not HTTP", 502, "hello\r\n\r\n"},
    {"HTTP/2", 502, "HTTP/2 200\r\n\r\n"},
    {"HTTP/1.2", 502, "HTTP/1.2 200 OK\r\n\r\n"},
    {"two digits", 502, "HTTP/1.1 20 OK\r\n\r\n"},
    {"four digits", 502, "HTTP/1.1 2000 OK\r\n\r\n"},
    {"status 099", 502, "HTTP/1.1 099 X\r\n\r\n"},
    {"status 600", 502, "HTTP/1.1 600 X\r\n\r\n"},
    {"no space after the status", 502, "HTTP/1.1 200\r\n\r\n"},
    {"reason with NUL", 502, "HTTP/1.1 200 O\0K\r\n\r\n"s},
    {"reason ends in LF", 502, "HTTP/1.1 200 OK\n\r\n"},
    {"folded line", 502, "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"},
    {"two lengths", 502, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"},
    {"length and chunked", 502, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {"unknown coding", 502, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"},
    {"chunked 204", 502, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {"204 with a length", 502, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"},
    {"100 with a length", 502, "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n"},
    {"injected field by LF", 502, "HTTP/1.1 200 OK\r\nLocation: /a\nSet-Cookie: x\r\n\r\n"},
};

TEST(ReplyHead, every_bad_head_is_refused) {
  for (const BadCase& c : kBadReplies) {
    ReplyHead head;
    ParseError error;
    EXPECT_EQ(parse_reply_head(c.text, head, error), ParseState::kBad) << c.name;
    EXPECT_EQ(error.status, c.status) << c.name;
  }
}

TEST(ReplyHead, every_good_head_is_read) {
  for (const string& text :
       {"HTTP/1.1 200 OK\r\n\r\n"s, "HTTP/1.1 200 \r\n\r\n"s, "HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n"s,
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"s,
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n"s,
        "HTTP/1.1 200 \xc3\xa9\r\nTransfer-Encoding: chunked\r\nHost: what a b\r\n\r\n"s}) {
    for (size_t n = 0; n < text.size(); ++n) {
      ReplyHead head;
      ParseError error;
      ASSERT_EQ(parse_reply_head(string_view(text).substr(0, n), head, error), ParseState::kNeedMore)
          << text << " at " << n;
    }
    ReplyHead head;
    ParseError error;
    ASSERT_EQ(parse_reply_head(text, head, error), ParseState::kComplete) << text << ": " << error.message;
    EXPECT_EQ(head.block, text);
  }
  ReplyHead head;
  ParseError error;
  ASSERT_EQ(parse_reply_head("HTTP/1.1 304 N\r\nContent-Length: 7\r\n\r\n", head, error), ParseState::kComplete);
  EXPECT_EQ(head.status, 304);
  EXPECT_TRUE(head.bodiless());
}

TEST(HeadText, percent_escapes_are_decoded_or_refused) {
  EXPECT_EQ(percent_decode("a%20b%2Fc"), "a b/c");
  EXPECT_EQ(percent_decode(""), "");
  EXPECT_EQ(percent_decode("%e9"), "\xe9");
  for (const char* broken : {"%", "%2", "a%zz", "%00", "%2g"})
    EXPECT_EQ(percent_decode(broken), std::nullopt) << broken;
}

TEST(HeadText, a_writer_makes_heads_that_the_parser_reads) {
  const string reply = HeadWriter::reply(404).field("content-type", "text/plain").field("content-length", 12).finish();
  EXPECT_EQ(reply, "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\ncontent-length: 12\r\n\r\n");
  const string request = HeadWriter::request("GET", "/x").field("host", "a").finish();
  EXPECT_EQ(good(request).path, "/x");
}

TEST(HeadTextDeathTest, a_writer_refuses_values_that_would_inject_a_line) {
  EXPECT_DEATH(HeadWriter::reply(200).field("x", "a\r\nb: c"), "");
  EXPECT_DEATH(HeadWriter::reply(200).field("x y", "a"), "");
}

}  // namespace
}  // namespace colony::http
