// Any bytes as the JSON of an inference (and as a v1 predict): either a clear error, or a request whose echo can be written
// and read again to the same tensors. What the reader of usual requests takes means the same to the parser.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"
#include "request/runtime/oip/contract.h"
#include "request/runtime/oip/usual_json.h"

using namespace colony::runtime;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

bool same(const std::vector<Tensor>& some, const std::vector<Tensor>& others) {
  return std::ranges::equal(some, others, [](const Tensor& a, const Tensor& b) {
    return a.name == b.name && a.type == b.type && a.shape == b.shape && a.data == b.data;
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  oip::ParsedInfer parsed;
  if (auto done = oip::parse_any_infer(std::make_shared<std::string>(text), std::nullopt, parsed); !done) {
    CHECK(!done.error().message.empty());
    CHECK(!oip::read_usual(text, parsed));
  } else {
    for (const auto& t : parsed.request.inputs) CHECK(check_data(t));
    if (oip::ParsedInfer usual; oip::read_usual(text, usual)) {
      CHECK(usual.request.id == parsed.request.id && usual.wish.id == parsed.wish.id);
      CHECK(!parsed.wish.binary && parsed.wish.binary_by_output.empty());
      CHECK(usual.request.outputs == parsed.request.outputs);
      CHECK(same(usual.request.inputs, parsed.request.inputs));
    }
    oip::ReplyWish json = parsed.wish;
    json.binary = false;
    json.binary_by_output.clear();
    if (std::string again; oip::write_infer({"m", "1", parsed.request.inputs}, json, again)) {
      again.replace(again.find("\"outputs\":["), 11, "\"inputs\":[");
      oip::ParsedInfer second;
      CHECK(oip::parse_infer(std::make_shared<std::string>(again), std::nullopt, second));
      CHECK(second.request.inputs.size() == parsed.request.inputs.size());
      for (size_t i = 0; i < second.request.inputs.size(); ++i) {
        const Tensor &a = parsed.request.inputs[i], &b = second.request.inputs[i];
        CHECK(a.name == b.name && a.shape == b.shape && a.type == b.type && a.data.size() == b.data.size());
        if (a.type != DataType::kFp32 && a.type != DataType::kFp64) CHECK(a.data == b.data);
      }
    }
  }
  const ModelInfo any{.name = "m", .inputs = {{"x", DataType::kFp32, {-1}}}, .any_tensor = true};
  if (auto predict = oip::parse_predict(text, any)) {
    for (const auto& t : predict->request.inputs) CHECK(check_data(t));
    auto written = oip::write_predict({"m", "1", predict->request.inputs}, predict->rows);
    CHECK(written || !written.error().message.empty());
  }
  return 0;
}
