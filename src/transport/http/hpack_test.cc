// HPACK: the examples of RFC 7541 (appendix C), what must be refused, and what our encoder writes as another
// implementation reads it.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "transport/http/hpack_decoder.h"
#include "transport/http/hpack_encoder.h"
#include "transport/http/hpack_huffman.h"
#include "transport/http/hpack_nghttp2.h"

namespace colony::http::testing {
namespace {

std::string hex(std::string_view digits) {
  std::string out;
  std::string pair;
  for (const char c : digits) {
    if (c == ' ') continue;
    pair += c;
    if (pair.size() < 2) continue;
    out += static_cast<char>(std::stoi(pair, nullptr, 16));
    pair.clear();
  }
  return out;
}

uint32_t name_length(std::string_view name, std::string_view) { return static_cast<uint32_t>(name.size()); }
const HpackMarks kMarks(name_length);

class Decoder {
 public:
  std::optional<HpackList> operator()(std::string_view block) {
    HpackList out;
    std::string scratch;
    decoder_.begin(table_, block, scratch);
    for (HpackField f;;) {
      switch (decoder_.next(f)) {
        case HpackDecoder::Next::kBad: return std::nullopt;
        case HpackDecoder::Next::kEnd: return out;
        case HpackDecoder::Next::kField: break;
      }
      EXPECT_EQ(f.mark, f.name().size());
      EXPECT_EQ(f.line(), std::string(f.name()) + ": " + std::string(f.value()) + "\r\n");
      out.emplace_back(f.name(), f.value());
    }
  }

 private:
  HpackDecoder decoder_{kMarks};
  HpackTable table_;
};

const HpackList kFirst = {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "www.example.com"}};
const HpackList kSecond = {{":method", "GET"},
                           {":scheme", "http"},
                           {":path", "/"},
                           {":authority", "www.example.com"},
                           {"cache-control", "no-cache"}};
const HpackList kThird = {{":method", "GET"},
                          {":scheme", "https"},
                          {":path", "/index.html"},
                          {":authority", "www.example.com"},
                          {"custom-key", "custom-value"}};

TEST(Hpack, ReadsEachKindOfField) {  // C.2
  Decoder decode;
  EXPECT_EQ(decode(hex("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572")),
            (HpackList{{"custom-key", "custom-header"}}));
  EXPECT_EQ(decode(hex("be")), (HpackList{{"custom-key", "custom-header"}}));
  EXPECT_EQ(decode(hex("040c 2f73 616d 706c 652f 7061 7468")), (HpackList{{":path", "/sample/path"}}));
  EXPECT_EQ(decode(hex("1008 7061 7373 776f 7264 0673 6563 7265 74")), (HpackList{{"password", "secret"}}));
  EXPECT_EQ(decode(hex("82")), (HpackList{{":method", "GET"}}));
  EXPECT_EQ(decode(hex("bf")), std::nullopt) << "neither of the two was to be indexed";
}

TEST(Hpack, ReadsRequestsOfOneConnection) {  // C.3
  Decoder decode;
  EXPECT_EQ(decode(hex("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d")), kFirst);
  EXPECT_EQ(decode(hex("8286 84be 5808 6e6f 2d63 6163 6865")), kSecond);
  EXPECT_EQ(decode(hex("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65")), kThird);
}

TEST(Hpack, ReadsRequestsInHuffmansCode) {  // C.4
  Decoder decode;
  EXPECT_EQ(decode(hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff")), kFirst);
  EXPECT_EQ(decode(hex("8286 84be 5886 a8eb 1064 9cbf")), kSecond);
  EXPECT_EQ(decode(hex("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf")), kThird);
}

TEST(Hpack, EvictsWhatNoLongerFits) {  // C.5 and C.6, in a table of 256 bytes
  const HpackList first = {{":status", "302"},
                           {"cache-control", "private"},
                           {"date", "Mon, 21 Oct 2013 20:13:21 GMT"},
                           {"location", "https://www.example.com"}};
  HpackList second = first, third = first;
  second[0].second = "307";
  third[0].second = "200";
  third[2].second = "Mon, 21 Oct 2013 20:13:22 GMT";
  third.emplace_back("content-encoding", "gzip");
  third.emplace_back("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
  Decoder plain;
  EXPECT_EQ(
      plain(hex("3fe1 01 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a "
                "3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d")),
      first);
  EXPECT_EQ(plain(hex("4803 3330 37c1 c0bf")), second);
  EXPECT_EQ(
      plain(hex("88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 "
                "7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 "
                "6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31")),
      third);
  Decoder coded;
  EXPECT_EQ(
      coded(hex("3fe1 01 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e "
                "919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3")),
      first);
  EXPECT_EQ(coded(hex("4883 640e ffc1 c0bf")), second);
  EXPECT_EQ(
      coded(hex("88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 "
                "e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07")),
      third);
}

TEST(Hpack, RefusesWhatHasNoMeaning) {
  const std::pair<const char*, std::string_view> bad[] = {
      {"index 0", "80"},
      {"an index behind the table", "be"},
      {"a name's index behind the table", "7e0161"},
      {"a number that does not end", "ff"},
      {"a number above 32 bits", "ffffffffff7f"},
      {"a number of far too many bytes", "ff8080808080808000"},
      {"a name that is cut", "4003"},
      {"a value that is missing", "400161"},
      {"a value that is cut", "40016105 6162"},
      {"a string above the limit", "400161 7fff ff7f"},
      {"padding of eight bits", "400161 82 1fff"},
      {"padding that is not all ones", "400161 81 18"},
      {"the code that ends strings", "400161 84 ffff ffff"},
      {"a table larger than agreed on", "3fe2 1f"},
      {"a new size after a field", "8220"},
  };
  for (const auto& [what, block] : bad) EXPECT_EQ(Decoder()(hex(block)), std::nullopt) << what;
  EXPECT_EQ(Decoder()(hex("2020 3fe11f 82")), (HpackList{{":method", "GET"}})) << "several sizes may come first";
  EXPECT_EQ(Decoder()({}), HpackList());
}

TEST(Hpack, AFieldLargerThanTheTableEmptiesIt) {
  Decoder decode;
  ASSERT_TRUE(decode(hex("40016101 62")));
  ASSERT_TRUE(decode(hex("be")));
  const std::string large(5000, 'v');
  EXPECT_EQ(decode(hex("400161 7f 8926") + large), (HpackList{{"a", large}}));
  EXPECT_FALSE(decode(hex("be")));
}

TEST(Hpack, EverySymbolOfHuffmansCodeIsReadBack) {
  nghttp2_hd_deflater* deflater = nullptr;
  ASSERT_EQ(nghttp2_hd_deflate_new(&deflater, 0), 0);
  Decoder decode;
  for (int c = 0; c < 256; ++c) {
    // In the company of short codes, so that the other side finds coding worth while.
    std::string value = "aaaaaaaaaaaaaaaaaaaa" + std::string(1, static_cast<char>(c)) + "aaaaaaaaaaaaaaaaaaaaaaaa";
    std::string name = "x";
    nghttp2_nv nv{reinterpret_cast<uint8_t*>(name.data()), reinterpret_cast<uint8_t*>(value.data()), 1, value.size(),
                  0};
    uint8_t out[200];
    const auto n = nghttp2_hd_deflate_hd(deflater, out, sizeof out, &nv, 1);
    ASSERT_GT(n, 0);
    const std::string_view block(reinterpret_cast<const char*>(out), static_cast<size_t>(n));
    EXPECT_LT(block.size(), value.size()) << "coded";
    EXPECT_EQ(decode(block), (HpackList{{"x", value}})) << c;
  }
  nghttp2_hd_deflate_del(deflater);
}

TEST(Hpack, NamesOfTheStaticTableAreFound) {
  for (uint32_t i = 1; i <= kHpackStatic; ++i) {
    const uint32_t first = hpack_static_name(hpack_static(i).name());
    ASSERT_NE(first, 0u);
    EXPECT_LE(first, i);
    EXPECT_EQ(hpack_static(first).name(), hpack_static(i).name());
  }
  EXPECT_EQ(hpack_static_name("x-request-id"), 0u);
  EXPECT_EQ(hpack_static_name(""), 0u);
}

// ---- the encoder ----

class Encoder {
 public:
  std::string operator()(int status, const HpackList& fields) {
    size_t most = HpackEncoder::kBegin;
    for (const auto& [n, v] : fields) most += n.size() + v.size() + HpackEncoder::kPerField;
    std::string out(most, '\0');
    char* end = encoder.status(encoder.begin(out.data()), status);
    for (const auto& [n, v] : fields) end = encoder.field(end, n, v);
    out.resize(static_cast<size_t>(end - out.data()));
    return out;
  }
  // Written, read by the other side, and as it should be. Returns the size.
  size_t check(HpackReference& client, int status, const HpackList& fields) {
    const std::string block = (*this)(status, fields);
    HpackList want = {{":status", std::to_string(status)}};
    want.insert(want.end(), fields.begin(), fields.end());
    EXPECT_EQ(client.decode(block), want);
    return block.size();
  }
  HpackEncoder encoder;
};

const HpackList kReply = {{"content-type", "application/octet-stream"},
                          {"content-length", "256"},
                          {"x-request-id", "0123456789abcdef0123456789abcdef"}};

TEST(HpackEncoder, WhatComesAgainCostsOneByte) {
  Encoder encode;
  HpackReference client;
  const size_t spelled = encode.check(client, 200, kReply);
  EXPECT_EQ(encode.check(client, 200, kReply), spelled - 1) << "goes into the table, with a shorter index of its name";
  EXPECT_EQ(encode.check(client, 200, kReply), spelled - 2 - 24);
  EXPECT_EQ(client.table_size(), 12u + 24 + 32) << "and nothing else is in it";
}

TEST(HpackEncoder, EveryStatusIsReadBack) {
  Encoder encode;
  HpackReference client;
  for (int status = 100; status < 600; ++status) encode.check(client, status, {});
  EXPECT_EQ(encode(404, {}).size(), 1u);
}

TEST(HpackEncoder, SecretsAreInNoTable) {
  Encoder encode;
  HpackReference client;
  const HpackList secret = {{"set-cookie", "session=1"}};
  for (int i = 0; i < 4; ++i) encode.check(client, 200, secret);
  EXPECT_EQ(client.table_size(), 0u);
  EXPECT_EQ(encode(200, secret)[1] & 0xf0, 0x10) << "nor at any hop behind";
}

TEST(HpackEncoder, ObeysTheClientsTableSize) {
  Encoder encode;
  HpackReference client;
  for (int i = 0; i < 3; ++i) encode.check(client, 200, kReply);
  const auto limit = [&](uint32_t bytes) {
    encode.encoder.set_limit(bytes);
    client.set_limit(bytes);
    for (int i = 0; i < 4; ++i) encode.check(client, 200, kReply);
    EXPECT_LE(client.table_size(), bytes);
  };
  limit(0);
  EXPECT_EQ(client.table_size(), 0u);
  limit(100);
  limit(1 << 20);
  EXPECT_GT(client.table_size(), 0u);
  limit(4096);
  // Down and up again between two blocks: both must be told.
  for (const uint32_t bytes : {50u, 4096u, 4096u}) {
    encode.encoder.set_limit(bytes);
    client.set_limit(bytes);
  }
  for (int i = 0; i < 4; ++i) encode.check(client, 200, kReply);
}

TEST(HpackEncoder, ManyFieldsThatComeAndGoAreReadBack) {
  Rng rng(7);
  Encoder encode;
  HpackReference client;
  for (int round = 0; round < 3000; ++round) {
    HpackList fields;
    for (uint64_t i = rng.below(12); i > 0; --i) {
      const std::string name = "x-" + std::to_string(rng.below(30));
      fields.emplace_back(rng.below(20) == 0 ? "vary" : name,
                          std::string(rng.below(round % 100 == 0 ? 3000 : 80), 'v'));
    }
    encode.check(client, 200, fields);
    if (rng.below(200) == 0) {
      const auto bytes = static_cast<uint32_t>(rng.below(6000));
      encode.encoder.set_limit(bytes);
      client.set_limit(bytes);
    }
  }
  EXPECT_GT(client.table_size(), 0u);
}

}  // namespace
}  // namespace colony::http::testing
