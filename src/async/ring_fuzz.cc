// Both ends of a ring against a peer that writes whatever it likes into the shared state: nothing is read or written
// outside the ring's memory, no more is shown than was asked for, and while the peer keeps to the rules every byte
// arrives as it was written. Each step is two bytes: what, and how much.
#include <cstring>
#include <memory>
#include <string>

#include "async/ring.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* script, size_t size) {
  using namespace colony::async;
  const auto state = std::make_unique<RingState>();
  const auto bytes = std::make_unique<char[]>(kRingBytes);
  RingReader reader(*state, bytes.get());
  RingWriter writer(*state, bytes.get());
  std::string on_the_way;
  bool honest = true, dead = false;
  char next = 0;
  for (size_t i = 0; i + 1 < size && !dead; i += 2) {
    const uint64_t much = script[i + 1];
    switch (script[i] % 10) {
      case 0:
      case 1: {  // write; large steps fill the ring
        const size_t length = script[i] % 10 == 0 ? much : much * 1024;
        const auto exact = std::make_unique<char[]>(length);
        for (size_t k = 0; k < length; ++k) exact[k] = next++;
        const std::string_view all(exact.get(), length);
        const size_t cut = length * (script[i] / 10) / 26;
        const auto n = writer.write(all.substr(0, cut), all.substr(cut));
        if (!n) {
          CHECK(!honest);
          dead = true;
          break;
        }
        CHECK(*n <= length);
        if (honest) CHECK(*n == std::min(length, kRingBytes - on_the_way.size()));
        if (honest && *n < length) CHECK(state->writer_waits.load() == 1);
        on_the_way += all.substr(0, *n);
        next = static_cast<char>(next - static_cast<char>(length - *n));
        if (writer.must_wake_reader()) CHECK(!writer.must_wake_reader());
        break;
      }
      case 2:
      case 3: {  // read
        const size_t room = script[i] % 10 == 2 ? much : much * 1024;
        const auto exact = std::make_unique<char[]>(room);
        const auto n = reader.read(exact.get(), room);
        if (!n) {
          CHECK(!honest);
          dead = true;
          break;
        }
        CHECK(*n <= room);
        if (honest) {
          CHECK(*n == std::min(room, on_the_way.size()));
          CHECK(std::memcmp(exact.get(), on_the_way.data(), *n) == 0);
          on_the_way.erase(0, *n);
        }
        if (reader.must_tell_writer()) CHECK(!reader.must_tell_writer());
        break;
      }
      case 4: {
        const bool sleeps = reader.sleep();
        if (honest) CHECK(sleeps == on_the_way.empty());
        break;
      }
      case 5: reader.awake(); break;
      // The peer's lies.
      case 6: honest = false, state->tail.fetch_add(much << (script[i] / 10)); break;
      case 7: honest = false, state->head.fetch_add(much << (script[i] / 10)); break;
      case 8: honest = false, state->head.fetch_sub(much), state->tail.fetch_sub(much / 2); break;
      case 9: state->reader_sleeps = static_cast<uint32_t>(much), state->writer_waits = script[i]; break;
    }
  }
  return 0;
}
