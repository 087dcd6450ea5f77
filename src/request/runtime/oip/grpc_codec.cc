// The inference.* messages about models and the server, by the generated code. ModelInfer's own are infer_message.cc.
#include <fmt/format.h>
#include <limits>

#include "colony/version.h"
#include "inference/grpc_service.pb.h"
#include "request/runtime/oip/contract.h"

namespace colony::runtime::oip {
namespace {

template <class M>
Result<void> decode(std::string_view bytes, M& message, std::string_view what) {
  if (bytes.size() <= std::numeric_limits<int>::max() &&
      message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return {};
  return fail(invalid_argument(fmt::format("the message is no {}", what)));
}

template <class M>
std::string encode(const M& message) {
  std::string out;
  message.SerializeToString(&out);
  return out;
}

inference::DataType config_type(DataType t) {
  switch (t) {
    case DataType::kBool: return inference::TYPE_BOOL;
    case DataType::kUint8: return inference::TYPE_UINT8;
    case DataType::kUint16: return inference::TYPE_UINT16;
    case DataType::kUint32: return inference::TYPE_UINT32;
    case DataType::kUint64: return inference::TYPE_UINT64;
    case DataType::kInt8: return inference::TYPE_INT8;
    case DataType::kInt16: return inference::TYPE_INT16;
    case DataType::kInt32: return inference::TYPE_INT32;
    case DataType::kInt64: return inference::TYPE_INT64;
    case DataType::kFp16: return inference::TYPE_FP16;
    case DataType::kBf16: return inference::TYPE_BF16;
    case DataType::kFp32: return inference::TYPE_FP32;
    case DataType::kFp64: return inference::TYPE_FP64;
    case DataType::kBytes: return inference::TYPE_STRING;
  }
  return inference::TYPE_INVALID;
}

void set(inference::StatisticDuration* to, const Timing& from) {
  to->set_count(from.count);
  to->set_ns(from.ns);
}

}  // namespace

Result<NamedModel> parse_named_model(std::string_view message) {
  inference::ModelMetadataRequest decoded;
  TRY_VOID(decode(message, decoded, "request that names a model"));
  return NamedModel{decoded.name(), decoded.version()};
}

Result<bool> parse_index_wants_ready(std::string_view message) {
  inference::RepositoryIndexRequest decoded;
  TRY_VOID(decode(message, decoded, "inference.RepositoryIndexRequest"));
  return decoded.ready();
}

std::string flag_message(bool value) {
  inference::ServerReadyResponse out;
  out.set_ready(value);
  return encode(out);
}

std::string server_message() {
  inference::ServerMetadataResponse out;
  out.set_name("colony");
  out.set_version(COLONY_VERSION);
  for (const auto& e : server_extensions()) out.add_extensions(e);
  return encode(out);
}

std::string model_message(const ModelInfo& model) {
  inference::ModelMetadataResponse out;
  out.set_name(model.name);
  out.add_versions(model.version);
  out.set_platform(model.platform);
  const auto add = [](inference::ModelMetadataResponse::TensorMetadata* to, const TensorInfo& t) {
    to->set_name(t.name);
    to->set_datatype(std::string(to_string(t.type)));
    for (const int64_t d : t.shape) to->add_shape(d);
  };
  for (const auto& t : model.inputs) add(out.add_inputs(), t);
  for (const auto& t : model.outputs) add(out.add_outputs(), t);
  return encode(out);
}

std::string config_message(const ModelInfo& model, int instances) {
  inference::ModelConfigResponse out;
  auto* config = out.mutable_config();
  config->set_name(model.name);
  config->set_platform(model.platform);
  config->set_backend(model.platform == "onnxruntime_onnx" ? "onnxruntime" : "colony");
  config->mutable_version_policy()->mutable_latest()->set_num_versions(1);
  for (const auto& t : model.inputs) {
    auto* to = config->add_input();
    to->set_name(t.name);
    to->set_data_type(config_type(t.type));
    for (const int64_t d : t.shape) to->add_dims(d);
  }
  for (const auto& t : model.outputs) {
    auto* to = config->add_output();
    to->set_name(t.name);
    to->set_data_type(config_type(t.type));
    for (const int64_t d : t.shape) to->add_dims(d);
  }
  auto* group = config->add_instance_group();
  group->set_name(model.name);
  group->set_count(instances);
  group->set_kind(inference::ModelInstanceGroup::KIND_CPU);
  return encode(out);
}

std::string statistics_message(const std::vector<ModelStatistics>& models) {
  inference::ModelStatisticsResponse out;
  for (const auto& m : models) {
    auto* to = out.add_model_stats();
    to->set_name(m.name);
    to->set_version(m.version);
    to->set_last_inference(m.last_inference_ms);
    to->set_inference_count(m.inference_count);
    to->set_execution_count(m.execution_count);
    auto* stats = to->mutable_inference_stats();
    set(stats->mutable_success(), m.success);
    set(stats->mutable_fail(), m.fail);
    set(stats->mutable_queue(), m.queue);
    set(stats->mutable_compute_input(), m.compute_input);
    set(stats->mutable_compute_infer(), m.compute_infer);
    set(stats->mutable_compute_output(), m.compute_output);
    set(stats->mutable_cache_hit(), {});
    set(stats->mutable_cache_miss(), {});
    if (m.execution_count == 0) continue;
    auto* batch = to->add_batch_stats();
    batch->set_batch_size(1);
    set(batch->mutable_compute_input(), m.compute_input);
    set(batch->mutable_compute_infer(), m.compute_infer);
    set(batch->mutable_compute_output(), m.compute_output);
  }
  return encode(out);
}

std::string index_message(const std::vector<IndexEntry>& models) {
  inference::RepositoryIndexResponse out;
  for (const auto& m : models) {
    auto* to = out.add_models();
    to->set_name(m.name);
    to->set_version(m.version);
    to->set_state(m.state);
    to->set_reason(m.reason);
  }
  return encode(out);
}

}  // namespace colony::runtime::oip
