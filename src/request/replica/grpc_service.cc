// Messages are bytes here; runtime/oip knows protobuf.
#include "request/replica/grpc_service.h"

#include <deque>
#include <new>

#include "request/replica/infer_job.h"
#include "request/replica/oip_service.h"
#include "transport/grpc/reflection.h"

namespace colony::replica {
namespace {

namespace oip = runtime::oip;

constexpr std::string_view kService = "inference.GRPCInferenceService";
constexpr size_t kStreamInFlight = 32;             // LIMIT: requests of one ModelStreamInfer not answered yet
constexpr size_t kStreamBytes = size_t{16} << 20;  // LIMIT: of these requests and of answers that wait for the client

constexpr size_t kStreamErrorBytes = 4096;     // LIMIT: of error_message, as of grpc-message
constexpr size_t kMostHere = size_t{1} << 20;  // LIMIT: bytes of a message that is read on the loop
constexpr size_t kMostPlain = 64 * 1024;       // LIMIT: bytes of a message that is no inference

// Packing, unpacking and reading large messages take time that only a thread of the pool has.
Inbox::Cost cost(const Core& core, const grpc::Call& call, size_t message_bytes) {
  const bool plain =
      call.message_coding() == compress::Coding::kIdentity && call.reply_coding() == compress::Coding::kIdentity;
  return core.table->cheap && plain && message_bytes <= kMostHere ? Inbox::Cost::kCheap : Inbox::Cost::kHeavy;
}

void set_codings(InferJob& job, const grpc::Call& call) {
  job.coding = call.message_coding();
  job.reply_coding = call.reply_coding();
  job.max_body = grpc::DispatcherOptions().max_message;
}

// A message that is kept for the pool's threads, counted with the bodies that the replica holds.
class KeptMessage {
 public:
  explicit KeptMessage(Core& core) : core_(core) {}
  ~KeptMessage() { core_.buffered -= bytes_; }
  KeptMessage(const KeptMessage&) = delete;
  KeptMessage& operator=(const KeptMessage&) = delete;

  // False: there is no memory for it.
  bool keep(InferJob& job, grpc::Call& call, std::string_view message) {
    try {
      auto body = std::make_shared<std::string>(call.take_message(message));
      job.keep_sent(std::move(body), message);
    } catch (const std::bad_alloc&) {
      return false;
    }
    core_.buffered += bytes_ = message.size();
    return true;
  }

 private:
  Core& core_;
  size_t bytes_ = 0;
};

grpc::Packed packed(const InferJob& job) { return job.reply_packed ? grpc::Packed::kYes : grpc::Packed::kNo; }

// ModelInfer: lives until the call is finished.
class UnaryInfer final : public InferClient {
 public:
  UnaryInfer(Core& core, grpc::UnaryCall& call)
      : core_(core), call_(call), kept_(core), job_(InferJob::make(core, InferForm::kGrpc, *this)) {
    core_.opened();
    job_->deadline = core_.deadline_for(call.deadline());
    set_codings(*job_, call);
  }
  void start(std::string_view message) {
    cost_ = cost(core_, call_, message.size());
    if (cost_ == Inbox::Cost::kCheap) {
      job_->message = job_->sent = message;
    } else if (!kept_.keep(*job_, call_, message)) {
      const Error e = grpc::no_memory_for_message();
      return on_inferred(&e);
    }
    auto job = job_;
    call_.on_cancel([this] {
      job_->count_if_late();
      core_.inbox.abandon(job_);
      job_->forget_client();
      const Error e = cancelled("the client has gone");
      on_inferred(&e);
    });
    core_.inbox.submit(job, cost_);
    InferJob::give_back(std::move(job));  // this may be gone by now, and then nobody else holds it
  }
  void on_inferred(const Error* error) override {
    core_.closed(error != nullptr);
    auto& call = call_;
    const auto job = job_;
    core_.calls.destroy(this);
    if (error)
      call.finish(*error);
    else
      call.finish(job->reply, packed(*job));
  }

 private:
  Core& core_;
  grpc::UnaryCall& call_;
  KeptMessage kept_;
  std::shared_ptr<InferJob> job_;
  Inbox::Cost cost_ = Inbox::Cost::kHeavy;
};

// Ends with a whole character: protobuf's strings are UTF-8.
std::string_view cut(std::string_view text, size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  return text.substr(0, most);
}

// ModelStreamInfer: answers leave in the order of the requests; an error is an answer and does not end the stream. What the
// inbox has no place for stays with the client: one request waits here, the window of the stream closes behind it.
class StreamInfer final : public grpc::StreamHandler, public RoomWaiter {
 public:
  StreamInfer(Core& core, grpc::StreamCall& call) : core_(core), call_(call) { core_.opened(); }
  ~StreamInfer() override {
    if (waits_for_room_) core_.inbox.forget(*this);
    for (const auto& p : pending_) {
      p->job->count_if_late();
      core_.inbox.abandon(p->job);
      p->job->forget_client();
    }
    core_.closed(false);
  }

  void on_message(std::string_view message) override {
    if (auto ok = core_.servable(); !ok) return call_.finish(ok.error());
    auto pending = std::make_unique<Pending>(*this);
    pending->job = InferJob::make(core_, InferForm::kGrpcStream, *pending);
    pending->job->deadline = core_.deadline_for(call_.deadline());
    set_codings(*pending->job, call_);
    const size_t size = message.size();
    if (!pending->kept.keep(*pending->job, call_, message)) return call_.finish(grpc::no_memory_for_message());
    pending->cost = cost(core_, call_, size);
    pending->hold(size);
    pending_.push_back(std::move(pending));
    if (pending_.back()->cost == Inbox::Cost::kHeavy && !core_.inbox.has_room()) {
      waits_for_room_ = true;
      core_.inbox.await_room(*this);
      return pause_or_resume();
    }
    submit_last();
  }
  void on_room() override {
    waits_for_room_ = false;
    submit_last();
  }
  void on_half_close() override {
    half_closed_ = true;
    flush();
  }
  void on_writable() override { flush(); }

 private:
  struct Pending final : InferClient {
    explicit Pending(StreamInfer& s) : stream(s), kept(s.core_) {}
    void on_inferred(const Error* error) override {
      answer = error ? error_answer(*error) : std::move(job->reply);
      hold(answer.size());
      done = true;
      stream.flush();
    }
    std::string error_answer(const Error& error) const {
      if (error.message.size() <= kStreamErrorBytes) return oip::write_stream_error(error, job->request_id());
      Error shown = error;
      shown.message = cut(error.message, kStreamErrorBytes);
      return oip::write_stream_error(shown, job->request_id());
    }
    void hold(size_t n) {
      stream.held_ += n - bytes;
      bytes = n;
    }
    StreamInfer& stream;
    KeptMessage kept;
    std::shared_ptr<InferJob> job;
    std::string answer;
    size_t bytes = 0;  // of the stream's held_
    Inbox::Cost cost = Inbox::Cost::kHeavy;
    bool done = false;
  };

  void submit_last() {
    auto job = pending_.back()->job;
    const auto cost = pending_.back()->cost;
    core_.inbox.submit(job, cost);
    InferJob::give_back(std::move(job));
    pause_or_resume();
  }
  bool full() const { return pending_.size() >= kStreamInFlight || held_ >= kStreamBytes; }
  void pause_or_resume() {
    const bool pause = full() || waits_for_room_;
    if (finished_ || pause == paused_) return;
    paused_ = pause;
    if (pause)
      call_.pause();
    else
      call_.resume();
  }
  void flush() {
    if (finished_) return;
    while (!pending_.empty() && pending_.front()->done && call_.writable() > 0) {
      const auto front = std::move(pending_.front());
      pending_.pop_front();
      front->hold(0);
      call_.send(front->answer, packed(*front->job));
    }
    pause_or_resume();
    if (!finished_ && half_closed_ && pending_.empty()) {
      finished_ = true;
      call_.finish();
    }
  }

  Core& core_;
  grpc::StreamCall& call_;
  std::deque<std::unique_ptr<Pending>> pending_;
  size_t held_ = 0;
  bool half_closed_ = false, finished_ = false, paused_ = false, waits_for_room_ = false;
};

std::string path(std::string_view method) { return "/" + std::string(kService) + "/" + std::string(method); }

// A method about one model: what `write` makes of it.
template <class F>
grpc::UnaryFn about_model(Core& core, F write) {
  return [&core, write](std::string_view message, grpc::UnaryCall& call) {
    if (auto ok = core.servable(); !ok) return call.finish(ok.error());
    const auto named = oip::parse_named_model(message);
    if (!named) return call.finish(named.error());
    const auto model = core.table->get(named->name, named->version);
    if (!model) return call.finish(model.error());
    call.finish(write(**model));
  };
}

}  // namespace

GrpcService::GrpcService(Core& core)
    : core_(core),
      dispatcher_({.max_plain = kMostPlain,
                   .max_buffered = core.max_buffered,
                   .full_reason = "replica_full",
                   .buffered = &core.buffered,
                   .echoed = {{http::Name::kXRequestId, "x-request-id"}, {http::Name::kTraceparent, "traceparent"}}}),
      look_(core.loop, [this] { show_state(); }) {
  // First, since it is asked for most.
  dispatcher_.unary(
      path("ModelInfer"),
      [&core](std::string_view message, grpc::UnaryCall& call) {
        if (auto ok = core.servable(); !ok) return call.finish(ok.error());
        core.calls.make<UnaryInfer>(core, call)->start(message);  // deletes itself when the call is finished
      },
      grpc::Messages::kAsSent);
  dispatcher_.unary(path("ServerLive"), [&core](std::string_view, grpc::UnaryCall& call) {
    call.finish(oip::flag_message(is_live(core)));
  });
  dispatcher_.unary(path("ServerReady"), [&core](std::string_view, grpc::UnaryCall& call) {
    call.finish(oip::flag_message(is_ready(core)));
  });
  dispatcher_.unary(path("ServerMetadata"),
                    [](std::string_view, grpc::UnaryCall& call) { call.finish(oip::server_message()); });
  dispatcher_.unary(path("ModelReady"), [&core](std::string_view message, grpc::UnaryCall& call) {
    const auto named = oip::parse_named_model(message);
    if (!named) return call.finish(named.error());
    // A model that is not here is not ready: that is an answer, not an error.
    call.finish(oip::flag_message(is_ready(core) && core.table->get(named->name, named->version).has_value()));
  });
  dispatcher_.unary(path("ModelMetadata"),
                    about_model(core, [](const LoadedModel& m) { return oip::model_message(m.model->info()); }));
  dispatcher_.unary(path("ModelConfig"), about_model(core, [&core](const LoadedModel& m) {
                      return oip::config_message(m.model->info(), core.spec.max_ongoing_requests);
                    }));
  dispatcher_.unary(path("ModelStatistics"), [&core](std::string_view message, grpc::UnaryCall& call) {
    if (auto ok = core.servable(); !ok) return call.finish(ok.error());
    const auto named = oip::parse_named_model(message);
    if (!named) return call.finish(named.error());
    if (named->name.empty()) return call.finish(oip::statistics_message(model_statistics(core, nullptr)));
    const auto model = core.table->get(named->name, named->version);
    if (!model) return call.finish(model.error());
    call.finish(oip::statistics_message(model_statistics(core, *model)));
  });
  dispatcher_.unary(path("RepositoryIndex"), [&core](std::string_view message, grpc::UnaryCall& call) {
    const auto only_ready = oip::parse_index_wants_ready(message);
    if (!only_ready) return call.finish(only_ready.error());
    auto index = model_index(core);
    if (*only_ready) std::erase_if(index, [](const oip::IndexEntry& e) { return e.state != "READY"; });
    call.finish(oip::index_message(index));
  });
  for (const char* method : {"RepositoryModelLoad", "RepositoryModelUnload"})
    dispatcher_.unary(path(method), [](std::string_view, grpc::UnaryCall& call) {
      call.finish(
          unimplemented("models are loaded and unloaded by applying the application's spec, not here", "use_apply"));
    });
  dispatcher_.streaming(
      path("ModelStreamInfer"),
      [&core](grpc::StreamCall& call) -> std::unique_ptr<grpc::StreamHandler> {
        return std::make_unique<StreamInfer>(core, call);
      },
      grpc::Messages::kAsSent);
  health_.register_on(dispatcher_);
  grpc::register_reflection(dispatcher_);
  core_.inbox.on_late = [this] { show_state(); };
  show_state();
}

GrpcService::~GrpcService() { core_.inbox.on_late = nullptr; }

void GrpcService::show_state() {
  if (core_.lifecycle.state() == ReplicaState::kDraining) return health_.shut_down();
  const auto serving = is_ready(core_) ? grpc::Serving::kServing : grpc::Serving::kNotServing;
  health_.set("", serving);
  health_.set(kService, serving);
  const auto late_since = core_.inbox.late_since();
  if (!late_since || core_.stuck()) return look_.cancel();
  look_.arm(*late_since + from_seconds(core_.spec.health_check_timeout_s) + 1ms);
}

}  // namespace colony::replica
