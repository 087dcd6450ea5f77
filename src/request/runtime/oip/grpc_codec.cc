// inference.* messages. A request's raw contents stay in the decoded message, which the tensors share.
#include <fmt/format.h>
#include <limits>

#include "colony/version.h"
#include "inference/grpc_service.pb.h"
#include "request/runtime/oip/contract.h"

namespace colony::runtime::oip {
namespace {

using inference::ModelInferRequest;

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

template <class T>
void append_raw(std::string& out, T v) {
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

// Copies typed contents, narrowing each value to T.
template <class T, class Values>
Result<std::string> narrowed(const Values& values, const std::string& path, DataType type) {
  std::string out;
  out.reserve(static_cast<size_t>(values.size()) * sizeof(T));
  for (int i = 0; i < values.size(); ++i) {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      if (!std::in_range<T>(values[i]))
        return fail(
            invalid_argument(fmt::format("{}[{}]: {} does not fit {} ({} to {})", path, i, values[i], to_string(type),
                                         +std::numeric_limits<T>::min(), +std::numeric_limits<T>::max())));
    }
    append_raw(out, static_cast<T>(values[i]));
  }
  return out;
}

Result<std::string> typed_contents(const inference::InferTensorContents& c, DataType type, uint64_t count,
                                   const std::string& path) {
  const auto counted = [&](const char* field, const auto& values) -> Result<std::string> {
    std::string at = fmt::format("{}.contents.{}", path, field);
    if (static_cast<uint64_t>(values.size()) != count)
      return fail(invalid_argument(fmt::format("{}: {} elements, but the shape has {} ({} goes into {})", at,
                                               values.size(), count, to_string(type), field)));
    return at;
  };
  switch (type) {
    case DataType::kBool: {
      TRY(const auto at, counted("bool_contents", c.bool_contents()));
      return narrowed<bool>(c.bool_contents(), at, type);
    }
    case DataType::kInt8: {
      TRY(const auto at, counted("int_contents", c.int_contents()));
      return narrowed<int8_t>(c.int_contents(), at, type);
    }
    case DataType::kInt16: {
      TRY(const auto at, counted("int_contents", c.int_contents()));
      return narrowed<int16_t>(c.int_contents(), at, type);
    }
    case DataType::kInt32: {
      TRY(const auto at, counted("int_contents", c.int_contents()));
      return narrowed<int32_t>(c.int_contents(), at, type);
    }
    case DataType::kInt64: {
      TRY(const auto at, counted("int64_contents", c.int64_contents()));
      return narrowed<int64_t>(c.int64_contents(), at, type);
    }
    case DataType::kUint8: {
      TRY(const auto at, counted("uint_contents", c.uint_contents()));
      return narrowed<uint8_t>(c.uint_contents(), at, type);
    }
    case DataType::kUint16: {
      TRY(const auto at, counted("uint_contents", c.uint_contents()));
      return narrowed<uint16_t>(c.uint_contents(), at, type);
    }
    case DataType::kUint32: {
      TRY(const auto at, counted("uint_contents", c.uint_contents()));
      return narrowed<uint32_t>(c.uint_contents(), at, type);
    }
    case DataType::kUint64: {
      TRY(const auto at, counted("uint64_contents", c.uint64_contents()));
      return narrowed<uint64_t>(c.uint64_contents(), at, type);
    }
    case DataType::kFp32: {
      TRY(const auto at, counted("fp32_contents", c.fp32_contents()));
      return narrowed<float>(c.fp32_contents(), at, type);
    }
    case DataType::kFp64: {
      TRY(const auto at, counted("fp64_contents", c.fp64_contents()));
      return narrowed<double>(c.fp64_contents(), at, type);
    }
    case DataType::kBytes: {
      TRY_VOID(counted("bytes_contents", c.bytes_contents()));
      std::string out;
      for (const auto& element : c.bytes_contents()) append_bytes_element(out, element);
      return out;
    }
    case DataType::kFp16:
    case DataType::kBf16: break;
  }
  return fail(invalid_argument(
      fmt::format("{}: {} has no typed contents: send it in raw_input_contents", path, to_string(type))));
}

template <class Map>
Result<void> refuse_parameters(const Map& parameters, const std::string& path) {
  for (const char* known : {"shared_memory_region", "classification"})
    if (parameters.contains(known))
      return fail(unimplemented(fmt::format("{}.parameters.{}: not offered here", path, known)));
  return {};
}

Result<Tensor> input(const ModelInferRequest::InferInputTensor& in, const std::string* raw, const std::string& path) {
  TRY_VOID(refuse_parameters(in.parameters(), path));
  if (in.name().empty()) return fail(invalid_argument(path + ".name: missing"));
  const auto type = parse_data_type(in.datatype());
  if (!type)
    return fail(invalid_argument(
        fmt::format("{}.datatype: '{}' given, expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, "
                    "INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES",
                    path, in.datatype())));
  std::vector<int64_t> shape(in.shape().begin(), in.shape().end());
  auto count = element_count(shape);
  if (!count) return fail(std::move(count.error()).within(path));
  if (raw) {
    if (in.has_contents())
      return fail(invalid_argument(
          path + ": has contents and raw_input_contents; expected one of the two for the whole request"));
    Tensor tensor{in.name(), *type, std::move(shape), *raw, nullptr};
    if (auto ok = check_data(tensor); !ok) return fail(std::move(ok.error()).within(path));
    return tensor;
  }
  TRY(auto bytes, typed_contents(in.contents(), *type, *count, path));
  return own_tensor(in.name(), *type, std::move(shape), std::move(bytes));
}

void fill(inference::ModelInferResponse& out, const InferReply& reply, const std::string& id) {
  out.set_model_name(reply.model);
  out.set_model_version(reply.version);
  out.set_id(id);
  for (const auto& t : reply.outputs) {
    auto* o = out.add_outputs();
    o->set_name(t.name);
    o->set_datatype(std::string(to_string(t.type)));
    for (const int64_t d : t.shape) o->add_shape(d);
    out.add_raw_output_contents(t.data.data(), t.data.size());
  }
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

Result<InferRequest> parse_model_infer(std::string_view message) {
  auto decoded = std::make_shared<ModelInferRequest>();
  TRY_VOID(decode(message, *decoded, "inference.ModelInferRequest"));
  InferRequest request;
  request.model = decoded->model_name();
  request.version = decoded->model_version();
  request.id = decoded->id();
  const bool raw = decoded->raw_input_contents_size() > 0;
  if (raw && decoded->raw_input_contents_size() != decoded->inputs_size())
    return fail(invalid_argument(fmt::format("raw_input_contents: {} elements for {} inputs, expected one for each",
                                             decoded->raw_input_contents_size(), decoded->inputs_size())));
  for (int i = 0; i < decoded->inputs_size(); ++i) {
    TRY(auto tensor,
        input(decoded->inputs(i), raw ? &decoded->raw_input_contents(i) : nullptr, fmt::format("inputs[{}]", i)));
    request.inputs.push_back(std::move(tensor));
  }
  for (int i = 0; i < decoded->outputs_size(); ++i) {
    TRY_VOID(refuse_parameters(decoded->outputs(i).parameters(), fmt::format("outputs[{}]", i)));
    request.outputs.push_back(decoded->outputs(i).name());
  }
  request.storage = std::move(decoded);
  return request;
}

std::string write_model_infer(const InferReply& reply, const std::string& id) {
  inference::ModelInferResponse out;
  fill(out, reply, id);
  return encode(out);
}

std::string write_stream_infer(const InferReply& reply, const std::string& id) {
  inference::ModelStreamInferResponse out;
  fill(*out.mutable_infer_response(), reply, id);
  return encode(out);
}

std::string write_stream_error(const Error& error, const std::string& id) {
  inference::ModelStreamInferResponse out;
  out.set_error_message(error.message);
  out.mutable_infer_response()->set_id(id);
  return encode(out);
}

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
