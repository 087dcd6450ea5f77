// The body stays in one string that the job then owns; nothing is copied between the network buffer and the codec but once.
#include "request/replica/infer_call.h"

#include <fmt/format.h>

namespace colony::replica {
namespace {

class InferCall final : public http::ExchangeHandler, public InferClient {
 public:
  InferCall(Core& core, http::Exchange& exchange, const http::RequestHead& head, const InferQuestion& question)
      : core_(core),
        exchange_(exchange),
        ids_(core, head),
        began_(core.loop.now()),
        job_(std::make_shared<InferJob>(core, question.form, *this)) {
    core_.opened();
    job_->model = question.model;
    job_->json_length = question.json_length;
    job_->deadline = core_.deadline_for(exchange.deadline());
    if (question.form == InferForm::kTransform) job_->content_type = head.find("content-type").value_or("");
    cheap_ = question.form != InferForm::kTransform && core_.table->cheap;
    if (!head.content_length) return;
    if (*head.content_length > core_.max_body)
      refuse_size();
    else
      job_->body->reserve(*head.content_length + 64);  // the JSON parser reads a little beyond the end
  }

  void on_body(std::string_view data) override {
    exchange_.consumed(data.size());
    if (answered_) return;
    if (job_->body->size() + data.size() > core_.max_body) return refuse_size();
    if (core_.buffered + data.size() > core_.max_buffered) {
      Error e = unavailable(fmt::format("request bodies of {} bytes are being held; no room for more", core_.buffered),
                            "replica_full");
      e.retry = Retry::kYes;
      return answer(&e);
    }
    core_.buffered += data.size();
    held_ += data.size();
    job_->body->append(data);
  }

  void on_end(std::string_view) override {
    if (answered_) return;
    submitted_ = true;
    core_.inbox.submit(job_, cheap_ ? Inbox::Cost::kCheap : Inbox::Cost::kHeavy);
  }

  void on_inferred(const Error* error) override { answer(error); }

  void on_done(bool ok) override {
    if (submitted_) core_.inbox.abandon(job_);
    job_->forget_client();
    core_.buffered -= held_;
    core_.closed(failed_ || !ok);
    delete this;
  }

 private:
  void refuse_size() {
    answered_ = failed_ = true;
    http::reply_with(exchange_, 413, "application/json",
                     http::error_json(invalid_argument(fmt::format("a body of more than {} bytes", core_.max_body),
                                                       "body_too_large")),
                     ids_.lines());
    log_access(ids_, "infer", 413, core_.loop.now() - began_, nullptr);
  }

  void answer(const Error* error) {
    if (answered_) return;
    answered_ = true;
    failed_ = error != nullptr;
    if (error) {
      http::reply_error(exchange_, false, *error, ids_.lines());
    } else if (job_->reply_json_length) {
      http::reply_with(
          exchange_, 200, job_->reply_type, job_->reply,
          fmt::format("inference-header-content-length: {}\r\n{}", *job_->reply_json_length, ids_.lines()));
    } else {
      http::reply_with(exchange_, 200, job_->reply_type, job_->reply, ids_.lines());
    }
    log_access(ids_, "infer", error ? http_status(error->code) : 200, core_.loop.now() - began_, error);
  }

  Core& core_;
  http::Exchange& exchange_;
  RequestIds ids_;
  TimePoint began_;
  std::shared_ptr<InferJob> job_;
  size_t held_ = 0;
  bool cheap_ = false, submitted_ = false, answered_ = false, failed_ = false;
};

}  // namespace

http::ExchangeHandler* serve_infer(Core& core, http::Exchange& exchange, const http::RequestHead& head,
                                   const InferQuestion& question) {
  return new InferCall(core, exchange, head, question);
}

}  // namespace colony::replica
