// The store in one SQLite file of the data directory: WAL, synchronous=FULL, so that what was acknowledged survives a
// power failure. One process at a time (store/data_dir.h). Calls run on a BlockingPool, one after the other.
#pragma once

#include <memory>
#include <string>

#include "async/blocking_pool.h"
#include "store/contract.h"

namespace colony::store {

class SqliteStore : public Store {
 public:
  // Blocks: for start-up. Opens or makes DIR/colony.db, checks its integrity and its schema version, takes the lock
  // DIR/keeper.lock. Errors name the file and the way out. `loop` and `pool` outlive the store.
  static Result<std::unique_ptr<SqliteStore>> open(async::Loop& loop, async::BlockingPool& pool,
                                                   const std::string& dir);
};

}  // namespace colony::store
