// Both ends of proto/colony/master/v1: the service over a Host, and RemoteHost over rpc::Client.
#include <algorithm>
#include <list>
#include <map>

#include "base/log.h"
#include "colony/master/v1/master.pb.h"
#include "control/master/remote.h"
#include "control/master/service.h"
#include "domain/spec_parse.h"
#include "domain/status_json.h"

namespace colony::master {
namespace {

namespace wire = colony::master::v1;
constexpr std::string_view kService = "colony.master.v1.Host";
constexpr Duration kCall = 10s;

async::Task<Result<std::string>> serve_assign(Host& host, std::string bytes) {
  wire::AssignRequest request;
  if (!request.ParseFromString(bytes)) co_return fail(invalid_argument("AssignRequest does not parse"));
  auto spec = parse_app({request.app_json(), SpecFormat::kJson, {}, ModelPaths::kAny});
  if (!spec) co_return fail(to_error(spec.error()));
  CO_TRY_VOID(co_await host.assign({std::move(*spec), request.revision(), request.epoch(), request.remove()}));
  co_return wire::AssignReply().SerializeAsString();
}

async::Task<Result<std::string>> serve_list(Host& host) {
  CO_TRY(auto all, co_await host.list());
  wire::ListReply reply;
  for (const auto& status : all) reply.add_status_json(to_json_text(status));
  co_return reply.SerializeAsString();
}

// Statuses queue here while the keeper reads slowly; only the latest of each app is kept, so the queue is bounded by the apps.
async::Task<void> serve_watch(async::Loop& loop, Host& host, rpc::SendFn send) {
  std::map<std::string, AppStatus> latest;
  async::Scope scope(loop);
  async::Signal more(loop);
  auto subscription = host.watch([&](const AppStatus& s) {
    latest[s.name] = s;
    more.notify();
  });
  bool open = true;
  while (open) {
    auto batch = std::move(latest);
    latest.clear();
    for (auto& [app, status] : batch) {
      wire::StatusChange change;
      change.set_status_json(to_json_text(status));
      open = open && co_await send(change.SerializeAsString());
    }
    if (open && latest.empty() && !co_await more.wait(scope, Deadline::after(loop.now(), 1s))) open = co_await send("");
  }
}

}  // namespace

void mount_host(http::Router& router, async::Loop& loop, Host& host) {
  rpc::mount(router, kService, "Assign", [&host](std::string b) { return serve_assign(host, std::move(b)); });
  rpc::mount(router, kService, "List", [&host](std::string) { return serve_list(host); });
  rpc::mount_stream(router, kService, "Watch",
                    [&host, &loop](std::string, rpc::SendFn send) { return serve_watch(loop, host, std::move(send)); });
}

struct RemoteHost::State {
  template <class Fn>
  class Listener : public Subscription {
   public:
    Listener(std::list<Listener*>& all, Fn fn) : all_(all), fn(std::move(fn)) { all_.push_back(this); }
    ~Listener() override { all_.remove(this); }
    std::list<Listener*>& all_;
    Fn fn;
  };
  using StatusListener = Listener<std::function<void(const AppStatus&)>>;
  using ConnectListener = Listener<std::function<void()>>;

  State(async::Loop& l, async::Endpoint a) : loop(l), rpc(l, std::move(a)), scope(l) {}
  async::Task<void> follow();

  async::Loop& loop;
  rpc::Client rpc;
  async::Scope scope;
  std::list<StatusListener*> status_listeners;
  std::list<ConnectListener*> connect_listeners;
};

// Keeps one Watch stream open; a broken one is opened again after a short, growing pause.
async::Task<void> RemoteHost::State::follow() {
  Duration pause = 20ms;
  while (!scope.stopping()) {
    auto reached = co_await rpc.call(kService, "List", wire::ListRequest().SerializeAsString(),
                                     Deadline::after(loop.now(), kCall));
    if (reached && !scope.stopping()) {
      pause = 20ms;
      for (auto* l : std::list<ConnectListener*>(connect_listeners)) l->fn();
      auto ended = co_await rpc.stream(
          kService, "Watch", wire::WatchRequest().SerializeAsString(), [this](std::string_view bytes) {
            wire::StatusChange change;
            if (scope.stopping() || !change.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return false;
            if (change.status_json().empty()) return true;
            auto status = app_status_from_json(change.status_json());
            if (!status) return false;
            for (auto* l : std::list<StatusListener*>(status_listeners)) l->fn(*status);
            return true;
          });
      if (!ended) LOG(info, "master host: {}", ended.error().message);
    }
    if (!co_await scope.sleep(pause)) co_return;
    pause = std::min<Duration>(pause * 2, 1s);
  }
}

RemoteHost::RemoteHost(async::Loop& loop, async::Endpoint address)
    : state_(std::make_unique<State>(loop, std::move(address))) {
  state_->scope.spawn(state_->follow());
}
RemoteHost::~RemoteHost() = default;

async::Task<void> RemoteHost::stop() {
  state_->scope.stop();
  state_->rpc.close();  // ends the stream that follow() reads
  co_await state_->scope.join();
}

async::Task<Result<void>> RemoteHost::assign(Assignment assignment) {
  wire::AssignRequest request;
  request.set_app_json(to_json_text(assignment.spec));
  request.set_revision(assignment.revision);
  request.set_epoch(assignment.epoch);
  request.set_remove(assignment.remove);
  CO_TRY(auto bytes, co_await state_->rpc.call(kService, "Assign", request.SerializeAsString(),
                                               Deadline::after(state_->loop.now(), kCall)));
  (void)bytes;
  co_return Result<void>{};
}

async::Task<Result<std::vector<AppStatus>>> RemoteHost::list() {
  CO_TRY(auto bytes, co_await state_->rpc.call(kService, "List", wire::ListRequest().SerializeAsString(),
                                               Deadline::after(state_->loop.now(), kCall)));
  wire::ListReply reply;
  if (!reply.ParseFromString(bytes)) co_return fail(data_loss("the master host's ListReply does not parse"));
  std::vector<AppStatus> out;
  for (const auto& text : reply.status_json()) {
    CO_TRY(auto status, app_status_from_json(text));
    out.push_back(std::move(status));
  }
  co_return out;
}

std::unique_ptr<Subscription> RemoteHost::watch(std::function<void(const AppStatus&)> on_status) {
  return std::make_unique<State::StatusListener>(state_->status_listeners, std::move(on_status));
}

std::unique_ptr<Subscription> RemoteHost::on_connected(std::function<void()> fn) {
  return std::make_unique<State::ConnectListener>(state_->connect_listeners, std::move(fn));
}

}  // namespace colony::master
