// What a subscriber knows: the sum of the TableUpdates that it was shown. Holds the one rule of merging: a full and
// complete update replaces everything, a full but incomplete one (the discovery has just restarted) only adds and
// changes, a delta adds, changes and removes. Value, no I/O; on any one thread.
#pragma once

#include <map>
#include <string>

#include "domain/table.h"

namespace colony::discovery {

class TableView {
 public:
  // True: something changed (not counting the revision).
  bool apply(const TableUpdate& update);
  // As one full update, for a subscriber that comes later.
  TableUpdate snapshot() const;

  const std::map<std::string, AppRecord>& apps() const { return apps_; }
  const std::map<std::string, ProxyRecord>& proxies() const { return proxies_; }
  uint64_t revision() const { return revision_; }
  bool arrived() const { return arrived_; }    // any update has come
  bool complete() const { return complete_; }  // absent means deleted

 private:
  std::map<std::string, AppRecord> apps_;
  std::map<std::string, ProxyRecord> proxies_;
  uint64_t revision_ = 0;
  bool arrived_ = false;
  bool complete_ = false;
};

}  // namespace colony::discovery
