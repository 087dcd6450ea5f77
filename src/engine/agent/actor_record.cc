// See actor_record.h.
#include "engine/agent/actor_record.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "engine/admission.h"
#include "engine/agent/file.h"

namespace colony::engine {
namespace {

using Json = nlohmann::json;

// Throws what nlohmann throws; read_record turns it into an Error.
ActorRecord from_json(const Json& j) {
  ActorRecord r;
  r.spec.id = j.at("id");
  r.spec.role = j.at("role");
  r.spec.app = j.at("app");
  r.spec.deployment = j.at("deployment");
  r.spec.payload = j.at("payload");
  r.spec.env = j.at("env");
  r.spec.labels = j.at("labels");
  const Json& need = j.at("resources");
  r.spec.resources = {.num_cpus = need.at("num_cpus"),
                      .num_gpus = need.at("num_gpus"),
                      .memory = need.at("memory"),
                      .resources = need.at("custom")};
  const Json& place = j.at("placement");
  r.spec.placement = {.node = place.at("node"), .spread = place.at("spread"), .max_per_node = place.at("max_per_node")};
  r.fence = {.owner = j.at("fence").at("owner"), .epoch = j.at("fence").at("epoch")};
  r.node = j.at("node");
  r.cookie = j.at("cookie");
  r.incarnation = j.at("incarnation");
  r.pid = j.at("pid");
  r.start_time = j.at("start_time");
  r.socket = j.at("socket");
  r.log = j.at("log");
  r.last_exit = j.at("last_exit");
  r.started = j.at("started");
  r.stopping = j.at("stopping");
  return r;
}

Json to_json(const ActorRecord& r) {
  const Resources& need = r.spec.resources;
  const Placement& place = r.spec.placement;
  return {
      {"id", r.spec.id},
      {"role", r.spec.role},
      {"app", r.spec.app},
      {"deployment", r.spec.deployment},
      {"payload", r.spec.payload},
      {"env", r.spec.env},
      {"labels", r.spec.labels},
      {"resources",
       {{"num_cpus", need.num_cpus}, {"num_gpus", need.num_gpus}, {"memory", need.memory}, {"custom", need.resources}}},
      {"placement", {{"node", place.node}, {"spread", place.spread}, {"max_per_node", place.max_per_node}}},
      {"fence", {{"owner", r.fence.owner}, {"epoch", r.fence.epoch}}},
      {"node", r.node},
      {"cookie", r.cookie},
      {"incarnation", r.incarnation},
      {"pid", r.pid},
      {"start_time", r.start_time},
      {"socket", r.socket},
      {"log", r.log},
      {"last_exit", r.last_exit},
      {"started", r.started},
      {"stopping", r.stopping}};
}

}  // namespace

std::string record_path(const std::string& folder) { return folder + "/actor.json"; }

Result<void> write_record(const std::string& folder, const ActorRecord& record) {
  // Bytes that are no UTF-8 (a log line in last_exit, a payload) are replaced, not thrown about.
  const std::string text = to_json(record).dump(1, ' ', false, Json::error_handler_t::replace);
  return write_file_atomic(record_path(folder), text, Sync::kNo);
}

Result<ActorRecord> read_record(const std::string& folder) {
  TRY(const std::string text, read_file(record_path(folder), 8 * kMaxPayloadBytes));
  try {
    return from_json(Json::parse(text));
  } catch (const Json::exception& e) {
    return fail(data_loss(fmt::format("{} is not an actor's record: {}", record_path(folder), e.what()), "bad_record"));
  }
}

ActorLock::~ActorLock() {
  if (fd_ >= 0) ::close(fd_);
}

Result<ActorLock> ActorLock::take(const std::string& folder) {
  const std::string path = folder + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return fail(errno_error("open " + path, errno));
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(fd, F_SETLK, &whole) != 0) {
    const int err = errno;
    ::close(fd);
    if (err == EACCES || err == EAGAIN) {
      return fail(already_exists(fmt::format("{} is held by another process", path), "actor_runs"));
    }
    return fail(errno_error("lock " + path, err));
  }
  return ActorLock(fd);
}

std::optional<pid_t> ActorLock::holder(const std::string& folder) {
  const int fd = ::open((folder + "/lock").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return std::nullopt;
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  const bool asked = ::fcntl(fd, F_GETLK, &whole) == 0;
  ::close(fd);
  if (!asked || whole.l_type == F_UNLCK || whole.l_pid <= 0) return std::nullopt;
  return whole.l_pid;
}

}  // namespace colony::engine
