// Shared memory, trace and log settings are not offered: the dispatcher answers them UNIMPLEMENTED.
#include "request/proxy/builtin_grpc.h"

#include <algorithm>

#include "colony/version.h"
#include "inference/grpc_service.pb.h"
#include "transport/grpc/framing.h"
#include "transport/grpc/reflection.h"

namespace colony::proxy {
namespace {

constexpr std::string_view kService = "inference.GRPCInferenceService";
constexpr size_t kMostMessage = 64 * 1024;          // LIMIT: bytes of a message; larger ones are a replica's
constexpr size_t kMostBuffered = size_t{16} << 20;  // LIMIT: of unfinished ones, of a loop

std::string path(std::string_view method) { return "/" + std::string(kService) + "/" + std::string(method); }

template <class Request>
bool parse(std::string_view message, Request& request, grpc::UnaryCall& call) {
  if (request.ParseFromArray(message.data(), static_cast<int>(message.size()))) return true;
  call.finish(invalid_argument("the message is no " + Request::descriptor()->full_name(), "bad_message"));
  return false;
}

Error no_repository(std::string_view what) {
  return unimplemented(std::string(what) + ": models are deployed with the control API (colony apply)",
                       "not_supported");
}

}  // namespace

GrpcBuiltin::GrpcBuiltin(std::function<ServerView()> view)
    : view_(std::move(view)), dispatcher_({.max_message = kMostMessage, .max_buffered = kMostBuffered}) {
  dispatcher_.unary(path("ServerLive"), [](std::string_view message, grpc::UnaryCall& call) {
    inference::ServerLiveRequest request;
    if (!parse(message, request, call)) return;
    inference::ServerLiveResponse reply;
    reply.set_live(true);
    call.finish(reply.SerializeAsString());
  });
  dispatcher_.unary(path("ServerReady"), [this](std::string_view message, grpc::UnaryCall& call) {
    inference::ServerReadyRequest request;
    if (!parse(message, request, call)) return;
    inference::ServerReadyResponse reply;
    const ServerView v = view_();
    reply.set_ready(v.routes && !v.draining);
    call.finish(reply.SerializeAsString());
  });
  dispatcher_.unary(path("ServerMetadata"), [](std::string_view message, grpc::UnaryCall& call) {
    inference::ServerMetadataRequest request;
    if (!parse(message, request, call)) return;
    inference::ServerMetadataResponse reply;
    reply.set_name(std::string(kServerName));
    reply.set_version(COLONY_VERSION);
    for (std::string_view e : kExtensions) reply.add_extensions(std::string(e));
    call.finish(reply.SerializeAsString());
  });
  dispatcher_.unary(path("RepositoryIndex"), [this](std::string_view message, grpc::UnaryCall& call) {
    inference::RepositoryIndexRequest request;
    if (!parse(message, request, call)) return;
    inference::RepositoryIndexResponse reply;
    if (const ServerView v = view_(); v.routes) {
      for (const auto& m : v.routes->models()) {
        const bool ready = v.serves(m);
        if (request.ready() && !ready) continue;
        auto& index = *reply.add_models();
        index.set_name(m);
        index.set_version(std::string(v.routes->model_version(m)));
        index.set_state(ready ? "READY" : "UNAVAILABLE");
        if (!ready) index.set_reason("no replica is ready");
      }
    }
    call.finish(reply.SerializeAsString());
  });
  for (std::string_view method : {"RepositoryModelLoad", "RepositoryModelUnload"})
    dispatcher_.unary(path(method),
                      [method](std::string_view, grpc::UnaryCall& call) { call.finish(no_repository(method)); });
  health_.register_on(dispatcher_);
  grpc::register_reflection(dispatcher_);
}

void GrpcBuiltin::update() {
  const ServerView v = view_();
  const auto serving = v.routes && !v.draining ? grpc::Serving::kServing : grpc::Serving::kNotServing;
  health_.set("", serving);
  health_.set(kService, serving);
  std::vector<std::string> models = v.routes ? v.routes->models() : std::vector<std::string>{};
  for (const auto& old : known_)
    if (!std::binary_search(models.begin(), models.end(), old)) health_.remove(old);
  for (const auto& m : models) health_.set(m, serving);
  known_ = std::move(models);
}

std::string grpc_statistics(const std::vector<ModelCounts>& models) {
  inference::ModelStatisticsResponse reply;
  for (const ModelCounts& m : models) {
    auto& s = *reply.add_model_stats();
    s.set_name(m.model);
    s.set_version(m.version);
    s.set_inference_count(m.ok);
    s.set_execution_count(m.ok);
    s.mutable_inference_stats()->mutable_success()->set_count(m.ok);
    s.mutable_inference_stats()->mutable_success()->set_ns(m.ok_ns);
    s.mutable_inference_stats()->mutable_fail()->set_count(m.failed);
  }
  std::string out;
  grpc::append_message(out, reply.SerializeAsString());
  return out;
}

}  // namespace colony::proxy
