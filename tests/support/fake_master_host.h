// A master host without masters: keeps what it was assigned and says what the test wants said. Verbs: settle() brings an
// app to RUNNING, finish_removal() lets a removed one go, restart() forgets everything, go_away() and come_back().
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/loop.h"
#include "control/master/contract.h"

namespace colony::testing {

class FakeMasterHost : public master::Host {
 public:
  explicit FakeMasterHost(async::Loop& loop) : loop_(loop) {}

  async::Task<Result<void>> assign(master::Assignment a) override {
    co_await loop_.yield();
    if (away_) co_return fail(unavailable("the host is away"));
    ++calls;
    auto it = apps.find(a.spec.name);
    if (it != apps.end() &&
        (a.epoch < it->second.epoch || (a.epoch == it->second.epoch && a.revision < it->second.revision)))
      co_return fail(failed_precondition("older than what I have", "stale_epoch"));
    auto fenced = fence.find(a.spec.name);
    if (fenced != fence.end() && a.epoch < fenced->second) co_return fail(failed_precondition("fenced", "stale_epoch"));
    apps[a.spec.name] = a;
    say(a.spec.name, a.remove ? "DELETING" : "DEPLOYING");
    co_return Result<void>{};
  }
  async::Task<Result<std::vector<AppStatus>>> list() override {
    co_await loop_.yield();
    if (away_) co_return fail(unavailable("the host is away"));
    std::vector<AppStatus> all;
    for (const auto& [name, s] : statuses) all.push_back(s);
    co_return all;
  }
  std::unique_ptr<master::Subscription> watch(std::function<void(const AppStatus&)> fn) override {
    return std::make_unique<Sub<std::function<void(const AppStatus&)>>>(watchers_, std::move(fn));
  }
  std::unique_ptr<master::Subscription> on_connected(std::function<void()> fn) override {
    return std::make_unique<Sub<std::function<void()>>>(connected_, std::move(fn));
  }

  void settle(const std::string& app) { say(app, "RUNNING"); }
  void settle_as_is(const std::string& app) {  // what the test wrote into statuses, as RUNNING
    statuses.at(app).status = "RUNNING";
    for (auto* w : watchers_) (*w)(statuses.at(app));
  }
  void fail_deploy(const std::string& app, std::string message) { say(app, "DEPLOY_FAILED", std::move(message)); }
  void finish_removal(const std::string& app) {
    AppStatus last = statuses.at(app);
    last.status = "DELETED";
    statuses.erase(app);
    apps.erase(app);
    for (auto* w : watchers_) (*w)(last);
  }
  void go_away() { away_ = true; }
  void come_back() {
    away_ = false;
    for (auto* c : connected_) (*c)();
  }
  void restart() {
    apps.clear();
    statuses.clear();
    for (auto* c : connected_) (*c)();
  }

  std::map<std::string, master::Assignment> apps;
  std::map<std::string, AppStatus> statuses;
  std::map<std::string, uint64_t> fence;  // lower epochs of this app are refused
  size_t calls = 0;

 private:
  template <class Fn>
  struct Sub : master::Subscription {
    Sub(std::list<Fn*>& l, Fn f) : list(l), fn(std::move(f)) { list.push_back(&fn); }
    ~Sub() override { list.remove(&fn); }
    std::list<Fn*>& list;
    Fn fn;
  };
  void say(const std::string& app, std::string status, std::string message = {}) {
    const master::Assignment& a = apps.at(app);
    AppStatus s{.name = app, .status = std::move(status), .message = std::move(message)};
    s.revision = a.revision;
    s.epoch = a.epoch;
    for (const DeploymentSpec& d : a.spec.deployments)
      s.deployments.push_back({d.name, s.status == "RUNNING" ? "HEALTHY" : "UPDATING", "", d.num_replicas, {}});
    statuses[app] = s;
    for (auto* w : watchers_) (*w)(s);
  }
  async::Loop& loop_;
  bool away_ = false;
  std::list<std::function<void(const AppStatus&)>*> watchers_;
  std::list<std::function<void()>*> connected_;
};

}  // namespace colony::testing
