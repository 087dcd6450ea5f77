// Small files of the run directory: read with a bound, replaced whole, folders that belong to us alone.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace colony::engine {

enum class Sync : bool { kNo, kYes };  // does it have to survive a loss of power?

Result<std::string> read_file(const std::string& path, size_t max_bytes);
// Mode 0600. A reader sees the old text or the new one, never a part.
Result<void> write_file_atomic(const std::string& path, std::string_view text, Sync sync);
// Makes the folder (0700) with its parents; one that exists must be ours and closed to others, as sockets lie in it.
Result<void> make_private_folder(const std::string& path);
void remove_tree(const std::string& path);  // what is there; never follows links

}  // namespace colony::engine
