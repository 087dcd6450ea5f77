// A record of a lower epoch, or of the same epoch and a lower version, never replaces a newer one: a discovery that
// restarted may first hear from a publisher that was away.
#include "discovery/table_view.h"

#include <tuple>

namespace colony::discovery {
namespace {

template <class Map, class Records, class Key>
bool replace_all(Map& map, const Records& records, Key key) {
  Map next;
  for (const auto& r : records) next[key(r)] = r;
  if (next == map) return false;
  map = std::move(next);
  return true;
}

template <class Map, class Record>
bool put(Map& map, const std::string& key, const Record& record) {
  auto [it, fresh] = map.try_emplace(key, record);
  if (fresh) return true;
  if (it->second == record) return false;
  it->second = record;
  return true;
}

bool older(const AppRecord& a, const AppRecord& b) {
  return std::tie(a.epoch, a.version) < std::tie(b.epoch, b.version);
}

}  // namespace

bool TableView::apply(const TableUpdate& update) {
  bool changed = false;
  if (update.full && update.complete) {
    changed |= replace_all(apps_, update.apps, [](const AppRecord& r) { return r.app; });
    changed |= replace_all(proxies_, update.proxies, [](const ProxyRecord& r) { return r.id; });
  } else {
    for (const auto& r : update.apps) {
      auto it = apps_.find(r.app);
      if (update.full && it != apps_.end() && older(r, it->second)) continue;
      changed |= put(apps_, r.app, r);
    }
    for (const auto& r : update.proxies) changed |= put(proxies_, r.id, r);
    for (const auto& name : update.removed_apps) changed |= apps_.erase(name) > 0;
    for (const auto& id : update.removed_proxies) changed |= proxies_.erase(id) > 0;
  }
  revision_ = update.revision;
  arrived_ = true;
  complete_ = update.complete;
  return changed;
}

TableUpdate TableView::snapshot() const {
  TableUpdate u{.revision = revision_, .full = true, .complete = complete_};
  for (const auto& [name, record] : apps_) u.apps.push_back(record);
  for (const auto& [id, record] : proxies_) u.proxies.push_back(record);
  return u;
}

}  // namespace colony::discovery
