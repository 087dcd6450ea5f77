// Written whole and renamed, so that a reader never sees half an address.
#include "app/listen_file.h"

#include "engine/agent/file.h"

namespace colony::app {

Result<void> write_listen_file(const std::string& folder, const std::string& address) {
  return engine::write_file_atomic(folder + "/listen", address, engine::Sync::kNo);
}

Result<std::string> read_listen_file(const std::string& folder) { return engine::read_file(folder + "/listen", 4096); }

}  // namespace colony::app
