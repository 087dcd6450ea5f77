// The two shapes of `colony up`, behind one face: everything in this process (all_in_one.cc), or an agent that runs every
// role as a process (launcher.cc). up.cc owns one and knows nothing else about it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/config.h"
#include "async/epoll_loop.h"
#include "async/scope.h"

namespace colony::app {

struct Addresses {
  std::string http, control;  // with the ports that were picked
};

// Executor: the loop that it was made with. Lifecycle: start() awaited, stop() awaited, destroyed.
class House {
 public:
  virtual ~House() = default;
  virtual async::Task<Result<Addresses>> start() = 0;
  // Drains: running requests may finish until the deadline; no process is left behind.
  virtual async::Task<void> stop(Deadline deadline) = 0;
  // Ends every process at once.
  virtual async::Task<void> kill() = 0;
};

// `on_shutdown` is called when somebody asks for the end over the control API.
std::unique_ptr<House> make_all_in_one(async::EpollLoop& loop, const Config& config, std::function<void()> on_shutdown);
std::unique_ptr<House> make_launcher(async::EpollLoop& loop, const Config& config, std::function<void()> on_shutdown);

// Folders under the data dir that both shapes use.
std::string run_dir_of(const Config& config);  // sockets and records of actors
std::string log_dir_of(const Config& config);
std::string store_path_of(const std::string& data_dir);

}  // namespace colony::app
