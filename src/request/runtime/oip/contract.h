// The Open Inference Protocol's words, between bytes and InferRequest/InferReply: REST (JSON, binary tensors), gRPC
// messages, the older v1 predict form, and the documents about models. No I/O, no paths, no HTTP: request/replica has those.
// Everything is pure and may run on any thread. Errors name the field by its path, the value and what would be right.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "request/runtime/contract.h"

namespace colony::runtime::oip {

// ---- inference over REST: JSON, or JSON followed by binary tensors (Triton's binary extension) ----

struct ReplyWish {
  std::string id;
  bool binary = false;                                         // parameters.binary_data_output
  std::vector<std::pair<std::string, bool>> binary_by_output;  // outputs[].parameters.binary_data, by name
};

struct ParsedInfer {
  InferRequest request;  // model, version, deadline, cancel: the caller's
  ReplyWish wish;
};

// `json_length`: of the header Inference-Header-Content-Length; absent: all of the body is JSON. Tensors may point into
// `body`, which the request then keeps alive. `to` is new.
Result<void> parse_infer(std::shared_ptr<std::string> body, std::optional<uint64_t> json_length, ParsedInfer& to);
// The header is 0: the whole body is the data of the model's only input (Triton's raw binary request).
Result<void> parse_raw_infer(std::shared_ptr<std::string> body, const ModelInfo& model, ParsedInfer& to);

// Writes the body of a reply. What it returns is the length of the JSON where binary tensors follow it (content-type
// application/octet-stream); nullopt: all of it is JSON.
Result<std::optional<size_t>> write_infer(const InferReply& reply, const ReplyWish& wish, std::string& to);

// ---- POST /v1/models/M:predict ----

struct ParsedPredict {
  InferRequest request;
  bool rows = true;  // `instances`: one entry per row; false: `inputs`, one per tensor
};
Result<ParsedPredict> parse_predict(std::string_view body, const ModelInfo& model);
Result<std::string> write_predict(const InferReply& reply, bool rows);

// ---- what is said about models ----

struct Timing {
  uint64_t count = 0, ns = 0;
  void add(uint64_t took_ns) {
    ++count;
    ns += took_ns;
  }
};

struct ModelStatistics {
  std::string name, version;
  uint64_t last_inference_ms = 0;  // since the epoch
  uint64_t inference_count = 0, execution_count = 0;
  Timing success, fail, queue, compute_input, compute_infer, compute_output;
};

struct IndexEntry {
  std::string name, version, state, reason;  // state: READY | UNAVAILABLE
};

std::string server_json();
std::string model_json(const ModelInfo& model);
std::string model_ready_json(const ModelInfo& model, bool ready);  // GET /v1/models/M
std::string config_json(const ModelInfo& model, int instances);
std::string statistics_json(const std::vector<ModelStatistics>& models);
std::string index_json(const std::vector<IndexEntry>& models);
std::string model_list_json(const std::vector<IndexEntry>& models);  // GET /v2/models
const std::vector<std::string>& server_extensions();

// ---- gRPC: serialized messages of inference.GRPCInferenceService ----

// Raw contents are views into `message`, which `storage` keeps alive (null: the caller does). `to` is new.
Result<void> parse_model_infer(std::string_view message, std::shared_ptr<void> storage, InferRequest& to);
// What a ModelInferRequest asks for, as far as its bytes can be read: they may be cut short. Views into them.
struct AskedModel {
  std::string_view name, version, id;
};
AskedModel peek_model_infer(std::string_view message);
// Refused: more than protobuf's 2 GiB.
Result<void> write_model_infer(const InferReply& reply, const std::string& id, std::string& to);
Result<void> write_stream_infer(const InferReply& reply, const std::string& id, std::string& to);
std::string write_stream_error(const Error& error, const std::string& id);

struct NamedModel {
  std::string name, version;
};
// ModelReadyRequest, ModelMetadataRequest, ModelConfigRequest, ModelStatisticsRequest: all are {name = 1, version = 2}.
Result<NamedModel> parse_named_model(std::string_view message);
Result<bool> parse_index_wants_ready(std::string_view message);  // RepositoryIndexRequest.ready

std::string flag_message(bool value);  // ServerLive, ServerReady, ModelReady: {bool = 1}
std::string server_message();
std::string model_message(const ModelInfo& model);
std::string config_message(const ModelInfo& model, int instances);
std::string statistics_message(const std::vector<ModelStatistics>& models);
std::string index_message(const std::vector<IndexEntry>& models);

}  // namespace colony::runtime::oip
