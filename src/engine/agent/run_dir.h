// The agent's folders on disk: RUN with one folder per actor and the epochs, LOGS with one file per actor. Knows names,
// modes and bounds; who runs is agent.h. Blocking, small files only; called on the agent's loop.
#pragma once

#include <string>
#include <vector>

#include "engine/admission.h"
#include "engine/agent/actor_record.h"

namespace colony::engine {

struct LogOptions {
  size_t max_bytes = 8 * 1024 * 1024;  // of one file; then it is copied to FILE.1 and truncated
  int max_rotated = 2;                 // FILE.1 ... of one actor
  size_t max_ended = 100;              // files of actors that are gone; the oldest go first
};

class RunDir {
 public:
  ~RunDir();  // gives the folder back
  RunDir(const RunDir&) = delete;
  RunDir& operator=(const RunDir&) = delete;
  // Makes the folders and takes the run directory for this agent alone: kAlreadyExists while another one has it.
  static Result<std::unique_ptr<RunDir>> open(std::string run, std::string logs, LogOptions options);

  Result<Fences> read_epochs() const;  // a file that is not there is an empty table
  Result<void> write_epochs(const Fences& fences) const;

  std::vector<std::string> actors() const;  // ids that have a folder
  std::string folder(std::string_view actor) const;
  // Makes the actor's folder and fills in record.socket and record.log.
  Result<void> prepare(ActorRecord& record) const;
  // Removes folder and socket; old logs of others are swept.
  void forget(const std::string& actor, const std::string& socket) const;

  std::string log_path(std::string_view actor) const;
  // The last `lines` of the log, current and rotated, oldest first; at most 1 MiB. Empty when there is none.
  std::string tail_log(std::string_view actor, size_t lines) const;
  bool has_log(std::string_view actor) const;
  // Copies and truncates when the file is longer than the bound. LIMIT: what is written between the two is lost.
  void rotate_log(std::string_view actor) const;

 private:
  RunDir(std::string run, std::string logs, LogOptions options, int lock)
      : run_(std::move(run)), logs_(std::move(logs)), options_(options), lock_(lock) {}
  void sweep_logs() const;

  std::string run_, logs_;
  LogOptions options_;
  int lock_;
};

// `wanted`, or a path in a short private folder of this run directory when a socket's address could not hold it.
Result<std::string> socket_path(const std::string& run, const std::string& wanted);

// The last `lines` lines of a text.
std::vector<std::string> last_lines(std::string_view text, size_t lines);

}  // namespace colony::engine
