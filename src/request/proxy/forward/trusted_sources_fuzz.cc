// A setting and a peer's name of any bytes: the first line is the list, the rest the peer. A list that was taken trusts the
// addresses that it names.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "request/proxy/forward/trusted_sources.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = text.find('\n');
  const std::string_view list = text.substr(0, line);
  const auto sources = colony::proxy::TrustedSources::parse(list);
  if (!sources) return 0;
  if (line != text.npos) (void)sources->contains(text.substr(line + 1));
  if (sources->empty() || list.find_first_of(" ,/") != list.npos) return 0;
  const bool v6 = list.find(':') != list.npos;
  const std::string peer = (v6 ? "[" + std::string(list) + "]" : std::string(list)) + ":80";
  if (!sources->contains(peer)) std::abort();
  return 0;
}
