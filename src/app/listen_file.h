// Where keeper and proxy processes say which address they listen on: DIR/listen beside their record, read by the launcher.
#pragma once

#include <string>

#include "base/result.h"

namespace colony::app {

struct ListenFile {
  std::string address;
  uint64_t incarnation = 0;  // of the process that wrote it: an older one's address may be nobody's now
};
Result<void> write_listen_file(const std::string& folder, const ListenFile& file);
Result<ListenFile> read_listen_file(const std::string& folder);  // kNotFound while there is none

// What the next incarnation listens on: `wanted`, but where that leaves the port open (":0") the address of the incarnation
// before, if it is free: whoever knew it finds the new process there.
std::string listen_again(const std::string& folder, const std::string& wanted);

}  // namespace colony::app
