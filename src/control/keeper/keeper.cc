// Submissions: one after the other, each checked against all records, written, and only then acknowledged. How the host
// comes to do it is in assign.cc, what people are shown in present.cc.
#include "control/keeper/keeper.h"

#include <fmt/format.h>

#include "base/log.h"
#include "domain/spec_parse.h"
#include "store/memory.h"

namespace colony::keeper {

// Holds the turn of a change; the next one begins when it goes.
class Keeper::Turn {
 public:
  explicit Turn(Keeper& k) : k_(k) { k_.busy_ = true; }
  ~Turn() {
    k_.busy_ = false;
    k_.free_.notify();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Keeper& k_;
};

Keeper::Keeper(Deps deps, Options options)
    : deps_(deps), options_(options), scope_(deps.loop), work_(deps.loop), free_(deps.loop) {}
Keeper::~Keeper() = default;

async::Task<Result<void>> Keeper::start() {
  CO_TRY(term_, co_await deps_.store.begin_term());
  CO_TRY(auto entries, co_await deps_.store.load());
  for (store::AppEntry& e : entries) {
    Record r;
    auto spec = parse_app(SpecSource{e.spec_json, SpecFormat::kJson, {}, ModelPaths::kAny});
    if (spec)
      r.spec = std::move(*spec);
    else
      r.unreadable = to_error(spec.error()).message;
    if (!spec) LOG(error, "application {}: the kept spec cannot be read: {}", e.name, r.unreadable);
    std::string name = e.name;
    r.entry = std::move(e);
    records_.emplace(std::move(name), std::move(r));
  }
  LOG(info, "keeper begins term {} with {} application(s)", term_, records_.size());
  started_ = true;
  host_watch_ = deps_.host.watch([this](const AppStatus& s) { on_host_status(s); });
  host_connected_ = deps_.host.on_connected([this] { ask_host_again(); });
  scope_.spawn(assign_loop());
  co_return Result<void>{};
}

async::Task<void> Keeper::stop() {
  host_watch_.reset();
  host_connected_.reset();
  scope_.stop();
  free_.notify();
  co_await scope_.join();
  while (busy_ || waiting_ > 0) co_await deps_.loop.yield();  // changes that are being written end by themselves
}

Result<void> Keeper::may_change() const {
  if (!started_ || scope_.stopping()) return fail(unavailable("the keeper is stopping", "stopping"));
  if (fenced_)
    return fail(
        unavailable("this keeper's term is over: another keeper has taken the same store; ask that one", "fenced"));
  return {};
}

async::Task<Result<bool>> Keeper::take_turn() {
  CO_TRY_VOID(may_change());
  if (busy_ && waiting_ >= options_.max_waiting) {
    ++refused_;
    co_return fail(unavailable(fmt::format("{} changes wait already; try again", waiting_), "too_many_changes"));
  }
  ++waiting_;
  while (busy_ && !scope_.stopping()) co_await free_.wait(scope_);
  --waiting_;
  CO_TRY_VOID(may_change());
  co_return true;
}

Error Keeper::unknown_app(const std::string& app) const {
  std::string known;
  constexpr size_t kShown = 20;
  size_t shown = 0;
  for (const auto& [name, r] : records_) {
    if (shown++ == kShown) {
      known += ", ...";
      break;
    }
    known += (known.empty() ? "" : ", ") + name;
  }
  return not_found(fmt::format("there is no application {}; there {}", app, known.empty() ? "are none" : "is " + known),
                   "no_such_application");
}

// Names that another application has. One that is being deleted still holds its own until its replicas are gone.
Result<void> Keeper::check_conflicts(const AppSpec& spec) const {
  std::set<std::string> models;
  for (const DeploymentSpec& d : spec.deployments)
    for (std::string& m : spec.model_names(d)) {
      auto [at, fresh] = models.insert(std::move(m));
      if (!fresh)
        return fail(already_exists(
            fmt::format("application {}: the model name {} is used by two of its own deployments", spec.name, *at),
            "model_name_taken"));
    }
  std::set<std::string> services, hosts(spec.hosts.begin(), spec.hosts.end());
  for (const DeploymentSpec& d : spec.deployments)
    for (const std::string& s : d.grpc_services)
      if (!services.insert(s).second)
        return fail(already_exists(fmt::format("application {}: the gRPC service {} is listed twice", spec.name, s),
                                   "grpc_service_taken"));
  for (const auto& [name, r] : records_) {
    if (name == spec.name || !r.spec) continue;
    const std::string owner = r.entry.removing
                                  ? fmt::format("application {}, which is being deleted; try again shortly", name)
                                  : fmt::format("application {}", name);
    if (!spec.route_prefix.empty() && spec.route_prefix == r.spec->route_prefix)
      return fail(already_exists(
          fmt::format("application {}: route_prefix {} belongs to {}", spec.name, spec.route_prefix, owner),
          "route_prefix_taken"));
    for (const std::string& h : r.spec->hosts)
      if (hosts.contains(h))
        return fail(already_exists(fmt::format("application {}: the host {} belongs to {}", spec.name, h, owner),
                                   "host_taken"));
    for (const DeploymentSpec& d : r.spec->deployments)
      for (const std::string& s : d.grpc_services)
        if (services.contains(s))
          return fail(
              already_exists(fmt::format("application {}: the gRPC service {} belongs to {}", spec.name, s, owner),
                             "grpc_service_taken"));
    for (const DeploymentSpec& d : r.spec->deployments)
      for (const std::string& m : r.spec->model_names(d))
        if (models.contains(m))
          return fail(already_exists(
              fmt::format("application {}: the model name {} belongs to {}", spec.name, m, owner), "model_name_taken"));
  }
  return {};
}

async::Task<Result<Change>> Keeper::apply(AppSpec spec, ChangeOptions options) {
  CO_TRY([[maybe_unused]] const bool turn, co_await take_turn());
  const Turn mine(*this);
  co_return co_await change(std::move(spec), options);
}

async::Task<Result<Change>> Keeper::scale(std::string app, std::string deployment, int replicas,
                                          ChangeOptions options) {
  CO_TRY([[maybe_unused]] const bool turn, co_await take_turn());
  const Turn mine(*this);
  auto it = records_.find(app);
  if (it == records_.end() || it->second.entry.removing) co_return fail(unknown_app(app));
  if (!it->second.spec)
    co_return fail(failed_precondition("the kept spec cannot be read; apply the application again"));
  AppSpec after = *it->second.spec;
  for (DeploymentSpec& d : after.deployments)
    if (d.name == deployment) {
      if (d.external())
        co_return fail(failed_precondition(
            fmt::format(
                "deployment {} is external: its replicas are the addresses of its backend; apply it with others",
                deployment),
            "external_deployment"));
      d.num_replicas = replicas;
      co_return co_await change(std::move(after), options);
    }
  std::string known;
  for (const DeploymentSpec& d : after.deployments) known += (known.empty() ? "" : ", ") + d.name;
  co_return fail(not_found(fmt::format("application {} has no deployment {}; it has {}", app, deployment, known),
                           "no_such_deployment"));
}

// With the turn.
async::Task<Result<Change>> Keeper::change(AppSpec after, ChangeOptions options) {
  auto it = records_.find(after.name);
  const Record* before = it == records_.end() ? nullptr : &it->second;
  const uint64_t found = before == nullptr ? 0 : before->entry.revision;
  if (options.expected_revision && *options.expected_revision != found)
    co_return fail(store::conflict_error(after.name, *options.expected_revision, found));
  if (before == nullptr && records_.size() >= options_.max_apps)
    co_return fail(resource_exhausted(
        fmt::format("there are {} applications already, which is the limit; delete one first", records_.size()),
        "too_many_applications"));
  CO_TRY_VOID(check_conflicts(after));

  Change result{after.name, found, false, {}};
  const bool live = before != nullptr && !before->entry.removing && before->spec;
  result.plan = make_plan(live ? &*before->spec : nullptr, &after);
  if (live && result.plan.empty() && before->reported && before->reported->status == "DEPLOY_FAILED" &&
      before->reported->revision == found)
    result.plan.push_back({PlanAction::Kind::kRetry, after.name, {}, {}, {}, {}});
  if (result.plan.empty() || options.dry_run) co_return result;

  store::AppEntry entry = before == nullptr ? store::AppEntry{} : before->entry;
  entry.name = after.name;
  entry.spec_json = to_json_text(after);
  entry.revision = found + 1;
  entry.removing = false;
  entry.updated = deps_.loop.wall_now();
  if (before == nullptr) entry.created = entry.updated;
  auto written = co_await deps_.store.put(term_, std::move(entry), found,
                                          before == nullptr ? store::Epoch::kNext : store::Epoch::kKeep);
  if (!written) {
    note_store_error(written.error());
    co_return fail(std::move(written).error());
  }
  result.revision = written->revision;
  result.changed = true;
  Record& r = records_[after.name];
  r.entry = std::move(*written);
  r.spec = std::move(after);
  r.unreadable.clear();
  r.assigned = false;
  LOG(info, "application {}: revision {} accepted", result.name, result.revision);
  tell(result.name);
  work_.notify();
  co_return result;
}

async::Task<Result<Change>> Keeper::remove(std::string app, ChangeOptions options) {
  CO_TRY([[maybe_unused]] const bool turn, co_await take_turn());
  const Turn mine(*this);
  auto it = records_.find(app);
  if (it == records_.end()) co_return fail(unknown_app(app));
  const Record& before = it->second;
  const uint64_t found = before.entry.revision;
  if (options.expected_revision && *options.expected_revision != found)
    co_return fail(store::conflict_error(app, *options.expected_revision, found));
  Change result{app, found, false, {}};
  if (before.entry.removing) co_return result;
  AppSpec none;
  none.name = app;
  result.plan = make_plan(before.spec ? &*before.spec : &none, nullptr);
  if (options.dry_run) co_return result;
  store::AppEntry entry = before.entry;
  entry.removing = true;
  entry.revision = found + 1;
  entry.updated = deps_.loop.wall_now();
  auto written = co_await deps_.store.put(term_, std::move(entry), found, store::Epoch::kKeep);
  if (!written) {
    note_store_error(written.error());
    co_return fail(std::move(written).error());
  }
  result.revision = written->revision;
  result.changed = true;
  Record& r = records_[app];
  r.entry = std::move(*written);
  r.assigned = false;
  LOG(info, "application {}: deletion accepted", app);
  tell(app);
  work_.notify();
  co_return result;
}

void Keeper::note_store_error(const Error& error) {
  LOG(error, "keeper: the store refused a write: {}", error.message);
  if (error.reason == "fenced") fenced_ = true;
}

}  // namespace colony::keeper
