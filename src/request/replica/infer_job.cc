// run() touches only its own request and the table's immutable models; statistics are added on the loop, in finish().
#include "request/replica/infer_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <new>

#include "base/check.h"

namespace colony::replica {
namespace {

namespace oip = runtime::oip;

constexpr size_t kAlignment = 16;

constexpr size_t kSpareJobs = 64;          // LIMIT: jobs that are kept to be used again
constexpr size_t kSpareBytes = 16 * 1024;  // LIMIT: of each of their texts
constexpr uint32_t kMeasuredOf = 16;       // every so many jobs on the loop are measured

}  // namespace

Error out_of_memory() { return unavailable("no memory is left for this request", "out_of_memory"); }

// Pool threads have no loop whose clock they could ask; these readings feed statistics only.
class InferJob::StopWatch {
 public:
  explicit StopWatch(bool runs) : runs_(runs) {
    if (runs) last_ = std::chrono::steady_clock::now();
  }
  void lap(uint64_t& took) {
    if (!runs_) return;
    const auto now = std::chrono::steady_clock::now();
    took = static_cast<uint64_t>((now - std::exchange(last_, now)).count());
  }

 private:
  const bool runs_;
  std::chrono::steady_clock::time_point last_;
};

std::shared_ptr<InferJob> InferJob::make(Core& core, InferForm form, InferClient& client) {
  CHECK(core.table);
  auto& spares = core.spare_jobs;
  std::shared_ptr<InferJob> job;
  if (spares.empty()) {
    job = std::make_shared<InferJob>(core);
  } else {
    job = std::move(spares.back());
    spares.pop_back();
  }
  job->form_ = form;
  job->client_ = &client;
  job->table_ = core.table;
  return job;
}

// It is made anew in its place, so that nothing of its last request can stay but memory.
void InferJob::give_back(std::shared_ptr<InferJob> job) {
  Core& core = job->core_;
  if (job.use_count() > 1 || core.spare_jobs.size() == kSpareJobs) return;
  std::string reply = std::move(job->reply);
  auto body = std::move(job->body ? job->body : job->spare_body_);
  std::destroy_at(job.get());
  std::construct_at(job.get(), core);
  if (reply.capacity() <= kSpareBytes) job->reply = std::move(reply);
  if (body && body.use_count() == 1 && body->capacity() <= kSpareBytes) job->spare_body_ = std::move(body);
  core.spare_jobs.push_back(std::move(job));
}

std::string& InferJob::make_body() {
  body = spare_body_ ? std::move(spare_body_) : std::make_shared<std::string>();
  body->clear();
  return *body;
}

InferJob::~InferJob() {
  if (unpacked_bytes_ > 0) core_.unpacked.fetch_sub(unpacked_bytes_, std::memory_order_relaxed);
}

// WHY not every one on the loop is measured: four readings of the clock would be a good part of its microseconds. Those in
// between count as the one that was.
void InferJob::run() {
  const bool on_loop = !cancel, measured = !on_loop || core_.cheap_jobs++ % kMeasuredOf == 0;
  if (!measured) laps_ = core_.cheap_laps;
  StopWatch watch(measured);
  if (auto done = guarded_work(watch); !done) error_ = std::move(done).error();
  if (on_loop && measured && !error_) core_.cheap_laps = laps_;
}

// Models and libraries throw, and memory can end: that is the end of this request, not of the others.
Result<void> InferJob::guarded_work(StopWatch& watch) {
  try {
    return work(watch);
  } catch (const std::bad_alloc&) {
    return fail(out_of_memory());
  } catch (const std::exception& e) {
    return fail(internal_error(fmt::format("the request could not be worked on: {}", e.what())));
  }
}

Result<void> InferJob::work(StopWatch& watch) {
  if (coding != compress::Coding::kIdentity) TRY_VOID(unpack());
  auto decoded = decode();
  watch.lap(laps_.input_ns);
  if (!decoded) return decoded;
  runtime::InferReply inferred;
  auto& request = parsed_.request;
  const bool answered_already = form_ == InferForm::kTransform && request.inputs.empty();
  if (!answered_already) {
    request.deadline = deadline;
    request.cancel = cancel;
    auto answer = model->model->infer(std::move(request));
    watch.lap(laps_.infer_ns);
    if (!answer) return fail(std::move(answer).error());
    inferred = std::move(*answer);
  }
  auto encoded = encode(inferred);
  if (encoded && reply_coding != compress::Coding::kIdentity) pack();
  watch.lap(laps_.output_ns);
  return encoded;
}

// In pieces, so that all requests together stay within the replica's bound whatever their bodies promise.
Result<void> InferJob::unpack() {
  constexpr size_t kPiece = 4 * 1024;
  compress::Decompressor unpacker(coding, max_body);
  auto plain = std::make_shared<std::string>();
  const auto given = json_length;
  if (given.value_or(0) <= max_body) align_tensors(*plain);
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
  // It lies: then the numbers that are told are those that came.
  if (given != json_length && *json_length > plain->size()) {
    plain->erase(0, *json_length - *given);
    json_length = given;
  }
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
      return form_ == InferForm::kJson ? oip::parse_infer(body, json_length, parsed_)
                                       : oip::parse_raw_infer(body, model->model->info(), parsed_);
    }
    case InferForm::kPredict: {
      TRY(auto parsed, oip::parse_predict(*body, model->model->info()));
      parsed_.request = std::move(parsed.request);
      rows_ = parsed.rows;
      return {};
    }
    case InferForm::kTransform: {
      TRY(parsed_.request.inputs, table_->transform->to_tensors(*body, content_type));
      return {};
    }
    case InferForm::kGrpc:
    case InferForm::kGrpcStream: {
      auto& request = parsed_.request;
      const auto parsed = oip::parse_model_infer(message, body, request);
      id_ = request.id;
      if (!parsed) return fail(parsed.error());
      TRY(model, table_->get(request.model, request.version));
      return {};
    }
  }
  return {};
}

Result<void> InferJob::encode(const runtime::InferReply& inferred) {
  switch (form_) {
    case InferForm::kJson:
    case InferForm::kRawTensor: {
      TRY(reply_json_length, oip::write_infer(inferred, parsed_.wish, reply));
      reply_type = reply_json_length ? "application/octet-stream" : "application/json";
      return {};
    }
    case InferForm::kPredict: {
      TRY(reply, oip::write_predict(inferred, rows_));
      reply_type = "application/json";
      return {};
    }
    case InferForm::kTransform: {
      TRY(auto written, table_->transform->to_reply(inferred, *body));
      reply = std::move(written.data);
      transform_type_ = std::move(written.content_type);
      reply_type = transform_type_;
      return {};
    }
    case InferForm::kGrpc: return oip::write_model_infer(inferred, id_, reply);
    case InferForm::kGrpcStream: return oip::write_stream_infer(inferred, id_, reply);
  }
  return {};
}

void InferJob::finish(const Error* refused) {
  // While it still runs (its deadline passed), run()'s members belong to the pool's thread.
  const Error* error = refused ? refused : error_ ? &*error_ : nullptr;
  whole_ = refused == nullptr;
  if (whole_)
    account(error);
  else
    count_refused();
  if (client_) std::exchange(client_, nullptr)->on_inferred(error);
}

void InferJob::keep_sent(std::shared_ptr<std::string> in, std::string_view text) {
  sent = message = text;
  sent_body_ = body = std::move(in);
}

void InferJob::count_if_late() {
  if (client_ && deadline.passed(core_.loop.now())) count_refused();
}

// While it still runs, `model` of a gRPC request is the pool's to set: so the message is asked.
void InferJob::count_refused() {
  LoadedModel* failed = nullptr;
  if (form_ == InferForm::kGrpc || form_ == InferForm::kGrpcStream) {
    constexpr size_t kBeginning = 4 * 1024;  // of a compressed message, in which the names come first
    std::string plain;
    if (coding != compress::Coding::kIdentity) {
      compress::Decompressor unpacker(coding, max_body);
      unpacker.enough_at(kBeginning);
      if (!unpacker.feed(sent.substr(0, kBeginning), plain)) plain.clear();  // broken: it names no model
    }
    const oip::AskedModel asked =
        oip::peek_model_infer(coding == compress::Coding::kIdentity ? sent : std::string_view(plain));
    asked_id_ = asked.id;
    if (const auto found = table_->get(asked.name, asked.version)) failed = *found;
  } else {
    failed = model;
  }
  const Duration took = submitted_ == TimePoint{} ? Duration::zero() : core_.loop.now() - submitted_;
  if (failed) failed->statistics.fail.add(static_cast<uint64_t>(took.count()));
}

void InferJob::account(const Error* error) {
  if (!model) return;
  auto& s = model->statistics;
  const uint64_t total = waited_ns + laps_.input_ns + laps_.infer_ns + laps_.output_ns;
  core_.probe.queue.observe(static_cast<double>(waited_ns) * 1e-9);
  core_.probe.processing.observe(static_cast<double>(total - waited_ns) * 1e-9);
  if (error) return s.fail.add(total);
  s.success.add(total);
  s.queue.add(waited_ns);
  s.compute_input.add(laps_.input_ns);
  s.compute_infer.add(laps_.infer_ns);
  s.compute_output.add(laps_.output_ns);
  ++s.inference_count;
  ++s.execution_count;
  model->last_inference = core_.loop.now();
  model->durations.observe(static_cast<double>(laps_.infer_ns) * 1e-9);
}

}  // namespace colony::replica
