// Any bytes as a ModelInferRequest: what the generated code takes for a message, the reader by hand takes too, and sees the
// same in it; what the writer by hand makes of an echo, the generated code reads.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "inference/grpc_service.pb.h"
#include "request/runtime/oip/contract.h"

using namespace colony::runtime;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

void compare(const InferRequest& ours, const inference::ModelInferRequest& theirs) {
  CHECK(ours.model == theirs.model_name() && ours.version == theirs.model_version() && ours.id == theirs.id());
  CHECK(ours.inputs.size() == static_cast<size_t>(theirs.inputs_size()));
  CHECK(ours.outputs.size() == static_cast<size_t>(theirs.outputs_size()));
  for (int i = 0; i < theirs.outputs_size(); ++i)
    CHECK(ours.outputs[static_cast<size_t>(i)] == theirs.outputs(i).name());
  for (int i = 0; i < theirs.inputs_size(); ++i) {
    const Tensor& t = ours.inputs[static_cast<size_t>(i)];
    const auto& in = theirs.inputs(i);
    CHECK(check_data(t));
    CHECK(t.name == in.name() && to_string(t.type) == in.datatype());
    CHECK(t.shape == std::vector<int64_t>(in.shape().begin(), in.shape().end()));
    if (theirs.raw_input_contents_size() > 0) CHECK(t.data == theirs.raw_input_contents(i));
  }
}

void compare(const inference::ModelInferResponse& reply, const InferRequest& request) {
  CHECK(reply.model_name() == "m" && reply.model_version() == "1" && reply.id() == request.id);
  CHECK(static_cast<size_t>(reply.outputs_size()) == request.inputs.size());
  CHECK(reply.raw_output_contents_size() == reply.outputs_size());
  for (int i = 0; i < reply.outputs_size(); ++i) {
    const Tensor& t = request.inputs[static_cast<size_t>(i)];
    const auto& out = reply.outputs(i);
    CHECK(out.name() == t.name && out.datatype() == to_string(t.type) && reply.raw_output_contents(i) == t.data);
    CHECK(t.shape == std::vector<int64_t>(out.shape().begin(), out.shape().end()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  inference::ModelInferRequest theirs;
  const bool message = theirs.ParseFromArray(data, static_cast<int>(size));
  InferRequest ours;
  if (auto done = oip::parse_model_infer(bytes, nullptr, ours); !done) {
    CHECK(!done.error().message.empty());
    CHECK(!message || !done.error().message.starts_with("the message is no"));
    return 0;
  }
  if (message) compare(ours, theirs);
  const InferReply echo{"m", "1", ours.inputs};
  inference::ModelInferResponse reply;
  std::string written;
  CHECK(oip::write_model_infer(echo, ours.id, written));
  CHECK(reply.ParseFromString(written));
  compare(reply, ours);
  inference::ModelStreamInferResponse stream;
  CHECK(oip::write_stream_infer(echo, ours.id, written));
  CHECK(stream.ParseFromString(written));
  compare(stream.infer_response(), ours);
  return 0;
}
