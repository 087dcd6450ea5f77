// Outputs share the inputs' memory: an echo copies nothing.
#include "request/runtime/echo/echo_runtime.h"

#include <fmt/format.h>

#include <algorithm>

namespace colony::runtime::echo {
namespace {

class EchoModel final : public Model {
 public:
  EchoModel(std::string name, std::string version) {
    info_.name = std::move(name);
    info_.version = std::move(version);
    info_.platform = "colony_echo";
    info_.any_tensor = true;
    // Clients that ask for the metadata first (perf_analyzer) find one tensor that they can use.
    info_.inputs = {{"INPUT0", DataType::kFp32, {-1}}};
    info_.outputs = {{"INPUT0", DataType::kFp32, {-1}}};
  }

  const ModelInfo& info() const override { return info_; }
  bool cheap() const override { return true; }

  Result<InferReply> infer(const InferRequest& request) override {
    InferReply reply{info_.name, info_.version, {}};
    if (request.outputs.empty()) {
      reply.outputs = request.inputs;
    } else {
      for (const auto& wanted : request.outputs) {
        auto it = std::ranges::find(request.inputs, wanted, &Tensor::name);
        if (it == request.inputs.end()) return fail(unknown_output(wanted, request));
        reply.outputs.push_back(*it);
      }
    }
    for (auto& t : reply.outputs)
      if (!t.owner) t.owner = request.storage;
    return reply;
  }

 private:
  Error unknown_output(std::string_view wanted, const InferRequest& request) const {
    std::string names;
    for (const auto& t : request.inputs) names += (names.empty() ? "" : ", ") + t.name;
    return invalid_argument(
        fmt::format("output '{}' is not among the tensors of this request; model '{}' gives its inputs "
                    "back, here: {}",
                    wanted, info_.name, names.empty() ? "none" : names));
  }

  ModelInfo info_;
};

}  // namespace

Result<std::shared_ptr<Model>> EchoRuntime::load(const ModelSpec& spec, const std::string& name, const std::string&) {
  return std::make_shared<EchoModel>(name, spec.version.empty() ? "1" : spec.version);
}

}  // namespace colony::runtime::echo
