// The walks that look at sixteen bytes at once say what the table says, wherever a byte stands.
#include "transport/http/head_grammar.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace colony::http::grammar {
namespace {

// `before` bytes of the memory lie before what is walked over.
using Walker = const char* (*)(const char* p, const char* end, const char* floor);
size_t length(Walker walker, std::string_view s, size_t before = 0) {
  const char* const p = s.data() + before;
  return static_cast<size_t>(walker(p, s.data() + s.size(), s.data()) - p);
}
size_t by_table(std::string_view s, uint8_t kind) {
  size_t n = 0;
  while (n < s.size() && is(s[n], kind)) ++n;
  return n;
}

TEST(HeadGrammar, EveryByteInEveryPlaceIsTakenAsTheTableSays) {
  const std::pair<Walker, uint8_t> walkers[] = {{&skip_token, kToken}, {&skip_target, kTarget}, {&skip_value, kValue}};
  for (const size_t size : {1u, 7u, 15u, 16u, 17u, 31u, 32u, 40u}) {
    for (size_t at = 0; at < size; ++at) {
      for (int c = 0; c < 256; ++c) {
        std::string s(size, 'a');
        s[at] = static_cast<char>(c);
        const std::string_view behind = std::string_view(s).substr(size / 2);
        const std::string longer = s + std::string(20, '\n');  // what stops a walk may lie in the same sixteen bytes
        for (const auto& [walker, kind] : walkers) {
          ASSERT_EQ(length(walker, s), by_table(s, kind)) << c << " at " << at << " of " << size;
          ASSERT_EQ(length(walker, s, size / 2), by_table(behind, kind)) << c << " at " << at << " of " << size;
          ASSERT_EQ(length(walker, longer), by_table(longer, kind)) << c << " at " << at << " of " << size;
        }
        const size_t colon = std::min(size, c < 0x20 || c == ':' ? at : size);
        ASSERT_EQ(length(&walk<Colon>, s), colon) << c << " at " << at << " of " << size;
      }
    }
  }
}

TEST(HeadGrammar, NamesAreKnownInAnyCaseAndNoOtherIsTakenForThem) {
  const std::pair<std::string, Name> names[] = {
      {"connection", Name::kConnection},
      {"content-length", Name::kContentLength},
      {"content-type", Name::kContentType},
      {"expect", Name::kExpect},
      {"forwarded", Name::kForwarded},
      {"grpc-status", Name::kGrpcStatus},
      {"grpc-timeout", Name::kGrpcTimeout},
      {"host", Name::kHost},
      {"keep-alive", Name::kKeepAlive},
      {"proxy-connection", Name::kProxyConnection},
      {"te", Name::kTe},
      {"traceparent", Name::kTraceparent},
      {"transfer-encoding", Name::kTransferEncoding},
      {"upgrade", Name::kUpgrade},
      {"x-forwarded-host", Name::kXForwardedHost},
      {"x-forwarded-for", Name::kXForwardedOther},
      {"x-forwarded-x", Name::kXForwardedOther},
      {"x-forwarded-proto", Name::kXForwardedProto},
      {"x-idempotent", Name::kXIdempotent},
      {"x-request-id", Name::kXRequestId},
      {"x-request-timeout-ms", Name::kXRequestTimeoutMs},
  };
  for (const auto& [name, id] : names) {
    EXPECT_EQ(name_of(name), id) << name;
    std::string upper = name;
    for (char& c : upper)
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 0x20);
    EXPECT_EQ(name_of(upper), id) << upper;
    for (size_t at = 0; at < name.size(); ++at) {
      if (id == Name::kXForwardedOther && at >= 12) break;
      for (int c = 0; c < 256; ++c) {
        std::string other = name;
        other[at] = static_cast<char>(c);
        if (!is(other[at], kToken) || (c | 0x20) == name[at] || c == name[at]) continue;
        EXPECT_NE(name_of(other), id) << other;
      }
    }
    EXPECT_NE(name_of(name + "s"), id == Name::kXForwardedOther ? Name::kOther : id) << name;
    EXPECT_NE(name_of(name.substr(1)), id) << name;
  }
  EXPECT_EQ(name_of("x-forwarded-"), Name::kOther);
  EXPECT_EQ(name_of("x"), Name::kOther);
  EXPECT_EQ(name_of("user-agent"), Name::kOther);
}

}  // namespace
}  // namespace colony::http::grammar
