// See health.h.
#include "transport/grpc/health.h"

#include <fmt/core.h>

#include <functional>
#include <map>
#include <set>

#include "grpc/health/v1/health.pb.h"

namespace colony::grpc {

namespace pb = ::grpc::health::v1;

struct Health::State {
  std::map<std::string, Serving, std::less<>> services;
  std::set<Watcher*> watchers;
  bool shut_down = false;

  void tell(std::string_view service);
};

namespace {

Result<std::string> parse_service(std::string_view message) {
  pb::HealthCheckRequest request;
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return fail(invalid_argument("the message is not a HealthCheckRequest"));
  }
  return std::move(*request.mutable_service());
}

std::string answer(pb::HealthCheckResponse::ServingStatus status) {
  pb::HealthCheckResponse reply;
  reply.set_status(status);
  return reply.SerializeAsString();
}

}  // namespace

// One Watch call. Owned by its call; the State only knows of it.
class Health::Watcher final : public StreamHandler {
 public:
  Watcher(State& state, StreamCall& call) : state_(state), call_(call) { state_.watchers.insert(this); }
  ~Watcher() override { state_.watchers.erase(this); }

  void on_message(std::string_view message) override {
    if (service_) return call_.finish(invalid_argument("Watch takes one request"));
    auto service = parse_service(message);
    if (!service) return call_.finish(service.error());
    service_ = std::move(*service);
    tell();
  }
  // A watcher goes on after its client's half close; without a request there is nothing to watch.
  void on_half_close() override {
    if (!service_) call_.finish(invalid_argument("Watch takes one request"));
  }
  void on_writable() override { tell(); }

  bool watches(std::string_view service) const { return service_ == service; }
  // Only the newest status matters: a client that does not read gets it when it does.
  void tell() {
    if (!service_ || call_.writable() <= 0) return;
    const auto it = state_.services.find(*service_);
    const auto now = it == state_.services.end() ? pb::HealthCheckResponse::SERVICE_UNKNOWN
                                                 : static_cast<pb::HealthCheckResponse::ServingStatus>(it->second);
    if (told_ == now) return;
    told_ = now;
    call_.send(answer(now));
  }

 private:
  State& state_;
  StreamCall& call_;
  std::optional<std::string> service_;
  std::optional<pb::HealthCheckResponse::ServingStatus> told_;
};

void Health::State::tell(std::string_view service) {
  for (Watcher* w : watchers) {
    if (w->watches(service)) w->tell();
  }
}

Health::Health() : state_(std::make_unique<State>()) {}
Health::~Health() = default;

void Health::register_on(Dispatcher& dispatcher) {
  State& state = *state_;
  dispatcher.unary("/grpc.health.v1.Health/Check", [&state](std::string_view message, UnaryCall& call) {
    const auto service = parse_service(message);
    if (!service) return call.finish(service.error());
    const auto it = state.services.find(*service);
    if (it == state.services.end()) {
      return call.finish(not_found(fmt::format("service \"{}\" is not known here", *service), "no_service"));
    }
    call.finish(answer(static_cast<pb::HealthCheckResponse::ServingStatus>(it->second)));
  });
  dispatcher.streaming("/grpc.health.v1.Health/Watch", [&state](StreamCall& call) -> std::unique_ptr<StreamHandler> {
    return std::make_unique<Watcher>(state, call);
  });
}

void Health::set(std::string_view service, Serving status) {
  if (state_->shut_down) return;
  state_->services.insert_or_assign(std::string(service), status);
  state_->tell(service);
}

void Health::remove(std::string_view service) {
  const auto it = state_->services.find(service);
  if (it == state_->services.end()) return;
  state_->services.erase(it);
  state_->tell(service);
}

void Health::shut_down() {
  state_->shut_down = true;
  for (auto& [name, status] : state_->services) {
    status = Serving::kNotServing;
    state_->tell(name);
  }
}

}  // namespace colony::grpc
