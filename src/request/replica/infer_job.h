// One inference from its bytes to its bytes: decode, infer, encode, in one go on a pool thread (or on the loop when the
// model is cheap), so that the loop only moves bytes. The form says which codec.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "request/replica/inbox.h"
#include "request/replica/model_table.h"

namespace colony::replica {

struct Core;

enum class InferForm : uint8_t {
  kJson,        // OIP REST, JSON with or without binary tensors
  kRawTensor,   // OIP REST, Inference-Header-Content-Length: 0
  kPredict,     // /v1/models/M:predict
  kTransform,   // any bytes, through the deployment's transform
  kGrpc,        // inference.ModelInferRequest -> ModelInferResponse
  kGrpcStream,  // the same -> ModelStreamInferResponse
};

// Who waits for the outcome. The loop; at most once; not after the job was abandoned.
class InferClient {
 public:
  virtual void on_inferred(const Error* error) = 0;  // null: the job's reply is whole

 protected:
  ~InferClient() = default;
};

class InferJob final : public Job {
 public:
  InferJob(Core& core, InferForm form, InferClient& client);

  // ---- the question; set before it is submitted ----
  std::shared_ptr<std::string> body = std::make_shared<std::string>();
  std::string_view message;             // gRPC, cheap models: instead of body, valid during submit()
  LoadedModel* model = nullptr;         // null for gRPC: the message names it
  std::optional<uint64_t> json_length;  // kJson
  std::string content_type;             // kTransform

  // ---- the answer, once on_inferred(nullptr) was called ----
  std::string reply, reply_type;
  std::optional<size_t> reply_json_length;
  const std::string& request_id() const { return whole_ ? id_ : kNone; }  // gRPC: the message's id, also when it failed

  void run() override;
  void finish(const Error* refused) override;
  void forget_client() { client_ = nullptr; }

 private:
  Result<void> work();
  Result<void> decode();
  Result<void> encode();
  void account(const Error* error);

  Core& core_;
  const InferForm form_;
  InferClient* client_;
  const std::shared_ptr<const ModelTable> table_;  // keeps the model while this runs
  runtime::InferRequest request_;
  runtime::oip::ReplyWish wish_;
  bool rows_ = true;
  runtime::InferReply inferred_;
  std::optional<Error> error_;
  uint64_t input_ns_ = 0, infer_ns_ = 0, output_ns_ = 0;
  std::string id_;
  bool whole_ = false;  // run() has returned
  static inline const std::string kNone;
};

}  // namespace colony::replica
