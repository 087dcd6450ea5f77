// The length-prefixed messages: whole, in pieces, too large, compressed, broken.
#include "transport/grpc/framing.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"

namespace colony::grpc {
namespace {

using State = MessageDecoder::State;

std::vector<std::string> take_all(MessageDecoder& decoder) {
  std::vector<std::string> out;
  for (std::string_view m; decoder.next(m) == State::kMessage;) out.emplace_back(m);
  return out;
}

TEST(MessageDecoder, ShowsAWholeMessageInPlace) {
  std::string wire;
  append_message(wire, "hello");
  MessageDecoder decoder(100);
  decoder.feed(wire);
  std::string_view m;
  ASSERT_EQ(decoder.next(m), State::kMessage);
  EXPECT_EQ(m, "hello");
  EXPECT_EQ(m.data(), wire.data() + kPrefixBytes);
  EXPECT_EQ(decoder.next(m), State::kNeedMore);
  EXPECT_TRUE(decoder.at_boundary());
}

TEST(MessageDecoder, GivesTheSameMessagesHoweverTheBytesAreCut) {
  Rng rng(7);
  for (int round = 0; round < 200; ++round) {
    std::string wire;
    std::vector<std::string> sent;
    for (size_t i = 0, n = 1 + rng.below(8); i < n; ++i) {
      sent.emplace_back(rng.below(3) == 0 ? 0 : rng.below(40), static_cast<char>('a' + i));
      append_message(wire, sent.back());
    }
    MessageDecoder decoder(64);
    std::vector<std::string> got;
    for (size_t at = 0; at < wire.size();) {
      const std::string piece = wire.substr(at, 1 + rng.below(12));
      at += piece.size();
      decoder.feed(piece);
      if (rng.below(4) == 0) {
        decoder.keep();
        continue;
      }
      for (std::string_view m;;) {
        const auto state = decoder.next(m);
        ASSERT_NE(state, State::kBad);
        if (state == State::kNeedMore) break;
        got.emplace_back(m);
        if (rng.below(4) == 0) {
          decoder.keep();
          break;
        }
      }
    }
    decoder.feed({});
    for (auto& m : take_all(decoder)) got.push_back(m);
    EXPECT_EQ(got, sent) << "round " << round;
    EXPECT_TRUE(decoder.at_boundary());
  }
}

TEST(MessageDecoder, RefusesAMessageOverTheLimitByItsPrefixAlone) {
  std::string wire;
  append_prefix(wire, 101);
  MessageDecoder decoder(100);
  decoder.feed(wire);
  std::string_view m;
  ASSERT_EQ(decoder.next(m), State::kBad);
  EXPECT_EQ(decoder.error().code, Code::kResourceExhausted);
  EXPECT_EQ(decoder.next(m), State::kBad);
  EXPECT_EQ(decoder.buffered(), 0u);
}

TEST(MessageDecoder, SaysWhichMessagesArePacked) {
  std::string wire;
  append_message(wire, "one", Packed::kYes);
  append_message(wire, "two");
  for (const size_t step : {1u, 3u, 100u}) {
    MessageDecoder decoder(100, Packed::kYes);
    std::vector<std::pair<std::string, Packed>> seen;
    for (size_t at = 0; at < wire.size(); at += step) {
      decoder.feed(std::string_view(wire).substr(at, step));
      for (std::string_view m; decoder.next(m) == State::kMessage;) seen.emplace_back(m, decoder.packed());
    }
    EXPECT_EQ(seen, (std::vector<std::pair<std::string, Packed>>{{"one", Packed::kYes}, {"two", Packed::kNo}}));
  }
}

TEST(MessageDecoder, GivesAMessageAwayThatEndsAligned) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{5000}, size_t{100'003}}) {
    const std::string content(size, 'c');
    std::string wire;
    append_message(wire, content);
    append_message(wire, "next");
    for (const size_t step : {size_t{1}, size_t{4097}, size_t{1} << 20}) {
      MessageDecoder decoder(1 << 20);
      std::string taken;
      std::string_view m, message;
      for (size_t at = 0; at < wire.size(); at += step) {
        decoder.feed(std::string_view(wire).substr(at, step));
        while (decoder.next(m) == State::kMessage) {
          if (message.data() != nullptr) {
            EXPECT_EQ(m, "next");
            continue;
          }
          message = m;
          taken = decoder.take(message);
          EXPECT_EQ(message, content);
          if (size > 0)
            EXPECT_EQ(reinterpret_cast<uintptr_t>(message.data() + message.size()) % MessageDecoder::kAlignment, 0u);
        }
      }
      EXPECT_EQ(message, content) << "still there";
      EXPECT_TRUE(decoder.at_boundary());
    }
  }
}

TEST(MessageDecoder, APromisedLengthAloneReservesLittle) {
  MessageDecoder decoder(1 << 30);
  std::string_view m;
  decoder.feed(
      std::string_view("\0\x3f\xff\xff\xff"
                       "abc",
                       8));
  EXPECT_EQ(decoder.next(m), State::kNeedMore);
  EXPECT_EQ(decoder.buffered(), 8u);
}

TEST(MessageDecoder, RefusesACompressedMessageThatNothingAnnouncedAndAWrongFlag) {
  std::string_view m;
  MessageDecoder compressed(100);
  compressed.feed(std::string_view("\x01\0\0\0\0", 5));
  ASSERT_EQ(compressed.next(m), State::kBad);
  EXPECT_EQ(compressed.error().code, Code::kInternal);
  MessageDecoder wrong(100);
  wrong.feed(std::string_view("\x02\0\0\0\0", 5));
  ASSERT_EQ(wrong.next(m), State::kBad);
  EXPECT_EQ(wrong.error().code, Code::kInternal);
}

TEST(Framing, ALengthThatThePrefixCannotSayIsNeverCut) {
  std::string out;
  EXPECT_DEATH(append_prefix(out, size_t{1} << 32), "");
}

TEST(MessageDecoder, IsNotAtABoundaryInsideAMessage) {
  std::string wire;
  append_message(wire, "hello");
  MessageDecoder decoder(100);
  decoder.feed(std::string_view(wire).substr(0, 7));
  EXPECT_TRUE(take_all(decoder).empty());
  EXPECT_FALSE(decoder.at_boundary());
  EXPECT_EQ(decoder.buffered(), 7u);
}

}  // namespace
}  // namespace colony::grpc
