// run() touches only its own request and the table's immutable models; statistics are added on the loop, in finish().
#include "request/replica/infer_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "request/replica/core.h"

namespace colony::replica {
namespace {

namespace oip = runtime::oip;

constexpr size_t kAlignment = 16;

// Pool threads have no loop whose clock they could ask; these readings feed statistics only.
class StopWatch {
 public:
  uint64_t lap() {
    const auto now = std::chrono::steady_clock::now();
    const auto took = now - last_;
    last_ = now;
    return static_cast<uint64_t>(took.count());
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace

InferJob::InferJob(Core& core, InferForm form, InferClient& client)
    : core_(core), form_(form), client_(&client), table_(core.table) {
  CHECK(table_);
}

InferJob::~InferJob() {
  if (unpacked_bytes_ > 0) core_.unpacked.fetch_sub(unpacked_bytes_, std::memory_order_relaxed);
}

void InferJob::run() {
  if (auto done = work(); !done) error_ = std::move(done).error();
}

Result<void> InferJob::work() {
  StopWatch watch;
  auto decoded = coding == compress::Coding::kIdentity ? Result<void>() : unpack();
  if (decoded) decoded = decode();
  input_ns_ = watch.lap();
  if (!decoded) return decoded;
  const bool answered_already = form_ == InferForm::kTransform && request_.inputs.empty();
  if (!answered_already) {
    request_.deadline = deadline;
    request_.cancel = cancel;
    auto inferred = model->model->infer(request_);
    infer_ns_ = watch.lap();
    if (!inferred) return fail(std::move(inferred).error());
    inferred_ = std::move(*inferred);
  }
  auto encoded = encode();
  if (encoded && reply_coding != compress::Coding::kIdentity) pack();
  output_ns_ = watch.lap();
  return encoded;
}

// In pieces, so that all requests together stay within the replica's bound whatever their bodies promise.
Result<void> InferJob::unpack() {
  constexpr size_t kPiece = 4 * 1024;
  compress::Decompressor unpacker(coding, max_body);
  auto plain = std::make_shared<std::string>();
  align_tensors(*plain);
  const bool grpc = form_ == InferForm::kGrpc || form_ == InferForm::kGrpcStream;
  for (std::string_view rest = grpc ? message : std::string_view(*body); !rest.empty();
       rest.remove_prefix(std::min(kPiece, rest.size()))) {
    TRY_VOID(unpacker.feed(rest.substr(0, kPiece), *plain));
    const size_t grown = plain->capacity() - unpacked_bytes_;
    unpacked_bytes_ += grown;
    const size_t all = core_.unpacked.fetch_add(grown, std::memory_order_relaxed) + grown;
    if (all <= core_.max_buffered) continue;
    Error e =
        unavailable(fmt::format("compressed bodies of {} bytes are being held; no room for more", all), "replica_full");
    e.retry = Retry::kYes;
    return fail(std::move(e));
  }
  TRY_VOID(unpacker.finish());
  body = std::move(plain);
  message = *body;
  return {};
}

void InferJob::align_tensors(std::string& to) {
  if (!json_length) return;
  const size_t pad = (kAlignment - *json_length % kAlignment) % kAlignment;
  to.append(pad, ' ');
  *json_length += pad;
}

void InferJob::pack() {
  if (reply.size() < compress::kLeastPacked) return;
  std::string packed = compress::compress(reply_coding, reply);
  if (packed.size() >= reply.size()) return;
  reply = std::move(packed);
  reply_packed = true;
}

Result<void> InferJob::decode() {
  switch (form_) {
    case InferForm::kJson:
    case InferForm::kRawTensor: {
      TRY(auto parsed, form_ == InferForm::kJson ? oip::parse_infer(body, json_length)
                                                 : oip::parse_raw_infer(body, model->model->info()));
      request_ = std::move(parsed.request);
      wish_ = std::move(parsed.wish);
      return {};
    }
    case InferForm::kPredict: {
      TRY(auto parsed, oip::parse_predict(*body, model->model->info()));
      request_ = std::move(parsed.request);
      rows_ = parsed.rows;
      return {};
    }
    case InferForm::kTransform: {
      TRY(request_.inputs, table_->transform->to_tensors(*body, content_type));
      return {};
    }
    case InferForm::kGrpc:
    case InferForm::kGrpcStream: {
      TRY(request_, oip::parse_model_infer(message, body));
      id_ = request_.id;
      TRY(model, table_->get(request_.model, request_.version));
      return {};
    }
  }
  return {};
}

Result<void> InferJob::encode() {
  switch (form_) {
    case InferForm::kJson:
    case InferForm::kRawTensor: {
      TRY(auto written, oip::write_infer(inferred_, wish_));
      reply = std::move(written.body);
      reply_json_length = written.json_length;
      reply_type = reply_json_length ? "application/octet-stream" : "application/json";
      return {};
    }
    case InferForm::kPredict: {
      TRY(reply, oip::write_predict(inferred_, rows_));
      reply_type = "application/json";
      return {};
    }
    case InferForm::kTransform: {
      TRY(auto written, table_->transform->to_reply(inferred_, *body));
      reply = std::move(written.data);
      transform_type_ = std::move(written.content_type);
      reply_type = transform_type_;
      return {};
    }
    case InferForm::kGrpc: reply = oip::write_model_infer(inferred_, id_); return {};
    case InferForm::kGrpcStream: reply = oip::write_stream_infer(inferred_, id_); return {};
  }
  return {};
}

void InferJob::finish(const Error* refused) {
  // While it still runs (its deadline passed), run()'s members belong to the pool's thread.
  const Error* error = refused ? refused : error_ ? &*error_ : nullptr;
  whole_ = refused == nullptr;
  if (whole_) account(error);
  if (client_) std::exchange(client_, nullptr)->on_inferred(error);
}

void InferJob::account(const Error* error) {
  if (!model) return;
  auto& s = model->statistics;
  const uint64_t total = waited_ns + input_ns_ + infer_ns_ + output_ns_;
  core_.probe.queue.observe(static_cast<double>(waited_ns) * 1e-9);
  core_.probe.processing.observe(static_cast<double>(total - waited_ns) * 1e-9);
  if (error) return s.fail.add(total);
  s.success.add(total);
  s.queue.add(waited_ns);
  s.compute_input.add(input_ns_);
  s.compute_infer.add(infer_ns_);
  s.compute_output.add(output_ns_);
  ++s.inference_count;
  ++s.execution_count;
  model->last_inference = core_.loop.now();
  if (const auto it = core_.model_durations.find(s.name); it != core_.model_durations.end())
    it->second.observe(static_cast<double>(infer_ns_) * 1e-9);
}

}  // namespace colony::replica
