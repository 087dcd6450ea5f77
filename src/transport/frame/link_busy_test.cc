// What replies say about the replica's loop, and to whom.
#include <gtest/gtest.h>

#include "async/sim_spend.h"
#include "transport/frame/flow.h"
#include "transport/frame/link_test_support.h"

namespace colony::frame {
namespace {

using http::testing::RawPeer;
using testing::Bench;
using testing::Caller;
using testing::request;

struct BusyBench : Bench {
  explicit BusyBench(size_t chunk = 0) : Bench(chunk) {
    service.work = [this] { async::spend(*loop, each); };
  }
  void calls(size_t n, const std::string& path = "/echo") {
    std::vector<Caller> callers(n);
    for (auto& c : callers) call(c, request(path), "body");
    settle();
    for (auto& c : callers) EXPECT_EQ(c.body, "body");
  }
  Duration each = 3us;
};

TEST(LinkBusy, a_reply_says_what_a_request_of_the_batch_before_cost) {
  BusyBench b;
  EXPECT_EQ(b.link->busy_ns(), 0u) << "there was no reply";
  b.calls(1);
  EXPECT_EQ(b.link->busy_ns(), 3000u) << "of the first batch by itself";
  b.each = 7us;
  b.calls(10);
  EXPECT_EQ(b.link->busy_ns(), 3000u);
  b.calls(10);
  EXPECT_EQ(b.link->busy_ns(), 7000u);
}

TEST(LinkBusy, bytes_that_answer_nothing_count_for_no_request) {
  BusyBench b(1);  // a call of on_bytes for every byte
  b.calls(3);
  b.calls(3);
  EXPECT_LE(b.link->busy_ns(), 3000u);
}

TEST(LinkBusy, a_reply_that_was_not_given_in_the_turn_of_its_request_says_nothing) {
  BusyBench b;
  b.calls(2);
  EXPECT_EQ(b.link->busy_ns(), 3000u);
  Caller c;
  b.call(c, request("/hold"), "body");
  b.settle();
  b.service.last().release("late");
  b.settle();
  EXPECT_EQ(c.body, "late");
  EXPECT_EQ(b.link->busy_ns(), 0u);
}

TEST(LinkBusy, a_proxy_that_does_not_know_it_is_told_nothing) {
  for (const uint32_t features : {0u, kFeatureBusy}) {
    BusyBench b;
    RawPeer peer(*b.loop, b.at);
    const HelloPayload p{kVersion, features, 100};
    Header h{};
    h.type = Type::kHello;
    h.length = sizeof p;
    std::string out(kMagic);
    append_frame(out, h, {reinterpret_cast<const char*>(&p), sizeof p});
    const std::string head = request("/echo");
    h = {};
    h.type = Type::kRequest;
    h.flags = kFlagEnd;
    h.stream = 1 << 16;
    h.length = h.head_len = static_cast<uint32_t>(head.size());
    append_frame(out, h, head);
    peer.send(out);
    b.settle();
    std::string_view payload, why;
    std::string_view rest = peer.text;
    ASSERT_EQ(decode(rest, h, payload, why), DecodeState::kComplete);
    EXPECT_EQ(read_hello(payload).features & kFeatureBusy, kFeatureBusy);
    rest.remove_prefix(sizeof h + payload.size());
    ASSERT_EQ(decode(rest, h, payload, why), DecodeState::kComplete);
    EXPECT_EQ(h.type, Type::kReply);
    EXPECT_EQ(h.time, features ? 3000u : 0u);
  }
}

}  // namespace
}  // namespace colony::frame
