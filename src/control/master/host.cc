// Masters come with an assignment and go when their app is removed or a newer epoch has fenced them.
#include "control/master/host.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"

namespace colony::master {

class LocalHost::Watch : public Subscription {
 public:
  Watch(LocalHost& host, std::function<void(const AppStatus&)> fn) : host_(host), fn_(std::move(fn)) {
    host_.watches_.push_back(this);
  }
  ~Watch() override { host_.watches_.remove(this); }
  void tell(const AppStatus& s) { fn_(s); }

 private:
  LocalHost& host_;
  std::function<void(const AppStatus&)> fn_;
};

LocalHost::LocalHost(AppMaster::Deps deps) : deps_(deps), scope_(deps.loop) {}
LocalHost::~LocalHost() { CHECK(masters_.empty()); }

async::Task<Result<void>> LocalHost::assign(Assignment assignment) {
  if (scope_.stopping()) co_return fail(unavailable("the master host is stopping", "stopping"));
  const std::string app = assignment.spec.name;
  if (assignment.spec.deployments.empty())
    co_return fail(invalid_argument(fmt::format("app {}: an assignment needs at least one deployment", app)));
  auto it = masters_.find(app);
  if (it != masters_.end() && it->second->ended()) {
    scope_.spawn(bury(std::move(it->second)));
    masters_.erase(it);
    it = masters_.end();
  }
  if (it != masters_.end()) co_return it->second->assign(std::move(assignment));
  LOG(info, "app {}: master starts (epoch {}, revision {})", app, assignment.epoch, assignment.revision);
  auto& slot = masters_[app];
  slot = std::make_unique<AppMaster>(
      deps_, std::move(assignment), [this](const AppStatus& s) { tell(s); },
      [this, app](const AppMaster* which, AppMaster::Finished) { retire(app, which); });
  co_return Result<void>{};
}

void LocalHost::retire(const std::string& app, const AppMaster* which) {
  auto it = masters_.find(app);
  if (it == masters_.end() || it->second.get() != which || scope_.stopping()) return;
  scope_.spawn(bury(std::move(it->second)));
  masters_.erase(it);
}

async::Task<void> LocalHost::bury(std::unique_ptr<AppMaster> master) { co_await master->stop(); }

async::Task<Result<std::vector<AppStatus>>> LocalHost::list() {
  std::vector<AppStatus> out;
  for (const auto& [app, master] : masters_)
    if (!master->ended() && !master->status().name.empty()) out.push_back(master->status());
  co_return out;
}

std::unique_ptr<Subscription> LocalHost::watch(std::function<void(const AppStatus&)> on_status) {
  auto watch = std::make_unique<Watch>(*this, std::move(on_status));
  for (const auto& [app, master] : masters_)
    if (!master->ended() && !master->status().name.empty()) watch->tell(master->status());
  return watch;
}

std::unique_ptr<Subscription> LocalHost::on_connected(std::function<void()>) {
  return std::make_unique<Subscription>();
}

void LocalHost::tell(const AppStatus& status) {
  auto watches = watches_;  // a watcher may go away while it is told
  for (auto* w : watches)
    if (std::find(watches_.begin(), watches_.end(), w) != watches_.end()) w->tell(status);
}

async::Task<void> LocalHost::stop() {
  scope_.stop();
  auto masters = std::move(masters_);
  masters_.clear();
  for (auto& [app, master] : masters) co_await master->stop();
  co_await scope_.join();
}

}  // namespace colony::master
