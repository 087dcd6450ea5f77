// One inference from its bytes to its bytes: decode, infer, encode, in one go on a pool thread (or on the loop when the
// model is cheap), so that the loop only moves bytes. The form says which codec.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "request/replica/inbox.h"
#include "request/replica/model_table.h"
#include "transport/compress/coding.h"

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
  ~InferJob() override;

  // ---- the question; set before it is submitted ----
  std::shared_ptr<std::string> body;                            // gRPC, when the job runs inside submit(): null
  std::string_view message;                                     // gRPC: within body, or valid during submit()
  LoadedModel* model = nullptr;                                 // null for gRPC: the message names it
  std::optional<uint64_t> json_length;                          // kJson
  std::string content_type;                                     // kTransform
  compress::Coding coding = compress::Coding::kIdentity;        // of body
  compress::Coding reply_coding = compress::Coding::kIdentity;  // that the client would like
  size_t max_body = 0;                                          // LIMIT: of a body once unpacked

  // Spaces before the JSON of json_length bytes, so that the binary data after it lies where any element may.
  void align_tensors(std::string& to);

  // ---- the answer, once on_inferred(nullptr) was called ----
  std::string reply;
  std::string_view reply_type;
  std::optional<size_t> reply_json_length;
  bool reply_packed = false;                                              // `reply` is in reply_coding
  const std::string& request_id() const { return whole_ ? id_ : kNone; }  // gRPC: the message's id, also when it failed

  InferForm form() const { return form_; }
  void run() override;
  void finish(const Error* refused) override;
  void forget_client() { client_ = nullptr; }

 private:
  Result<void> work();
  Result<void> unpack();
  Result<void> decode();
  Result<void> encode();
  void pack();
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
  size_t unpacked_bytes_ = 0;  // of core_.unpacked
  uint64_t input_ns_ = 0, infer_ns_ = 0, output_ns_ = 0;
  std::string id_, transform_type_;
  bool whole_ = false;  // run() has returned
  static inline const std::string kNone;
};

}  // namespace colony::replica
