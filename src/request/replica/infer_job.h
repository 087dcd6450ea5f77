// One inference from its bytes to its bytes: decode, infer, encode, in one go on a pool thread (or on the loop when the
// model is cheap), so that the loop only moves bytes. The form says which codec.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "request/replica/core.h"
#include "request/replica/inbox.h"
#include "request/replica/model_table.h"
#include "transport/compress/coding.h"

namespace colony::replica {

enum class InferForm : uint8_t {
  kJson,        // OIP REST, JSON with or without binary tensors
  kRawTensor,   // OIP REST, Inference-Header-Content-Length: 0
  kPredict,     // /v1/models/M:predict
  kTransform,   // any bytes, through the deployment's transform
  kGrpc,        // inference.ModelInferRequest -> ModelInferResponse
  kGrpcStream,  // the same -> ModelStreamInferResponse
};

// For one request: others have memory yet.
Error out_of_memory();

// Who waits for the outcome. The loop; at most once; not after the job was abandoned.
class InferClient {
 public:
  virtual void on_inferred(const Error* error) = 0;  // null: the job's reply is whole

 protected:
  ~InferClient() = default;
};

// Used again with the memory of its texts, as long as there are few and they are small.
class InferJob final : public Job {
 public:
  // The core's table is loaded.
  static std::shared_ptr<InferJob> make(Core& core, InferForm form, InferClient& client);
  // For whoever asked, once there is an answer or none is wanted any more. A job that others still hold is theirs.
  static void give_back(std::shared_ptr<InferJob> job);
  explicit InferJob(Core& core) : core_(core) {}  // of nothing yet: for make()
  ~InferJob() override;

  // ---- the question; set before it is submitted ----
  std::shared_ptr<std::string> body;                            // gRPC, when the job runs inside submit(): null
  std::string_view message;                                     // gRPC: within body, or valid during submit()
  std::string_view sent;                                        // gRPC: the message as it came, valid as long as `body`
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
  bool reply_packed = false;  // `reply` is in reply_coding
  // gRPC: the message's id, also when it failed.
  const std::string& request_id() const { return whole_ ? id_ : asked_id_; }

  InferForm form() const { return form_; }
  std::string& make_body();
  void keep_sent(std::shared_ptr<std::string> in, std::string_view text);  // gRPC: the message, as a view into `in`
  void run() override;
  void finish(const Error* refused) override;
  void forget_client() { client_ = nullptr; }
  // Before the inbox is told that nobody waits any more: what its deadline has ended, and nobody's leaving, has failed.
  void count_if_late();

 private:
  class StopWatch;
  Result<void> work(StopWatch& watch);
  Result<void> guarded_work(StopWatch& watch);
  Result<void> unpack();
  Result<void> decode();
  Result<void> encode(const runtime::InferReply& inferred);
  void pack();
  void account(const Error* error);
  void count_refused();

  Core& core_;
  InferForm form_ = InferForm::kJson;
  InferClient* client_ = nullptr;
  std::shared_ptr<const ModelTable> table_;  // keeps the model while this runs
  runtime::oip::ParsedInfer parsed_;
  bool rows_ = true;
  std::optional<Error> error_;
  size_t unpacked_bytes_ = 0;  // of core_.unpacked
  Laps laps_;
  std::shared_ptr<std::string> spare_body_;  // make_body() gives it out
  std::string id_, transform_type_;
  std::shared_ptr<std::string> sent_body_;  // of `sent`: run() may put another in the place of `body`
  std::string asked_id_;                    // of a request that was refused
  bool whole_ = false;                      // run() has returned
};

}  // namespace colony::replica
