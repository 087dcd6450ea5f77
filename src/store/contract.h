// Store port: the keeper's memory. One entry per application, and the epochs that fence keepers and masters. A write is
// acknowledged only when it would survive the loss of power. Adapters: store/sqlite.h (a file), store/memory.h (tests).
// One conformance suite (conformance_test.cc) runs on both.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"

namespace colony::store {

struct AppEntry {
  std::string name;
  std::string spec_json;  // domain/spec_parse.h to_json_text
  uint64_t revision = 0;  // 1 for the first spec, +1 with every accepted change
  uint64_t epoch = 0;     // of the assignment to a master; from a counter that never goes back, not even after erase()
  bool removing = false;  // deletion was accepted; the entry goes once nothing of the app runs any more
  WallTime created{}, updated{};
  bool operator==(const AppEntry&) const = default;
};

enum class Epoch : uint8_t { kKeep, kNext };  // kNext: the entry gets a new epoch within the same write

// Executor: calls come from the loop that the adapter was made with; answers come there. Behaviour on failure: an error
// means that nothing was written. Reasons: "fenced" (a newer keeper has begun its term: give up), "revision_conflict"
// (kAborted), "no_space", "not_permitted", "corrupt" (kDataLoss).
class Store {
 public:
  virtual ~Store() = default;
  // A keeper begins: from now on writes with an older term are refused. Terms count from 1.
  virtual async::Task<Result<uint64_t>> begin_term() = 0;
  virtual async::Task<Result<std::vector<AppEntry>>> load() = 0;  // by name
  // Writes the entry if the stored revision is `expected` (0: there must be none). Returns it as written.
  virtual async::Task<Result<AppEntry>> put(uint64_t term, AppEntry entry, uint64_t expected, Epoch epoch) = 0;
  // Forgets it if the stored revision is `expected`. An absent entry is fine.
  virtual async::Task<Result<void>> erase(uint64_t term, std::string name, uint64_t expected) = 0;
};

}  // namespace colony::store
