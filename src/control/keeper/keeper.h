// The keeper: receives every submission, checks it against all other applications, keeps it, and sees to it that the master
// host works on what was kept. What it says yes to has been written to the store first. Speaks no HTTP: that is api.h.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/scope.h"
#include "control/master/contract.h"
#include "domain/plan.h"
#include "domain/status.h"
#include "store/contract.h"

namespace colony::keeper {

struct ChangeOptions {
  std::optional<uint64_t> expected_revision;  // refused with "revision_conflict" when the app is at another one
  bool dry_run = false;                       // everything is checked, nothing is done
};

struct Change {
  std::string name;
  uint64_t revision = 0;  // at which the app is now (dry run: was found)
  bool changed = false;   // false: it was so already, or a dry run
  std::vector<PlanAction> plan;
};

class Subscription {
 public:
  virtual ~Subscription() = default;
};

// Purpose: owner of the application records. Executor: one loop. Lifecycle: start() awaited once, then calls, stop()
// awaited before destruction; it leaves every application running. Behaviour on failure: a store that does not write
// refuses the change and changes nothing; a host that is not reachable is tried again with a growing delay, meanwhile
// changes are accepted and `status` says why nothing moves; a newer keeper on the same store ends this one's term (every
// change is then refused with reason "fenced").
class Keeper {
 public:
  struct Deps {
    async::Loop& loop;
    store::Store& store;
    master::Host& host;
  };
  struct Options {
    size_t max_apps = 1000;    // LIMIT
    size_t max_waiting = 256;  // LIMIT: changes that wait for their turn; further ones are refused
  };
  Keeper(Deps deps, Options options);
  ~Keeper();

  async::Task<Result<void>> start();
  async::Task<void> stop();

  async::Task<Result<Change>> apply(AppSpec spec, ChangeOptions options);
  async::Task<Result<Change>> scale(std::string app, std::string deployment, int replicas, ChangeOptions options);
  async::Task<Result<Change>> remove(std::string app, ChangeOptions options);

  std::vector<AppStatus> statuses() const;  // by name
  Result<AppStatus> status(const std::string& app) const;
  Result<AppSpec> spec(const std::string& app) const;
  std::vector<std::string> names() const;

  // Every change of an app's status; at once for every app there is, from inside the call. Gone apps come once more with
  // status "DELETED".
  std::unique_ptr<Subscription> watch(std::function<void(const AppStatus&)> fn);

  size_t refused() const { return refused_; }  // changes refused because too many waited

 private:
  struct Record {
    store::AppEntry entry;
    std::optional<AppSpec> spec;        // nullopt: the kept text is not readable by this version
    std::string unreadable;             // why
    std::optional<AppStatus> reported;  // by the host, the last one
    bool removing_at_host = false;      // the host takes it down and has not said DELETED yet
    bool assigned = false;              // the host has taken entry.revision at entry.epoch
    bool needs_epoch = false;           // the next assignment is to a host that does not know the app
    std::string trouble;                // why the last assignment failed
  };
  class Watch;
  class Turn;

  async::Task<Result<Change>> change(AppSpec after, ChangeOptions options);
  async::Task<Result<bool>> take_turn();  // false: stopping
  Result<void> may_change() const;
  Result<void> check_conflicts(const AppSpec& spec) const;
  Error unknown_app(const std::string& app) const;

  void on_host_status(const AppStatus& status);
  async::Task<void> assign_loop();
  async::Task<bool> look_at_host();
  async::Task<bool> assign(std::string name);
  async::Task<bool> renew_epoch(std::string name);
  async::Task<bool> forget(std::string name);
  void ask_host_again();
  void note_store_error(const Error& error);

  AppStatus present(const Record& record) const;
  void tell(const std::string& name);
  void tell(const AppStatus& status);

  Deps deps_;
  Options options_;
  async::Scope scope_;
  async::Signal work_, free_;
  uint64_t term_ = 0;
  bool fenced_ = false, started_ = false;
  bool busy_ = false;  // a change is between its checks and its write
  size_t waiting_ = 0, refused_ = 0;
  bool look_ = true;  // compare with the host's list before assigning
  std::map<std::string, Record> records_;
  std::set<std::string> gone_;  // said DELETED by the host, to be erased or assigned anew
  std::unique_ptr<master::Subscription> host_watch_, host_connected_;
  std::list<Watch*> watches_;
};

}  // namespace colony::keeper
