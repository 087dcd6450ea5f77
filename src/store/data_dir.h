// One owner per data directory: a lock file that names its holder. The lock is the kernel's (flock), so it ends with its
// process, kill -9 included; the file stays and is no obstacle.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace colony::store {

class DataDirLock {
 public:
  virtual ~DataDirLock() = default;  // lets go
};

// Makes the directory (0700) if it is missing. `name`: of the lock file, "up.lock". kFailedPrecondition, reason
// "data_dir_in_use", names the pid that holds it; kPermissionDenied and kResourceExhausted name the directory.
Result<std::unique_ptr<DataDirLock>> lock_data_dir(const std::string& dir, const std::string& name);

}  // namespace colony::store
