// A host of app masters in this process: one AppMaster per app that was assigned here. The keeper reaches it directly
// (`colony up`) or over control/master/service.h (a master host process).
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "control/master/app_master.h"
#include "control/master/contract.h"

namespace colony::master {

// Executor: the loop of its Deps. Lifecycle: stop() awaited before destruction; it leaves every replica running.
class LocalHost : public Host {
 public:
  explicit LocalHost(AppMaster::Deps deps);
  ~LocalHost() override;

  async::Task<Result<void>> assign(Assignment assignment) override;
  async::Task<Result<std::vector<AppStatus>>> list() override;
  std::unique_ptr<Subscription> watch(std::function<void(const AppStatus&)> on_status) override;
  std::unique_ptr<Subscription> on_connected(std::function<void()> fn) override;
  async::Task<void> stop();

 private:
  class Watch;
  void retire(const std::string& app, const AppMaster* which);
  void tell(const AppStatus& status);
  static async::Task<void> bury(std::unique_ptr<AppMaster> master);

  AppMaster::Deps deps_;
  async::Scope scope_;
  std::map<std::string, std::unique_ptr<AppMaster>> masters_;
  std::list<Watch*> watches_;
};

}  // namespace colony::master
