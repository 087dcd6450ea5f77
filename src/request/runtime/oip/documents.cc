// JSON documents about the server and its models, in the shapes that Triton's clients read.
#include <fmt/format.h>

#include <string>

#include "colony/version.h"
#include "request/runtime/oip/contract.h"
#include "request/runtime/oip/json_text.h"

namespace colony::runtime::oip {
namespace {

std::string quoted(std::string_view s) {
  std::string out;
  append_json_string(out, s);
  return out;
}

std::string shape(const std::vector<int64_t>& dims) {
  std::string out;
  append_json_shape(out, dims);
  return out;
}

template <class T, class F>
std::string list(const std::vector<T>& items, F one) {
  std::string out = "[";
  for (const auto& item : items) {
    if (out.size() > 1) out += ',';
    out += one(item);
  }
  return out + "]";
}

std::string tensor(const TensorInfo& t) {
  return fmt::format(R"({{"name":{},"datatype":"{}","shape":{}}})", quoted(t.name), to_string(t.type), shape(t.shape));
}

std::string config_type(DataType t) {
  return t == DataType::kBytes ? "TYPE_STRING" : fmt::format("TYPE_{}", to_string(t));
}

std::string config_input(const TensorInfo& t) {
  return fmt::format(R"({{"name":{},"data_type":"{}","format":"FORMAT_NONE","dims":{},"is_shape_tensor":false,)"
                     R"("allow_ragged_batch":false,"optional":false}})",
                     quoted(t.name), config_type(t.type), shape(t.shape));
}

std::string config_output(const TensorInfo& t) {
  return fmt::format(R"({{"name":{},"data_type":"{}","dims":{},"label_filename":"","is_shape_tensor":false}})",
                     quoted(t.name), config_type(t.type), shape(t.shape));
}

std::string timing(std::string_view name, const Timing& t) {
  return fmt::format(R"("{}":{{"count":{},"ns":{}}})", name, t.count, t.ns);
}

std::string statistics(const ModelStatistics& m) {
  const Timing none;
  std::string batches = "[]";
  if (m.execution_count > 0)
    batches = fmt::format(R"([{{"batch_size":1,{},{},{}}}])", timing("compute_input", m.compute_input),
                          timing("compute_infer", m.compute_infer), timing("compute_output", m.compute_output));
  return fmt::format(
      R"({{"name":{},"version":{},"last_inference":{},"inference_count":{},"execution_count":{},"inference_stats":{{{},{},{},)"
      R"({},{},{},{},{}}},"response_stats":{{}},"batch_stats":{},"memory_usage":[]}})",
      quoted(m.name), quoted(m.version), m.last_inference_ms, m.inference_count, m.execution_count,
      timing("success", m.success), timing("fail", m.fail), timing("queue", m.queue),
      timing("compute_input", m.compute_input), timing("compute_infer", m.compute_infer),
      timing("compute_output", m.compute_output), timing("cache_hit", none), timing("cache_miss", none), batches);
}

}  // namespace

const std::vector<std::string>& server_extensions() {
  static const std::vector<std::string> all = {"binary_tensor_data", "model_configuration", "model_repository",
                                               "parameters", "statistics"};
  return all;
}

std::string server_json() {
  return fmt::format(R"({{"name":"colony","version":{},"extensions":{}}})", quoted(COLONY_VERSION),
                     list(server_extensions(), [](const std::string& e) { return quoted(e); }));
}

std::string model_json(const ModelInfo& model) {
  return fmt::format(R"({{"name":{},"versions":[{}],"platform":{},"inputs":{},"outputs":{}}})", quoted(model.name),
                     quoted(model.version), quoted(model.platform), list(model.inputs, tensor),
                     list(model.outputs, tensor));
}

std::string model_ready_json(const ModelInfo& model, bool ready) {
  return fmt::format(R"({{"name":{},"ready":{}}})", quoted(model.name), ready);
}

std::string config_json(const ModelInfo& model, int instances) {
  // max_batch_size 0: the shapes are whole, the batch dimension included.
  return fmt::format(
      R"({{"name":{},"platform":{},"backend":{},"runtime":"","version_policy":{{"latest":{{"num_versions":1}}}},)"
      R"("max_batch_size":0,"input":{},"output":{},"instance_group":[{{"name":{},"kind":"KIND_CPU","count":{},"gpus":[]}}],)"
      R"("default_model_filename":"","parameters":{{}},"model_transaction_policy":{{"decoupled":false}}}})",
      quoted(model.name), quoted(model.platform),
      quoted(model.platform == "onnxruntime_onnx" ? "onnxruntime" : "colony"), list(model.inputs, config_input),
      list(model.outputs, config_output), quoted(model.name), instances);
}

std::string statistics_json(const std::vector<ModelStatistics>& models) {
  return fmt::format(R"({{"model_stats":{}}})", list(models, statistics));
}

std::string index_json(const std::vector<IndexEntry>& models) {
  return list(models, [](const IndexEntry& m) {
    return fmt::format(R"({{"name":{},"version":{},"state":{},"reason":{}}})", quoted(m.name), quoted(m.version),
                       quoted(m.state), quoted(m.reason));
  });
}

std::string model_list_json(const std::vector<IndexEntry>& models) {
  return fmt::format(R"({{"models":{}}})", list(models, [](const IndexEntry& m) { return quoted(m.name); }));
}

}  // namespace colony::runtime::oip
