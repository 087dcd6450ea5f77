// Every call waits a turn, as a store that writes would.
#include "store/memory.h"

#include <fmt/format.h>

namespace colony::store {

Error fenced_error(uint64_t term, uint64_t current) {
  return failed_precondition(
      fmt::format("this keeper's term {} is over: another keeper has begun term {} on the same store", term, current),
      "fenced");
}

Error conflict_error(const std::string& name, uint64_t expected, uint64_t found) {
  const std::string text =
      found == 0      ? fmt::format("application {} does not exist (revision {} was expected)", name, expected)
      : expected == 0 ? fmt::format("application {} exists already, at revision {}", name, found)
                      : fmt::format("application {} is at revision {}, not {}: somebody changed it; read it again",
                                    name, found, expected);
  return Error{Code::kAborted, text, "revision_conflict", Origin::kClient, Retry::kNo};
}

Result<void> MemoryStore::may_write(uint64_t term, const std::string& name, uint64_t expected) const {
  if (failure_) return fail(*failure_);
  if (term != term_) return fail(fenced_error(term, term_));
  auto it = apps_.find(name);
  const uint64_t found = it == apps_.end() ? 0 : it->second.revision;
  if (found != expected) return fail(conflict_error(name, expected, found));
  return {};
}

async::Task<Result<uint64_t>> MemoryStore::begin_term() {
  co_await loop_.yield();
  if (failure_) co_return fail(*failure_);
  co_return ++term_;
}

async::Task<Result<std::vector<AppEntry>>> MemoryStore::load() {
  co_await loop_.yield();
  std::vector<AppEntry> all;
  for (const auto& [name, entry] : apps_) all.push_back(entry);
  co_return all;
}

async::Task<Result<AppEntry>> MemoryStore::put(uint64_t term, AppEntry entry, uint64_t expected, Epoch epoch) {
  co_await loop_.yield();
  CO_TRY_VOID(may_write(term, entry.name, expected));
  if (epoch == Epoch::kNext) entry.epoch = ++epoch_;
  ++writes_;
  apps_[entry.name] = entry;
  co_return entry;
}

async::Task<Result<void>> MemoryStore::erase(uint64_t term, std::string name, uint64_t expected) {
  co_await loop_.yield();
  if (!apps_.contains(name)) {
    if (term != term_) co_return fail(fenced_error(term, term_));
    co_return Result<void>{};
  }
  CO_TRY_VOID(may_write(term, name, expected));
  ++writes_;
  apps_.erase(name);
  co_return Result<void>{};
}

}  // namespace colony::store
