// The keeper's other half: what was accepted reaches the master host, again after the host or the keeper was gone, and what
// the host says comes back into the records. One task does it all, so that no two assignments of an app overtake each other.
//
// A host is asked for its list first. An app that it does not know is assigned with a new epoch, so that masters of a host
// that is still running somewhere are fenced; one that it knows at our revision and epoch is left alone.
#include <fmt/format.h>

#include "base/log.h"
#include "control/keeper/keeper.h"

namespace colony::keeper {
namespace {
constexpr Duration kFirstRetry = 100ms;
constexpr Duration kLastRetry = 5s;
}  // namespace

void Keeper::ask_host_again() {
  look_ = true;
  work_.notify();
}

void Keeper::on_host_status(const AppStatus& status) {
  auto it = records_.find(status.name);
  if (it == records_.end()) return;  // not ours: left alone
  Record& r = it->second;
  if (status.status == "DELETED") {
    if (!r.removing_at_host) return;
    gone_.insert(status.name);
    work_.notify();
    return;
  }
  r.reported = status;
  tell(status.name);
}

async::Task<void> Keeper::assign_loop() {
  Duration delay = kFirstRetry;
  while (!scope_.stopping() && !fenced_) {
    bool well = true;
    if (look_) well = co_await look_at_host();
    std::vector<std::string> names(gone_.begin(), gone_.end());
    for (const std::string& name : names)
      if (well) well = co_await forget(name);
    names.clear();
    for (const auto& [name, r] : records_)
      if (!r.assigned && (r.spec || r.entry.removing) && !(r.removing_at_host && !r.entry.removing))
        names.push_back(name);
    for (const std::string& name : names)
      if (!scope_.stopping() && !look_ && !fenced_) well = co_await assign(name) && well;
    if (!well) {
      co_await work_.wait(scope_, Deadline::after(deps_.loop.now(), delay));
      delay = std::min(delay * 2, kLastRetry);
      continue;
    }
    delay = kFirstRetry;
    if (!look_ && gone_.empty()) co_await work_.wait(scope_);
  }
}

// False: not reachable; look_ stays set.
async::Task<bool> Keeper::look_at_host() {
  look_ = false;
  auto list = co_await deps_.host.list();
  if (!list) {
    look_ = true;
    const std::string trouble = fmt::format("the master host does not answer: {}", list.error().message);
    LOG(warn, "keeper: {}", trouble);
    for (auto& [name, r] : records_)
      if (!r.assigned && r.trouble != trouble) {
        r.trouble = trouble;
        tell(name);
      }
    co_return false;
  }
  std::map<std::string, const AppStatus*> known;
  for (const AppStatus& s : *list) known[s.name] = &s;
  for (auto& [name, r] : records_) {
    auto it = known.find(name);
    if (it == known.end()) {
      r.assigned = false;
      if (r.removing_at_host) gone_.insert(name);  // it said DELETED while nobody listened, or never began
      r.needs_epoch = true;
      continue;
    }
    const AppStatus& s = *it->second;
    r.reported = s;
    r.removing_at_host = s.status == "DELETING";
    r.needs_epoch = s.epoch > r.entry.epoch;
    r.assigned = s.revision == r.entry.revision && s.epoch == r.entry.epoch && r.removing_at_host == r.entry.removing;
  }
  for (const auto& [name, s] : known)
    if (!records_.contains(name)) LOG(warn, "keeper: the master host runs {}, which nobody asked for", name);
  co_return true;
}

async::Task<bool> Keeper::assign(std::string name) {
  auto it = records_.find(name);
  if (it == records_.end() || it->second.assigned) co_return true;
  if (it->second.needs_epoch && !co_await renew_epoch(name)) co_return false;
  it = records_.find(name);
  if (it == records_.end()) co_return true;
  master::Assignment a;
  if (it->second.spec) a.spec = *it->second.spec;
  if (a.spec.deployments.empty()) {  // being removed, and its text not readable: any spec of that name will do
    a.spec.name = name;
    a.spec.deployments.emplace_back().name = "removed";
    a.spec.deployments.back().runtime = "echo";
  }
  a.revision = it->second.entry.revision;
  a.epoch = it->second.entry.epoch;
  a.remove = it->second.entry.removing;
  const uint64_t revision = a.revision, epoch = a.epoch;
  const bool remove = a.remove;
  if (remove) it->second.removing_at_host = true;  // before the call: DELETED may come while it runs
  auto taken = co_await deps_.host.assign(std::move(a));
  it = records_.find(name);
  if (it == records_.end()) co_return true;
  Record& r = it->second;
  if (taken) {
    // A change that came meanwhile is assigned in the next round.
    r.assigned = r.entry.revision == revision && r.entry.epoch == epoch;
    if (!r.trouble.empty()) {
      r.trouble.clear();
      tell(name);
    }
    co_return true;
  }
  if (taken.error().reason == "stale_epoch") {
    LOG(warn, "application {}: {}; takes a new epoch", name, taken.error().message);
    r.needs_epoch = true;
    co_return false;
  }
  std::string trouble = fmt::format("the master host refused it: {}", taken.error().message);
  if (r.trouble != trouble) {
    r.trouble = std::move(trouble);
    LOG(warn, "application {}: {}", name, r.trouble);
    tell(name);
  }
  if (taken.error().code == Code::kUnavailable || taken.error().code == Code::kDeadlineExceeded) look_ = true;
  co_return false;
}

// Shares the turn with the changes, so that its write cannot come between a change's check and its write.
async::Task<bool> Keeper::renew_epoch(std::string name) {
  auto turn = co_await take_turn();
  if (!turn) co_return false;
  busy_ = true;
  auto it = records_.find(name);
  bool well = true;
  if (it != records_.end() && it->second.needs_epoch) {
    const uint64_t revision = it->second.entry.revision;
    auto written = co_await deps_.store.put(term_, it->second.entry, revision, store::Epoch::kNext);
    if (written) {
      it->second.entry = std::move(*written);  // nothing else changes records while the turn is held
      it->second.needs_epoch = false;
    } else {
      note_store_error(written.error());
      it->second.trouble = fmt::format("the store does not write: {}", written.error().message);
      tell(name);
      well = false;
    }
  }
  busy_ = false;
  free_.notify();
  co_return well;
}

// The host has said DELETED (or does not know an app that was being removed).
async::Task<bool> Keeper::forget(std::string name) {
  auto turn = co_await take_turn();
  if (!turn) co_return false;
  busy_ = true;
  bool well = true;
  auto it = records_.find(name);
  if (it == records_.end()) {
    gone_.erase(name);
  } else if (!it->second.entry.removing) {  // asked for again while it went
    gone_.erase(name);
    it->second.removing_at_host = false;
    it->second.assigned = false;
    it->second.needs_epoch = true;
    it->second.reported.reset();
    tell(name);
  } else {
    auto erased = co_await deps_.store.erase(term_, name, it->second.entry.revision);
    if (erased) {
      AppStatus last = present(it->second);
      last.status = "DELETED";
      last.message.clear();
      last.deployments.clear();
      records_.erase(it);
      gone_.erase(name);
      LOG(info, "application {}: gone", name);
      tell(last);
    } else {
      note_store_error(erased.error());
      well = false;
    }
  }
  busy_ = false;
  free_.notify();
  co_return well;
}

}  // namespace colony::keeper
