// See status_json.h. Hand-shaped rather than generated: the order of keys is part of what people read.
#include "domain/status_json.h"

#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

namespace colony {
namespace {

using Json = nlohmann::ordered_json;

Json time_json(WallTime t) { return t == WallTime{} ? Json(nullptr) : Json(to_rfc3339(t)); }

Json replica_json(const ReplicaStatus& r) {
  Json phases = Json::array();
  for (const PhaseTime& p : r.phases) phases.push_back({{"phase", p.phase}, {"seconds", p.seconds}});
  return {{"id", r.id},
          {"state", to_string(r.state)},
          {"reason", r.reason},
          {"pid", r.pid},
          {"node", r.node},
          {"restarts", r.restarts},
          {"since", time_json(r.since)},
          {"phases", std::move(phases)},
          {"last_error", r.last_error},
          {"last_log_lines", r.last_log_lines},
          {"address", r.address},
          {"revision", r.revision}};
}

Json app_json(const AppStatus& a) {
  Json deployments = Json::array();
  for (const DeploymentStatus& d : a.deployments) {
    Json replicas = Json::array();
    for (const ReplicaStatus& r : d.replicas) replicas.push_back(replica_json(r));
    deployments.push_back({{"name", d.name},
                           {"status", d.status},
                           {"message", d.message},
                           {"target_replicas", d.target_replicas},
                           {"replicas", std::move(replicas)}});
  }
  return {{"name", a.name},
          {"status", a.status},
          {"message", a.message},
          {"revision", a.revision},
          {"epoch", a.epoch},
          {"last_deployed", time_json(a.last_deployed)},
          {"route_prefix", a.route_prefix.empty() ? Json(nullptr) : Json(a.route_prefix)},
          {"deployments", std::move(deployments)}};
}

std::string dump(const Json& j) { return j.dump(-1, ' ', false, Json::error_handler_t::replace); }

// Reads members into values; a member of another type is remembered as the first thing that is wrong.
class Fields {
 public:
  Fields(const Json& object, std::string& wrong) : object_(object), wrong_(wrong) {
    if (!object.is_object()) wrong_ = "expected an object";
  }
  const Json* at(const char* key) const {
    if (!object_.is_object()) return nullptr;
    auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  void text(const char* key, std::string& out) const {
    const Json* j = at(key);
    if (j == nullptr) return;
    if (!j->is_string()) return note(key, "a string");
    out = j->get<std::string>();
  }
  template <class Int>
  void integer(const char* key, Int& out) const {
    if (const Json* j = at(key)) {
      if (j->is_number_integer())
        out = static_cast<Int>(j->get<int64_t>());
      else
        note(key, "an integer");
    }
  }
  void time(const char* key, WallTime& out) const {
    std::string s;
    text(key, s);
    if (s.empty()) return;
    if (auto t = parse_rfc3339(s))
      out = *t;
    else
      note(key, "a time");
  }
  template <class Fn>
  void each(const char* key, Fn fn) const {
    const Json* j = at(key);
    if (j == nullptr) return;
    if (!j->is_array()) return note(key, "a list");
    for (const Json& item : *j) fn(item);
  }
  void note(const char* key, const char* expected) const {
    if (wrong_.empty()) wrong_ = fmt::format("{} is not {}", key, expected);
  }
  std::string& wrong() const { return wrong_; }

 private:
  const Json& object_;
  std::string& wrong_;
};

ReplicaStatus replica_from(const Json& j, std::string& wrong) {
  ReplicaStatus r;
  Fields f(j, wrong);
  f.text("id", r.id);
  std::string state;
  f.text("state", state);
  bool known = false;
  for (ReplicaState s : {ReplicaState::kPending, ReplicaState::kStarting, ReplicaState::kReady, ReplicaState::kDraining,
                         ReplicaState::kFailed})
    if (to_string(s) == state) {
      r.state = s;
      known = true;
    }
  if (!known) f.note("state", "a replica state");
  f.text("reason", r.reason);
  f.integer("pid", r.pid);
  f.text("node", r.node);
  f.integer("restarts", r.restarts);
  f.time("since", r.since);
  f.each("phases", [&](const Json& p) {
    PhaseTime& phase = r.phases.emplace_back();
    Fields pf(p, wrong);
    pf.text("phase", phase.phase);
    if (const Json* s = pf.at("seconds"); s != nullptr && s->is_number()) phase.seconds = s->get<double>();
  });
  f.text("last_error", r.last_error);
  f.each("last_log_lines", [&](const Json& line) {
    if (line.is_string()) r.last_log_lines.push_back(line.get<std::string>());
  });
  f.text("address", r.address);
  f.integer("revision", r.revision);
  return r;
}

AppStatus app_from(const Json& j, std::string& wrong) {
  AppStatus a;
  Fields f(j, wrong);
  f.text("name", a.name);
  f.text("status", a.status);
  f.text("message", a.message);
  f.integer("revision", a.revision);
  f.integer("epoch", a.epoch);
  f.time("last_deployed", a.last_deployed);
  f.text("route_prefix", a.route_prefix);
  f.each("deployments", [&](const Json& dj) {
    DeploymentStatus& d = a.deployments.emplace_back();
    Fields df(dj, wrong);
    df.text("name", d.name);
    df.text("status", d.status);
    df.text("message", d.message);
    df.integer("target_replicas", d.target_replicas);
    df.each("replicas", [&](const Json& rj) { d.replicas.push_back(replica_from(rj, wrong)); });
  });
  if (a.name.empty()) f.note("name", "given");
  return a;
}

Result<Json> parse(std::string_view text) {
  Json j = Json::parse(text, nullptr, false);
  if (j.is_discarded()) return fail(invalid_argument("the status is not JSON"));
  return j;
}

Error bad(const std::string& wrong) { return invalid_argument("the status is not of the expected form: " + wrong); }

}  // namespace

std::string to_json_text(const AppStatus& status) { return dump(app_json(status)); }

std::string to_json_text(const std::vector<AppStatus>& statuses) {
  Json all = Json::array();
  for (const AppStatus& s : statuses) all.push_back(app_json(s));
  return dump(all);
}

Result<AppStatus> app_status_from_json(std::string_view text) {
  TRY(Json j, parse(text));
  std::string wrong;
  AppStatus a = app_from(j, wrong);
  if (!wrong.empty()) return fail(bad(wrong));
  return a;
}

Result<std::vector<AppStatus>> app_statuses_from_json(std::string_view text) {
  TRY(Json j, parse(text));
  if (!j.is_array()) return fail(bad("expected a list"));
  std::vector<AppStatus> all;
  std::string wrong;
  for (const Json& item : j) all.push_back(app_from(item, wrong));
  if (!wrong.empty()) return fail(bad(wrong));
  return all;
}

std::string to_rfc3339(WallTime t) {
  if (t == WallTime{}) return {};
  const int64_t ms = duration_cast<std::chrono::milliseconds>(t.time_since_epoch()).count();
  int64_t seconds = ms / 1000, rest = ms % 1000;
  if (rest < 0) {
    rest += 1000;
    --seconds;
  }
  std::tm tm{};
  const time_t unix_time = seconds;
  gmtime_r(&unix_time, &tm);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                     tm.tm_hour, tm.tm_min, tm.tm_sec, rest);
}

Result<WallTime> parse_rfc3339(std::string_view text) {
  std::tm tm{};
  const std::string s(text);
  const char* rest = strptime(s.c_str(), "%Y-%m-%dT%H:%M:%S", &tm);
  if (rest == nullptr)
    return fail(invalid_argument(fmt::format("'{}' is not a time such as 2026-03-01T12:00:00Z", text)));
  int64_t nanos = 0;
  if (*rest == '.') {
    int64_t scale = 100'000'000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, scale /= 10) nanos += (*rest - '0') * scale;
  }
  if (std::string_view(rest) != "Z")
    return fail(invalid_argument(fmt::format("'{}' is not a time in UTC (it must end with Z)", text)));
  const int64_t seconds = timegm(&tm);
  return WallTime(std::chrono::seconds(seconds)) + std::chrono::nanoseconds(nanos);
}

}  // namespace colony
