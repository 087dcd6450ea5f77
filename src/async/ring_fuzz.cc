// Both ends of a ring against a peer that writes whatever it likes into the shared state: nothing is read or written
// outside the ring's memory, no more is shown than was asked for, and while the peer keeps to the rules every byte
// arrives as it was written. Each step is two bytes: what, and how much.
#include <cstring>
#include <memory>
#include <string>

#include "async/ring.h"
#include "base/check.h"

namespace {

// Byte p of all that is written is kText[p % kPeriod].
constexpr size_t kPeriod = 251, kMost = 255 * 1024;
const std::string kText = [] {
  std::string s;
  for (size_t i = 0; i < kMost + kPeriod; ++i) s += static_cast<char>(i % kPeriod);
  return s;
}();

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* script, size_t size) {
  using namespace colony::async;
  const auto state = std::make_unique<RingState>();
  static const auto bytes = std::make_unique<char[]>(kRingBytes);
  RingReader reader(*state, bytes.get());
  RingWriter writer(*state, bytes.get());
  size_t written = 0, read = 0;
  bool honest = true, dead = false;
  for (size_t i = 0; i + 1 < size && !dead; i += 2) {
    const size_t much = script[i + 1], what = script[i] % 10, how = script[i] / 10;
    switch (what) {
      case 0:
      case 1: {  // write; large steps fill the ring
        const size_t length = what == 0 ? much : much * 1024, cut = length * how / 26;
        const std::string_view all = std::string_view(kText).substr(written % kPeriod, length);
        const auto n = writer.write(all.substr(0, cut), all.substr(cut));
        dead = !n.has_value();
        CHECK(!dead || !honest);
        if (dead) break;
        CHECK(*n <= length);
        if (honest) CHECK(*n == std::min(length, kRingBytes - (written - read)));
        if (honest && *n < length) CHECK(state->writer_waits.load() == 1);
        written += *n;
        if (writer.must_wake_reader()) CHECK(!writer.must_wake_reader());
        break;
      }
      case 2:
      case 3: {  // read
        const size_t room = what == 2 ? much : much * 1024;
        const auto exact = std::make_unique_for_overwrite<char[]>(room);
        const auto n = reader.read(exact.get(), room);
        dead = !n.has_value();
        CHECK(!dead || !honest);
        if (dead) break;
        CHECK(*n <= room);
        if (honest) CHECK(*n == std::min(room, written - read));
        if (honest) CHECK(std::memcmp(exact.get(), kText.data() + read % kPeriod, *n) == 0);
        read += *n;
        if (reader.must_tell_writer()) CHECK(!reader.must_tell_writer());
        break;
      }
      case 4: {
        const bool sleeps = reader.sleep();
        if (honest) CHECK(sleeps == (written == read));
        break;
      }
      case 5: reader.awake(); break;
      // The peer's lies.
      case 6: honest = false, state->tail.fetch_add(much << how); break;
      case 7: honest = false, state->head.fetch_add(much << how); break;
      case 8: honest = false, state->head.fetch_sub(much), state->tail.fetch_sub(much / 2); break;
      case 9: state->reader_sleeps = static_cast<uint32_t>(much), state->writer_waits = script[i]; break;
    }
  }
  return 0;
}
