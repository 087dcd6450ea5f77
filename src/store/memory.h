// The store as a map: for tests, with verbs for what goes wrong. Nothing survives it; a keeper's restart in a test keeps
// the object.
#pragma once

#include <map>
#include <optional>

#include "async/loop.h"
#include "store/contract.h"

namespace colony::store {

class MemoryStore : public Store {
 public:
  explicit MemoryStore(async::Loop& loop) : loop_(loop) {}
  async::Task<Result<uint64_t>> begin_term() override;
  async::Task<Result<std::vector<AppEntry>>> load() override;
  async::Task<Result<AppEntry>> put(uint64_t term, AppEntry entry, uint64_t expected, Epoch epoch) override;
  async::Task<Result<void>> erase(uint64_t term, std::string name, uint64_t expected) override;

  void fail_writes(Error error) { failure_ = std::move(error); }  // until heal()
  void heal() { failure_.reset(); }
  size_t writes() const { return writes_; }

 private:
  Result<void> may_write(uint64_t term, const std::string& name, uint64_t expected) const;
  async::Loop& loop_;
  std::map<std::string, AppEntry> apps_;
  uint64_t term_ = 0, epoch_ = 0;
  size_t writes_ = 0;
  std::optional<Error> failure_;
};

// What both adapters say.
Error fenced_error(uint64_t term, uint64_t current);
Error conflict_error(const std::string& name, uint64_t expected, uint64_t found);

}  // namespace colony::store
