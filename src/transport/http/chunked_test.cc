// Chunked bodies: whatever the cut, the same body comes out; what two decoders could read differently is refused.
#include "transport/http/chunked.h"

#include <gtest/gtest.h>

#include <memory>

namespace colony::http {
namespace {

using std::string;
using std::string_literals::operator""s;

struct Decoded {
  bool bad = false, end = false;
  string body, trailers;
  size_t used = 0;
};

// Shows the bytes as a stream does: what was not consumed comes again together with `step` more.
Decoded decode(const string& wire, size_t step) {
  Decoded out;
  ChunkedDecoder decoder;
  size_t shown = 0;
  for (;;) {
    const size_t n = shown - out.used;
    auto exact = std::make_unique<char[]>(n);
    std::copy_n(wire.data() + out.used, n, exact.get());
    std::string_view data{exact.get(), n};
    for (;;) {
      size_t used = 0;
      std::string_view piece;
      const auto event = decoder.next(data, used, piece);
      if (event == ChunkedDecoder::Event::kBad) {
        EXPECT_FALSE(piece.empty());
        out.bad = true;
        return out;
      }
      out.used += used;
      data.remove_prefix(used);
      if (event == ChunkedDecoder::Event::kNeedMore) break;
      if (event == ChunkedDecoder::Event::kEnd) {
        out.trailers = piece;
        out.end = true;
        return out;
      }
      EXPECT_FALSE(piece.empty());
      out.body += piece;
    }
    if (shown == wire.size()) return out;
    shown = std::min(shown + step, wire.size());
  }
}

TEST(Chunked, a_body_is_the_same_however_it_is_cut) {
  const string wire =
      "5\r\nhello\r\n00C;name=\"v\\\"\t;\xff\" ; x = y\r\n, long world\r\n0\r\nX-A: 1\r\nx-b:\r\n\r\nGET /";
  for (size_t step = 1; step <= wire.size(); ++step) {
    const Decoded d = decode(wire, step);
    ASSERT_TRUE(d.end) << step;
    EXPECT_EQ(d.body, "hello, long world");
    EXPECT_EQ(d.trailers, "X-A: 1\r\nx-b:\r\n");
    EXPECT_EQ(wire.substr(d.used), "GET /");
  }
  EXPECT_TRUE(decode("0\r\n\r\n", 1).end);
}

TEST(Chunked, every_malformed_coding_is_refused_however_it_is_cut) {
  const string kBad[] = {"\r\nhello",
                         " 5\r\nhello\r\n",
                         "5 \r\nhello\r\n",
                         "+5\r\nhello\r\n",
                         "-5\r\nhello\r\n",
                         "0x5\r\nhello\r\n",
                         "5\nhello\r\n",
                         "5\rhello\r\n",
                         "g\r\n",
                         "5\r\nhello!\r\n0\r\n\r\n",
                         "5\r\nhello\n0\r\n\r\n",
                         "1000000000000000\r\n",
                         "fffffffffffffff\r\n",
                         "00000000000000005\r\nhello\r\n",
                         "5;a=\n1\r\nhello\r\n",
                         "5;a\x01\r\nhello\r\n",
                         "5;\r\nhello\r\n",
                         "5;a=\r\nhello\r\n",
                         "5;a=b c\r\nhello\r\n",
                         "5;=b\r\nhello\r\n",
                         "5;;a\r\nhello\r\n",
                         "5;a \r\nhello\r\n",
                         "5;a=\"b\r\nhello\r\n",
                         "5;a=\"b\\\r\n\"\r\nhello\r\n",
                         "5;a=\"b\"c\r\nhello\r\n",
                         "5;a@b\r\nhello\r\n",
                         "5;[1]\r\nhello\r\n",
                         "5 x\r\nhello\r\n",
                         "5;" + string(300, 'x') + "\r\nhello\r\n",
                         "0\r\nX: 1\n\r\n",
                         "0\r\nX\r\n\r\n",
                         "0\r\n X: 1\r\n\r\n",
                         "0\r\nX : 1\r\n\r\n",
                         "0\r\nX: a\0b\r\n\r\n"s,
                         "0\r\n\n",
                         "0\r\nContent-Length: 5\r\n\r\n",
                         "0\r\ntransfer-encoding: chunked\r\n\r\n",
                         "0\r\nHOST: a\r\n\r\n",
                         "0\r\nForwarded: for=1.2.3.4\r\n\r\n",
                         "0\r\nx-forwarded-For: 1.2.3.4\r\n\r\n",
                         "0\r\nX: " + string(20000, 'x') + "\r\n\r\n",
                         "0\r\n" + string(20000, 'x')};
  for (const string& wire : kBad)
    for (size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, wire.size()})
      if (step > 3 || wire.size() < 1000)
        EXPECT_TRUE(decode(wire, step).bad) << wire.substr(0, 60) << " in steps of " << step;
}

TEST(Chunked, what_follows_the_trailers_is_not_measured_with_them) {
  const string line = "a: b\r\n", long_line = "c: " + string(kMaxTrailerBytes - 6 - 5, 'x') + "\r\n";
  for (const string& trailers : {line, line + long_line}) {
    const string wire = "5\r\nhello\r\n0\r\n" + trailers + "\r\n";
    ChunkedDecoder d;
    size_t used = 0;
    std::string_view piece;
    const string all = wire + string(20000, 'z');
    EXPECT_EQ(d.next(all, used, piece), ChunkedDecoder::Event::kData);
    const size_t first = used;
    EXPECT_EQ(d.next(std::string_view(all).substr(first), used, piece), ChunkedDecoder::Event::kEnd) << piece;
    EXPECT_EQ(piece, trailers);
    EXPECT_EQ(first + used, wire.size());
  }
  EXPECT_TRUE(decode("0\r\n" + line + "c" + long_line + "\r\n", 40000).bad) << "one byte too many";
}

TEST(Chunked, a_chunk_head_is_plain_hex) {
  const auto head = [](uint64_t n) {
    char out[kChunkHeadBytes];
    return string(out, write_chunk_head(out, n));
  };
  EXPECT_EQ(head(0), "0\r\n");
  EXPECT_EQ(head(15), "f\r\n");
  EXPECT_EQ(head(0x1a4), "1a4\r\n");
  EXPECT_EQ(head(~uint64_t{0}), "ffffffffffffffff\r\n");
}

TEST(Chunked, trailers_are_whole_fields_that_frame_nothing) {
  EXPECT_TRUE(valid_trailers(""));
  EXPECT_TRUE(valid_trailers("grpc-status: 0\r\nx:\r\n"));
  for (const char* bad : {"x", "x: 1", "x: 1\r", "x: 1\r\n\r\n", "x: 1\n", ": 1\r\n", "Content-Length: 1\r\n"})
    EXPECT_FALSE(valid_trailers(bad)) << bad;
}

}  // namespace
}  // namespace colony::http
