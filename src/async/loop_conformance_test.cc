// One suite for every Loop: what async/loop.h promises about streams, run over TCP and unix sockets on EpollLoop and
// over shared memory on EpollLoop, and over memory on SimLoop, plain and with every read and write cut into small parts.
#include "async/buffered_stream.h"
#include "async/loop_test_support.h"

namespace colony::async::test {
namespace {

struct EpollTcp : EpollDriver {
  Endpoint at() { return {"127.0.0.1:0"}; }
};
struct EpollUnix : EpollDriver {
  TempDir dir;
  Endpoint at() { return {"unix:" + dir.file("s")}; }
};
struct EpollSharedMemory : EpollUnix {
  static constexpr bool kRing = true;
};
struct SimTcp : SimDriver {
  Endpoint at() { return {"127.0.0.1:0"}; }
};
struct SimUnix : SimDriver {
  Endpoint at() { return {"unix:/sim/s"}; }
};
struct SimChunked : ChunkedSimDriver {
  Endpoint at() { return {"127.0.0.1:0"}; }
};

template <class Driver>
class StreamConformance : public ::testing::Test {
 protected:
  Driver driver;
  Pair<Driver> pair{driver, driver.at()};
};
using Drivers = ::testing::Types<EpollTcp, EpollUnix, EpollSharedMemory, SimTcp, SimUnix, SimChunked>;
TYPED_TEST_SUITE(StreamConformance, Drivers);

std::string pattern(size_t n) {
  std::string s(n, ' ');
  uint32_t x = 1;
  for (auto& c : s) {
    x = x * 1664525u + 1013904223u;
    c = static_cast<char>('a' + (x >> 24) % 26);
  }
  return s;
}

TYPED_TEST(StreamConformance, ATurnsWritesArriveInOrder) {
  auto& p = this->pair;
  p.near->write("one ");
  p.near->write_now("two ");
  p.near->write("three ");
  p.near->write_now("four ", "five");
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.bytes == "one two three four five"; }));
}

// Another pair plays ping-pong, so that every turn brings an event while `near` gathers.
TYPED_TEST(StreamConformance, WhatAGatheringStreamIsGivenWhileEventsComeLeavesTogetherButIsNotHeldForEver) {
  auto& p = this->pair;
  TypeParam other_driver_at;
  Pair<TypeParam> other(this->driver, this->driver.kReal ? Endpoint{"127.0.0.1:0"} : Endpoint{"ping:0"});
  int written = 0;
  const auto play = [&](Recorder& events, std::unique_ptr<Stream>& stream) {
    events.when_bytes = [&] {
      if (written == 40) return;
      p.near->write(std::string(1, static_cast<char>('0' + written++)));
      stream->write(".");
    };
  };
  play(other.near_events, other.near);
  play(other.far_events, other.far);
  link_stream(*p.near)->gather(true);
  other.near->write(".");
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.bytes.size() == 40; }));
  for (const std::string& view : p.far_events.seen) EXPECT_LE(view.size(), 1u + Turn::kGatherTurns);
  if (!TypeParam::kSlow) EXPECT_LE(p.far_events.seen.size(), 20u);
}

TYPED_TEST(StreamConformance, AGatheringStreamAloneIsFlushedAtOnceAndALargeWriteIsNotHeldBack) {
  auto& p = this->pair;
  link_stream(*p.near)->gather(true);
  p.near->write("one");
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.bytes == "one"; }));
  const std::string data = pattern(200'000);
  p.near->write(data);
  p.near->write("end");
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.bytes.size() == 6 + data.size(); }));
  EXPECT_TRUE(p.far_events.bytes == "one" + data + "end");
}

TYPED_TEST(StreamConformance, WriteNowNeedsNoOutboxWhileTheKernelTakesBytes) {
  auto& p = this->pair;
  p.near->write_now("head ", "body");
  EXPECT_EQ(p.near->pending(), 0u);
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.bytes == "head body"; }));
}

TYPED_TEST(StreamConformance, LargeDataIsEchoedWhole) {
  auto& p = this->pair;
  const std::string data = pattern(3'000'000);
  p.far_events.consume = [&](std::string_view d) {
    p.far->write(d);
    return d.size();
  };
  p.near->write(data);
  EXPECT_TRUE(this->driver.run_until([&] { return p.near_events.bytes.size() >= data.size(); }));
  EXPECT_TRUE(p.near_events.bytes == data);
  EXPECT_EQ(p.near->pending(), 0u);
  EXPECT_EQ(p.far->pending(), 0u);
}

TYPED_TEST(StreamConformance, UnconsumedBytesAreShownAgainWithWhatFollows) {
  auto& p = this->pair;
  // Takes nothing before it has seen 1000 bytes in one piece: a small kept tail, then a large one.
  for (const size_t whole : {size_t{1000}, size_t{200'000}}) {
    std::string got;
    p.far_events.consume = [&](std::string_view d) {
      if (d.size() < whole) return size_t{0};
      got = d.substr(0, whole);
      return whole;
    };
    const std::string data = pattern(whole);
    for (size_t at = 0; at < whole; at += whole / 10) {
      p.near->write(std::string_view(data).substr(at, whole / 10));
      this->driver.settle();
    }
    EXPECT_TRUE(this->driver.run_until([&] { return got.size() == whole; }));
    EXPECT_TRUE(got == data);
  }
}

TYPED_TEST(StreamConformance, APausedStreamShowsItsKeptBytesAtResumeWithoutNewOnes) {
  auto& p = this->pair;
  p.far_events.consume = [&](std::string_view) {
    p.far->pause();
    return size_t{1};
  };
  p.near->write("abc");
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.bytes == "a"; }));
  this->driver.settle();
  EXPECT_EQ(p.far_events.bytes, "a");
  p.far_events.consume = nullptr;
  p.far->resume();
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.bytes == "abc"; }));
}

TYPED_TEST(StreamConformance, ResumeInsideTheCallbackShowsTheRestAtOnce) {
  auto& p = this->pair;
  p.far_events.consume = [&](std::string_view) {
    p.far->pause();
    p.far->resume();
    return size_t{1};
  };
  p.near->write("abcdef");
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.bytes == "abcdef"; }));
  EXPECT_GE(p.far_events.seen.size(), 6u);
}

TYPED_TEST(StreamConformance, ANewHandlerIsShownWhatTheOldOneLeft) {
  auto& p = this->pair;
  Recorder second;
  p.far_events.consume = [&](std::string_view d) {
    if (d.size() < 4) return size_t{0};
    p.far->set_handler(&second);
    return size_t{2};
  };
  p.near->write("h2body");
  EXPECT_TRUE(this->driver.run_until([&] { return second.bytes == "body"; }));
  EXPECT_EQ(p.far_events.bytes, "h2");
  p.far.reset();
}

TYPED_TEST(StreamConformance, AReaderThatPausesStopsTheWriterAndResumeDrainsIt) {
  auto& p = this->pair;
  const std::string data = pattern(24'000'000);
  p.far->pause();
  p.near->write(data);
  this->driver.settle();
  EXPECT_GT(p.near->pending(), 0u);
  EXPECT_EQ(p.near_events.drained, 0);
  EXPECT_EQ(p.far_events.bytes, "");
  p.far->resume();
  EXPECT_TRUE(
      this->driver.run_until([&] { return p.near_events.drained > 0 && p.far_events.bytes.size() == data.size(); }));
  EXPECT_TRUE(p.far_events.bytes == data);
  EXPECT_EQ(p.near->pending(), 0u);
}

TYPED_TEST(StreamConformance, APausedStreamIsToldOfAnEndBehindWhatItHasNotRead) {
  for (const bool half : {true, false}) {
    Pair<TypeParam> p(this->driver, this->driver.kReal ? Endpoint{"127.0.0.1:0"} : Endpoint{"z:0"});
    p.far_events.consume = [&](std::string_view) {
      p.far->pause();
      return size_t{1};
    };
    p.near->write_now("abc");
    EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.bytes == "a"; }));
    if (half)
      p.near->shutdown_write();
    else
      p.near.reset();
    EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.end_follows == 1; }));
    p.far->resume();
    EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.bytes == "ab" && p.far_events.end_follows == 2; }))
        << "it was paused again";
    this->driver.settle();
    EXPECT_EQ(p.far_events.end_follows, 2);
    EXPECT_EQ(p.far_events.ended + p.far_events.closed, 0);
    p.far_events.consume = nullptr;
    p.far->resume();
    EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.ended == 1; }));
    EXPECT_EQ(p.far_events.bytes, "abc");
    EXPECT_EQ(p.far_events.end_follows, 2);
  }
}

TYPED_TEST(StreamConformance, AStreamThatIsPausedWhenTheEndIsKnownIsToldToo) {
  auto& p = this->pair;
  p.far->pause();
  p.near->write_now("abc");
  p.near->shutdown_write();
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.end_follows == 1; }));
  p.far->resume();
  p.far->pause();
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.end_follows == 2; }));
  EXPECT_EQ(p.far_events.bytes, "");
  p.far->resume();
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.ended == 1; }));
  EXPECT_EQ(p.far_events.bytes, "abc");
}

TYPED_TEST(StreamConformance, ManyStreamsShareTheLoopWhileOneIsFlooded) {
  auto& p = this->pair;
  Pair<TypeParam> quiet(this->driver, this->driver.kReal ? Endpoint{"127.0.0.1:0"} : Endpoint{"quiet"});
  const std::string data = pattern(6'000'000);
  size_t flooded_when_quiet_came = 0;
  quiet.far_events.when_bytes = [&] { flooded_when_quiet_came = p.far_events.bytes.size(); };
  p.near->write(data);
  quiet.near->write("ping");
  EXPECT_TRUE(this->driver.run_until(
      [&] { return quiet.far_events.bytes == "ping" && p.far_events.bytes.size() == data.size(); }));
  EXPECT_LT(flooded_when_quiet_came, data.size());
}

TYPED_TEST(StreamConformance, TheEndOfOneHalfLeavesTheOtherOpen) {
  auto& p = this->pair;
  p.near->write("last words");
  p.near->shutdown_write();
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.ended == 1; }));
  EXPECT_EQ(p.far_events.bytes, "last words");
  EXPECT_FALSE(p.far->is_closed());
  p.far->write("answer");
  EXPECT_TRUE(this->driver.run_until([&] { return p.near_events.bytes == "answer"; }));
  p.far->shutdown_write();
  EXPECT_TRUE(this->driver.run_until([&] { return p.near_events.ended == 1; }));
  this->driver.settle();
  EXPECT_EQ(p.far_events.closed + p.near_events.closed, 0);
  EXPECT_EQ(p.far_events.ended, 1);
}

TYPED_TEST(StreamConformance, TheEndComesAfterAllBytesHoweverManyThereAre) {
  auto& p = this->pair;
  const std::string data = pattern(1'000'000);
  size_t at_end = 0;
  p.far_events.when_end = [&] { at_end = p.far_events.bytes.size(); };
  p.near->write(data);
  p.near->shutdown_write();
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.ended == 1; }));
  EXPECT_EQ(at_end, data.size());
}

TYPED_TEST(StreamConformance, BytesSentBeforeTheWriterWasDestroyedStillArrive) {
  auto& p = this->pair;
  p.near->write_now("goodbye");
  p.near.reset();
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.ended == 1; }));
  EXPECT_EQ(p.far_events.bytes, "goodbye");
}

TYPED_TEST(StreamConformance, AResetIsNoOrderlyEndWhereTheTransportKnowsTheDifference) {
  auto& p = this->pair;
  p.near->write_now("a part");
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.bytes == "a part"; }));
  const bool knows = p.far->peer() != "unix";
  p.near->reset_when_closed();
  p.near.reset();
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.ended + p.far_events.closed > 0; }));
  EXPECT_EQ(p.far_events.ended, knows ? 0 : 1);
}

TYPED_TEST(StreamConformance, WritingToAPeerThatIsGoneClosesOnceAndLater) {
  auto& p = this->pair;
  p.near.reset();
  EXPECT_TRUE(this->driver.run_until([&] { return p.far_events.ended == 1; }));
  EXPECT_TRUE(this->driver.run_until([&] {
    p.far->write_now("are you there?");
    return p.far_events.closed == 1;
  }));
  EXPECT_TRUE(p.far->is_closed());
  EXPECT_EQ(p.far_events.error.code, Code::kUnavailable);
  EXPECT_NE(p.far_events.error.message, "");
  p.far->write("x");
  p.far->write_now("y");
  p.far->shutdown_write();
  p.far->resume();
  this->driver.settle();
  EXPECT_EQ(p.far_events.closed, 1);
  EXPECT_EQ(p.far_events.ended, 1);
  EXPECT_EQ(p.far->pending(), 0u);
}

TYPED_TEST(StreamConformance, AStreamMayBeDestroyedInEachOfItsCallbacks) {
  for (const std::string_view where : {"bytes", "kept", "drained", "end follows", "end", "closed"}) {
    SCOPED_TRACE(where);
    Pair<TypeParam> p(this->driver, this->driver.kReal ? Endpoint{"127.0.0.1:0"} : Endpoint{"x:0"});
    bool destroyed = false;
    auto destroy = [&] {
      p.far.reset();
      destroyed = true;
    };
    if (where == "bytes") {
      p.far_events.when_bytes = destroy;
      p.near->write("abc");
    } else if (where == "kept") {
      p.far_events.consume = [&](std::string_view d) {
        if (d.size() < 150'000) return size_t{0};
        p.far.reset();
        destroyed = d.back() == 'z';  // the view outlives the stream
        return d.size();
      };
      p.near->write(std::string(150'000, 'z'));
    } else if (where == "drained") {
      p.far_events.when_drained = destroy;
      p.far->write(std::string(24'000'000, 'd'));
    } else if (where == "end follows") {
      p.far_events.when_end_follows = destroy;
      p.far->pause();
      p.near->write("tail");
      p.near->shutdown_write();
    } else if (where == "end") {
      p.far_events.when_end = destroy;
      p.near->write("tail");
      p.near->shutdown_write();
    } else {
      p.far_events.when_closed = destroy;
      p.near.reset();
      EXPECT_TRUE(this->driver.run_until([&] {
        if (!destroyed && p.far) p.far->write_now("x");
        return destroyed;
      }));
    }
    EXPECT_TRUE(this->driver.run_until([&] { return destroyed; }));
    this->driver.settle();
  }
}

TYPED_TEST(StreamConformance, AStreamMayDestroyAnotherOneThatHasBytesInTheSameTurn) {
  auto& p = this->pair;
  Pair<TypeParam> q(this->driver, this->driver.kReal ? Endpoint{"127.0.0.1:0"} : Endpoint{"y:0"});
  int calls = 0;
  p.far_events.when_bytes = [&] { ++calls, q.far.reset(); };
  q.far_events.when_bytes = [&] { ++calls, p.far.reset(); };
  p.near->write("a");
  q.near->write("b");
  EXPECT_TRUE(this->driver.run_until([&] { return calls > 0; }));
  this->driver.settle();
  EXPECT_GE(calls, 1);
  EXPECT_NE(p.far == nullptr, q.far == nullptr);
}

TYPED_TEST(StreamConformance, AnEndpointWithoutAListenerRefuses) {
  auto& p = this->pair;
  const Endpoint at = p.listener->endpoint();
  p.listener.reset();
  std::optional<Result<std::unique_ptr<Stream>>> result;
  this->driver.loop->connect(at, Deadline::never(), [&](auto r) { result.emplace(std::move(r)); });
  EXPECT_FALSE(result.has_value()) << "never from inside connect()";
  EXPECT_TRUE(this->driver.run_until([&] { return result.has_value(); }));
  ASSERT_FALSE(result->has_value());
  EXPECT_EQ(result->error().code, Code::kUnavailable);
  EXPECT_NE(result->error().message.find(at.text), std::string::npos) << result->error().message;
}

TYPED_TEST(StreamConformance, AConnectAfterItsDeadlineFailsWithoutBeingTried) {
  std::optional<Result<std::unique_ptr<Stream>>> result;
  auto& loop = *this->driver.loop;
  loop.connect(this->pair.listener->endpoint(), Deadline::at(loop.now()),
               [&](auto r) { result.emplace(std::move(r)); });
  EXPECT_TRUE(this->driver.run_until([&] { return result.has_value(); }));
  ASSERT_FALSE(result->has_value());
  EXPECT_EQ(result->error().code, Code::kDeadlineExceeded);
}

TYPED_TEST(StreamConformance, ATakenEndpointIsRefusedByName) {
  const Endpoint at = this->pair.listener->endpoint();
  auto again = this->driver.loop->listen(at, [](std::unique_ptr<Stream>) {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kAlreadyExists);
  EXPECT_NE(again.error().message.find(at.text), std::string::npos) << again.error().message;
}

TYPED_TEST(StreamConformance, AListenerMayBeDestroyedByItsOwnAccept) {
  std::unique_ptr<Listener> listener;
  int accepted = 0;
  const Endpoint at = this->driver.kReal ? Endpoint{"127.0.0.1:0"} : Endpoint{"z:0"};
  auto listening = this->driver.loop->listen(at, [&](std::unique_ptr<Stream>) {
    ++accepted;
    listener.reset();
  });
  ASSERT_TRUE(listening);
  listener = std::move(*listening);
  EXPECT_FALSE(listener->endpoint().text.ends_with(":0"));
  bool connected = false;
  this->driver.loop->connect(listener->endpoint(), Deadline::never(), [&](auto) { connected = true; });
  EXPECT_TRUE(this->driver.run_until([&] { return connected && accepted == 1; }));
}

TYPED_TEST(StreamConformance, WhatOutlivesTheLoopIsInert) {
  auto& p = this->pair;
  p.near->write("never sent");
  Timer timer(*this->driver.loop, [] {});
  timer.arm_after(1h);
  this->driver.loop.reset();
  EXPECT_TRUE(p.near->is_closed());
  p.near->write("x");
  p.near->write_now("x");
  p.near->resume();
  p.near->shutdown_write();
  EXPECT_EQ(p.near->pending(), 0u);
}

}  // namespace
}  // namespace colony::async::test
