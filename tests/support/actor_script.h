// What an actor of the engine tests does, written in ActorSpec::payload as words: the test process and the in-process
// actors of the fake read the same script. "lines=20" prints so many lines at its start, "exit=3" ends with that code
// right after, "stubborn" ignores SIGTERM, "mute" serves no socket.
#pragma once

#include <charconv>
#include <string_view>

namespace colony::testing {

struct ActorScript {
  int lines = 0;
  int exit = -1;  // < 0: runs until told
  bool stubborn = false;
  bool mute = false;

  static ActorScript parse(std::string_view text) {
    ActorScript out;
    const auto number = [&](std::string_view key, int otherwise) {
      const size_t at = text.find(key);
      if (at == std::string_view::npos) return otherwise;
      std::from_chars(text.data() + at + key.size(), text.data() + text.size(), otherwise);
      return otherwise;
    };
    out.lines = number("lines=", 0);
    out.exit = number("exit=", -1);
    out.stubborn = text.find("stubborn") != std::string_view::npos;
    out.mute = text.find("mute") != std::string_view::npos;
    return out;
  }
};

}  // namespace colony::testing
