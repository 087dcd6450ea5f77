// What people are shown of an application: the host's last word, corrected by what the keeper knows better.
#include <fmt/format.h>

#include <algorithm>

#include "control/keeper/keeper.h"

namespace colony::keeper {

class Keeper::Watch : public Subscription {
 public:
  Watch(Keeper& keeper, std::function<void(const AppStatus&)> fn) : keeper_(keeper), fn_(std::move(fn)) {
    keeper_.watches_.push_back(this);
  }
  ~Watch() override { keeper_.watches_.remove(this); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  void tell(const AppStatus& s) { fn_(s); }

 private:
  Keeper& keeper_;
  std::function<void(const AppStatus&)> fn_;
};

AppStatus Keeper::present(const Record& r) const {
  AppStatus s;
  if (r.reported) s = *r.reported;
  const bool current = r.reported && r.reported->revision == r.entry.revision && !r.removing_at_host;
  s.name = r.entry.name;
  s.revision = r.entry.revision;
  s.epoch = r.entry.epoch;
  s.last_deployed = r.entry.updated;
  if (r.spec) s.route_prefix = r.spec->route_prefix;
  if (r.entry.removing) {
    s.status = "DELETING";
  } else if (!r.spec) {
    s.status = "DEPLOY_FAILED";
    s.message = fmt::format("the kept spec cannot be read, apply the application again: {}", r.unreadable);
  } else if (!current) {
    // The host has not taken this revision up yet: what it says is of an older one.
    s.status = "DEPLOYING";
    s.message = r.removing_at_host ? "waits until the deleted one is gone" : "";
    if (!r.reported)
      for (const DeploymentSpec& d : r.spec->deployments)
        s.deployments.push_back(DeploymentStatus{d.name, "UPDATING", "", d.num_replicas, {}});
  }
  if (!r.trouble.empty()) s.message = r.trouble;
  return s;
}

std::vector<AppStatus> Keeper::statuses() const {
  std::vector<AppStatus> all;
  for (const auto& [name, r] : records_) all.push_back(present(r));
  return all;
}

Result<AppStatus> Keeper::status(const std::string& app) const {
  auto it = records_.find(app);
  if (it == records_.end()) return fail(unknown_app(app));
  return present(it->second);
}

Result<AppSpec> Keeper::spec(const std::string& app) const {
  auto it = records_.find(app);
  if (it == records_.end()) return fail(unknown_app(app));
  if (!it->second.spec)
    return fail(data_loss(fmt::format("application {}: the kept spec cannot be read: {}", app, it->second.unreadable)));
  return *it->second.spec;
}

std::vector<std::string> Keeper::names() const {
  std::vector<std::string> all;
  for (const auto& [name, r] : records_) all.push_back(name);
  return all;
}

std::unique_ptr<Subscription> Keeper::watch(std::function<void(const AppStatus&)> fn) {
  auto watch = std::make_unique<Watch>(*this, std::move(fn));
  for (const auto& [name, r] : records_) watch->tell(present(r));
  return watch;
}

void Keeper::tell(const std::string& name) {
  if (auto it = records_.find(name); it != records_.end() && !watches_.empty()) tell(present(it->second));
}

void Keeper::tell(const AppStatus& status) {
  auto watches = watches_;  // a watcher may go away while it is told
  for (Watch* w : watches)
    if (std::find(watches_.begin(), watches_.end(), w) != watches_.end()) w->tell(status);
}

}  // namespace colony::keeper
