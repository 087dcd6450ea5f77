// The first two bytes say how long the JSON is, the rest is JSON and binary tensors.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"
#include "request/runtime/oip/contract.h"

using namespace colony::runtime;  // NOLINT(google-build-using-namespace): a fuzz target is one function

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint64_t length = data[0] | static_cast<uint64_t>(data[1]) << 8;
  const std::string text(reinterpret_cast<const char*>(data) + 2, size - 2);
  oip::ParsedInfer parsed;
  if (oip::parse_infer(std::make_shared<std::string>(text), length, parsed)) {
    for (const auto& t : parsed.request.inputs) CHECK(check_data(t));
    parsed.wish.binary = true;
    parsed.wish.binary_by_output.clear();
    std::string written;
    CHECK(oip::write_infer({"m", "1", parsed.request.inputs}, parsed.wish, written));
  }
  const ModelInfo one{.name = "m", .inputs = {{"x", DataType::kInt16, {-1, 3}}}};
  oip::ParsedInfer raw;
  if (oip::parse_raw_infer(std::make_shared<std::string>(text), one, raw)) CHECK(check_data(raw.request.inputs.at(0)));
  return 0;
}
