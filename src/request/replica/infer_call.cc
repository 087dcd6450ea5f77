// The body stays in one string that the job then owns; nothing is copied between the network buffer and the codec but once,
// unless more is promised at a time than room is made for.
#include "request/replica/infer_call.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <new>

#include "transport/http/made_reply.h"

namespace colony::replica {
namespace {

constexpr uint64_t kMostPackedHere = 16 * 1024;  // LIMIT: bytes of a request whose reply may be compressed on the loop
// LIMIT: bytes of a request that is read on the loop, of its JSON, and of the JSON of a prediction, whose values are read
// as a tree.
constexpr size_t kMostHere = size_t{1} << 20, kMostJsonHere = 64 * 1024, kMostPredictHere = 4 * 1024;
constexpr size_t kRoomAtOnce = 64 * 1024;            // LIMIT: bytes for which room is made whoever promises them
constexpr size_t kMostPromised = size_t{256} << 20;  // LIMIT: of bodies that are larger, all together

// Where memory is bounded by what is asked for, not by what is used, other requests must find some too.
size_t most_promised() {
  rlimit data{};
  if (::getrlimit(RLIMIT_DATA, &data) != 0 || data.rlim_cur == RLIM_INFINITY) return kMostPromised;
  return std::min<size_t>(kMostPromised, data.rlim_cur / 8);
}

class InferCall final : public http::ExchangeHandler, public InferClient {
 public:
  InferCall(Core& core, http::Exchange& exchange, const http::RequestHead& head, const InferQuestion& question)
      : core_(core),
        exchange_(exchange),
        ids_(core, head),
        began_(core.loop.now()),
        job_(InferJob::make(core, question.form, *this)) {
    core_.opened();
    job_->model = question.model;
    job_->json_length = question.json_length;
    job_->deadline = core_.deadline_for(exchange.deadline());
    const auto* const type = head.find(http::Name::kContentType);
    if (question.form == InferForm::kTransform && type) job_->content_type = type->value;
    job_->coding = question.coding;
    job_->reply_coding = question.reply_coding;
    job_->max_body = core_.max_body;
    // Packing and unpacking take time that only a thread of the pool has, unless there is little of it.
    const bool packs = question.coding != compress::Coding::kIdentity ||
                       (question.reply_coding != compress::Coding::kIdentity &&
                        head.content_length.value_or(kMostPackedHere + 1) > kMostPackedHere);
    cheap_ = question.form != InferForm::kTransform && core_.table->cheap && !packs;
    job_->make_body();
    if (!head.content_length) return;
    if (*head.content_length > core_.max_body)
      refuse_size();
    else
      make_room(*head.content_length);
  }

  // A large body has all its room at once as long as few of them are on their way; else its string grows as it comes, so
  // that mere promises take no memory.
  void make_room(size_t length) {
    constexpr size_t kPadding = 64 + 16;  // the JSON parser reads a little beyond the end; room to align
    size_t room = length;
    if (length > kRoomAtOnce) {
      if (core_.promised + length <= most_promised())
        core_.promised += promised_ = length;
      else
        room = kRoomAtOnce;
    }
    try {
      job_->body->reserve(room + kPadding);
    } catch (const std::bad_alloc&) {
      keep_promise();  // perhaps it never comes
    }
    if (job_->coding == compress::Coding::kIdentity && job_->json_length.value_or(0) <= length)
      job_->align_tensors(*job_->body);
  }

  void on_body(std::string_view data) override {
    exchange_.consumed(data.size());
    if (answered_) return;
    if (held_ + data.size() > core_.max_body) return refuse_size();
    if (core_.buffered + data.size() > core_.max_buffered) {
      Error e = unavailable(fmt::format("request bodies of {} bytes are being held; no room for more", core_.buffered),
                            "replica_full");
      e.retry = Retry::kYes;
      return answer(&e);
    }
    core_.buffered += data.size();
    held_ += data.size();
    try {
      job_->body->append(data);
    } catch (const std::bad_alloc&) {
      const Error e = out_of_memory();
      answer(&e);
    }
  }

  void on_end(std::string_view) override {
    if (answered_) return;
    submitted_ = true;
    keep_promise();
    core_.inbox.submit(job_, cheap_ && is_small() ? Inbox::Cost::kCheap : Inbox::Cost::kHeavy);
  }

  void on_inferred(const Error* error) override { answer(error); }

  void on_done(bool ok) override {
    if (submitted_) core_.inbox.abandon(job_);
    job_->forget_client();
    core_.buffered -= held_;
    keep_promise();
    core_.closed(failed_ || !ok);
    InferJob::give_back(std::move(job_));
    core_.calls.destroy(this);
  }

 private:
  void keep_promise() { core_.promised -= std::exchange(promised_, 0); }
  bool is_small() const {
    if (job_->form() == InferForm::kPredict) return held_ <= kMostPredictHere;
    return held_ <= kMostHere && job_->json_length.value_or(held_) <= kMostJsonHere;
  }
  void refuse_size() {
    refuse_size(invalid_argument(fmt::format("a body of more than {} bytes", core_.max_body), "body_too_large"));
  }
  void refuse_size(const Error& error) {
    answered_ = failed_ = true;
    reply_error_as(exchange_, 413, error, ids_.lines());
    log_access(ids_, "infer", 413, core_.loop.now() - began_, nullptr);
  }

  void answer(const Error* error) {
    if (answered_) return;
    if (error && error->reason == "body_too_large") return refuse_size(*error);  // it became so when it was unpacked
    answered_ = true;
    failed_ = error != nullptr;
    if (error) {
      http::reply_error(exchange_, false, *error, ids_.lines());
    } else {
      answer_well();
    }
    log_access(ids_, "infer", error ? http_status(error->code) : 200, core_.loop.now() - began_, error);
  }

  void answer_well() {
    ShortText<512> head;
    head.append("HTTP/1.1 200 OK\r\ncontent-type: ", job_->reply_type, "\r\ncontent-length: ");
    head.append_number(job_->reply.size());
    if (job_->reply_json_length) {
      head.append("\r\ninference-header-content-length: ");
      head.append_number(*job_->reply_json_length);
    }
    if (job_->reply_packed) head.append("\r\ncontent-encoding: ", compress::to_string(job_->reply_coding));
    head.append("\r\n", ids_.lines(), "\r\n");
    // A transform's content type is its author's: then the carrier looks at the head.
    if (job_->form() == InferForm::kTransform)
      exchange_.reply(head, job_->reply, http::More::kNo);
    else
      http::reply_made(exchange_, 200, head, job_->reply.size(), job_->reply, http::More::kNo);
  }

  Core& core_;
  http::Exchange& exchange_;
  RequestIds ids_;
  TimePoint began_;
  std::shared_ptr<InferJob> job_;
  size_t held_ = 0;      // of core_.buffered
  size_t promised_ = 0;  // of core_.promised
  bool cheap_ = false, submitted_ = false, answered_ = false, failed_ = false;
};

}  // namespace

http::ExchangeHandler* serve_infer(Core& core, http::Exchange& exchange, const http::RequestHead& head,
                                   const InferQuestion& question) {
  return core.calls.make<InferCall>(core, exchange, head, question);
}

}  // namespace colony::replica
