// run() touches only its own request and the table's immutable models; statistics are added on the loop, in finish().
#include "request/replica/infer_job.h"

#include <chrono>

#include "base/check.h"
#include "request/replica/core.h"

namespace colony::replica {
namespace {

namespace oip = runtime::oip;

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

void InferJob::run() {
  if (auto done = work(); !done) error_ = std::move(done).error();
}

Result<void> InferJob::work() {
  StopWatch watch;
  auto decoded = decode();
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
  output_ns_ = watch.lap();
  return encoded;
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
      TRY(request_, oip::parse_model_infer(message.empty() ? std::string_view(*body) : message));
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
      reply_type = std::move(written.content_type);
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
  s.last_inference_ms = static_cast<uint64_t>(to_ms(core_.loop.wall_now().time_since_epoch()));
  if (const auto it = core_.model_durations.find(s.name); it != core_.model_durations.end())
    it->second.observe(static_cast<double>(infer_ns_) * 1e-9);
}

}  // namespace colony::replica
