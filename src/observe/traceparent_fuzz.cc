// What parse_traceparent accepts is written back in a form that means the same, and version 00 with known flags comes back
// letter by letter.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "observe/trace.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace colony::observe;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = parse_traceparent(text);
  colony::Rng rng(size);
  const std::string id = request_id_or_new(text, rng);
  CHECK(valid_request_id(id));
  if (!parsed) return 0;
  const std::string written = format_traceparent(*parsed);
  const auto again = parse_traceparent(written);
  CHECK(again && *again == *parsed);
  CHECK(text.substr(2, 50) == std::string_view(written).substr(2, 50));
  if (text.starts_with("00") && (text.ends_with("-00") || text.ends_with("-01"))) CHECK(text == written);
  return 0;
}
